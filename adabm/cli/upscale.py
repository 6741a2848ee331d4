"""``adabm upscale``: enlarge a picture or a folder of pictures with a quantized network, or one in full precision."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console
from .failures import ends_the_run, explain
from .options import (
    DEFAULT_ENGINE,
    add_compute,
    add_engine,
    add_import,
    add_overwrite,
    check_output,
    expanded,
    new_parser,
    own_files,
    side,
    whole,
)

if TYPE_CHECKING:
    import numpy as np

    from ..engines import Engine
    from .picture import Contexts

_FORMATS = ("png", "jpg", "webp", "tif", "bmp")
_DETAILS = """\
Reads and writes PNG, JPEG, WebP, TIFF and BMP. Gray stays gray; 16 bits a channel stay 16 bits (PNG, TIFF);
an alpha channel is enlarged bicubically and kept (PNG, WebP, TIFF). What a format cannot hold is an error, not
a loss. The EXIF orientation is applied; other metadata and colour profiles are not kept. Large pictures are
computed in tiles with as much context as the network needs, so that they come out as the whole picture would;
where that is not possible a note tells. A picture that fails does not stop the others of a folder. An output
appears complete or not at all, so that --skip-existing goes on with a folder where an interrupted run stopped.

examples:
  adabm upscale photo.jpg photo_x4.png --checkpoint w4a4.safetensors
  adabm upscale photo.jpg photo_x4.png --network swinir.pth
  adabm upscale photos/ enlarged/ --checkpoint w4a4.safetensors --format webp
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``upscale``."""
    parser = new_parser(commands, "upscale", "enlarge a picture or a folder of pictures", _DETAILS)
    parser.add_argument("input", type=expanded, metavar="IN", help="picture, or folder of pictures")
    parser.add_argument("output", type=expanded, metavar="OUT", help="picture to write, or folder if IN is one")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", type=expanded, metavar="FILE", help="written by `adabm quantize`")
    what.add_argument(
        "--network",
        type=expanded,
        metavar="FILE_OR_NAME",
        help="full-precision weights, which run in full precision, or the name of a network such as dat_light_x4",
    )
    parser.add_argument(
        "--tile",
        type=side,
        default=256,
        metavar="N",
        help="largest side of a tile in input pixels; 0: none (default: 256)",
    )
    parser.add_argument(
        "--overlap",
        type=whole(0),
        metavar="N",
        help="input pixels of context around a tile (default: as far as the network sees, or 64 where that is more than half a tile)",
    )
    parser.add_argument(
        "--bits-per",
        choices=("picture", "tile"),
        default="picture",
        help="what decides the bits: the whole picture (default), or each tile its own, which can show as seams",
    )
    parser.add_argument(
        "--format", choices=_FORMATS, help="of a folder's outputs (default: png); for one picture OUT tells it"
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave outputs alone that are there already, complete and of the right size",
    )
    add_engine(parser)
    add_import(parser)
    add_compute(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Upscale each picture, report each failure, and go on."""
    from ..checkpoints.checkpoint import read_metadata
    from ..engines.integer.exported import is_exported
    from ..errors import CheckpointError, ConfigError
    from ..networks.backbones import weight_file
    from .models import computing, is_quantized, maps_no_images, open_for_rgb
    from .picture import Contexts

    _refuse_idle(args)
    folder = args.input.is_dir()
    jobs = (
        _folder_jobs(args.input, args.output, args.format or "png")
        if folder
        else [_job(args.input, args.output, args.format)]
    )
    _refuse_inputs(jobs)
    done, skipped, failures = [], [], {}
    with computing(args.threads, args.device) as device:
        checkpoint = args.checkpoint
        if checkpoint is None:
            checkpoint = weight_file(args.network)
            if is_exported(checkpoint) or is_quantized(checkpoint):
                raise CheckpointError(f"{checkpoint}: is quantized; give it as --checkpoint")
        elif args.engine == DEFAULT_ENGINE:
            read_metadata(checkpoint)  # refuses full-precision weights, which were taken for quantized ones
        engine = open_for_rgb(args.engine, checkpoint, device)
        if args.bits_per == "tile" and maps_no_images(engine):
            raise ConfigError(
                f"--bits-per tile: has no effect with {checkpoint}, whose bits follow no picture; drop it"
            )
        contexts = Contexts(engine, args.overlap, console.note)
        for source, target in jobs:
            try:
                if args.skip_existing and _is_done(source, target, engine.scale):
                    skipped.append({"input": str(source), "output": str(target)})
                    continue
                done.append(_upscale(engine, contexts, source, target, args, console))
            except Exception as error:
                if not folder or explain(error) is None or ends_the_run(error):
                    raise
                failures[str(source)] = explain(error)
                console.note(f"error: {explain(error)}")
    if folder or skipped:
        parts = {"skipped, since they exist": skipped, "failed": failures}
        counts = "".join(f", {len(items)} {what}" for what, items in parts.items() if items)
        console.say(f"{len(done)} of {len(jobs)} pictures done{counts}")
    console.document(
        {
            "checkpoint": str(checkpoint),
            "engine": engine.name,
            "pictures": done,
            "skipped": skipped,
            "failures": failures,
        }
    )
    return 1 if failures else 0


def _refuse_idle(args: argparse.Namespace) -> None:
    """Refuse options that others make idle, since whoever gives them expects something of them."""
    from ..errors import ConfigError

    if not args.tile and args.overlap is not None:
        raise ConfigError(f"--overlap {args.overlap}: has no effect with --tile 0, the whole picture; drop one of them")
    if args.bits_per == "tile" and not args.tile:
        raise ConfigError("--bits-per tile: has no effect with --tile 0, the whole picture; drop one of them")
    if args.bits_per == "tile" and args.network is not None and args.engine == DEFAULT_ENGINE:
        raise ConfigError("--bits-per tile: has no effect with --network, which runs in full precision; drop it")


def _job(source: Path, target: Path, form: str | None) -> tuple[Path, Path]:
    from ..errors import ImageError
    from ..pictures.reading import EXTENSIONS

    if not source.exists():
        raise ImageError(f"{source}: no such file or folder")
    if target.is_dir():
        raise ImageError(
            f"{target}: is a folder; for one picture name the file to write, such as {target / (source.stem + '.png')}"
        )
    if target.suffix.lower() not in EXTENSIONS:
        raise ImageError(f"{target}: unknown picture format; use one of {', '.join(EXTENSIONS)}")
    if form is not None and _suffix(form) != _suffix(target.suffix[1:]):
        raise ImageError(f"{target}: its name contradicts --format {form}; drop one of them")
    return source, target


def _folder_jobs(source: Path, target: Path, form: str) -> list[tuple[Path, Path]]:
    from ..errors import ImageError
    from ..pictures.reading import list_images

    if target.exists() and not target.is_dir():
        raise ImageError(f"{target}: is a file; for a folder of pictures name a folder")
    if target.exists() and target.samefile(source):
        raise ImageError(f"{target}: is the folder of the inputs; name another one")
    paths = list_images(source)
    twice = [stem for stem, count in Counter(path.stem.casefold() for path in paths).items() if count > 1]
    if twice:
        names = [path.name for path in paths if path.stem.casefold() == twice[0]]
        raise ImageError(
            f"{source}: {' and '.join(names)} would both become {names[0].rpartition('.')[0]}.{form}; rename one"
        )
    return [(path, target / f"{path.stem}.{form}") for path in paths]


def _refuse_inputs(jobs: Sequence[tuple[Path, Path]]) -> None:
    """Refuse outputs that are inputs, of the same picture or, through a link, of another one, which would be replaced before its turn."""
    from ..errors import ImageError

    def file(path: Path) -> tuple[int, int]:
        found = path.stat()
        return found.st_dev, found.st_ino

    inputs = {file(source): source for source, _ in jobs if source.is_file()}
    for _, target in jobs:
        if target.is_file() and (source := inputs.get(file(target))) is not None:
            raise ImageError(f"{target}: is an input of this command, {source}; name another output")


def _suffix(form: str) -> str:
    return {"jpeg": "jpg", "tiff": "tif"}.get(form.lower(), form.lower())


def _upscale(
    engine: Engine, contexts: Contexts, source: Path, target: Path, args: argparse.Namespace, console: Console
) -> dict:
    from ..pictures.orientation import read_upright
    from ..pictures.writing import write_image
    from .picture import upscale_picture

    check_output(target, args.overwrite, [source, args.checkpoint or args.network, *own_files(args)])
    begun = time.perf_counter()
    picture, colour_profile = read_upright(source)
    picture = _fitted(picture, target, engine.scale)
    if colour_profile:
        console.note(f"warning: {source}: its colour profile is not kept; colours may look different")
    height, width = picture.shape[:2]
    context = contexts.of(picture, args.tile or None, args.bits_per)
    with console.progress(height * width, source.name) as bar:
        result, bits = upscale_picture(
            engine, picture, args.tile or None if context is not None else None, context, args.bits_per, bar.update
        )
    write_image(target, result)
    seconds = time.perf_counter() - begun
    scale = engine.scale
    console.say(
        f"{source} -> {target}: {width}x{height} to {width * scale}x{height * scale}, FAB {bits:.2f}, {seconds:.1f} s"
    )
    return {
        "input": str(source),
        "output": str(target),
        "width": width * scale,
        "height": height * scale,
        "feature_average_bits": bits,
        "overlap": None if context is None else context.overlap,
        "tiles_like_whole": context is None or (context.exact and args.bits_per == "picture"),
        "seconds": seconds,
    }


def _is_done(source: Path, target: Path, scale: int) -> bool:
    """Whether ``target`` is ``source`` enlarged, as far as sizes tell; either may be turned, by its EXIF tag."""
    from ..errors import ImageError
    from ..pictures.header import turning
    from ..pictures.reading import picture_size

    if not target.is_file() or target.samefile(source):
        return False
    try:
        with turning():
            return sorted(picture_size(target)) == sorted(side * scale for side in picture_size(source))
    except ImageError:  # reading the source, or check_output for the target, tells what is wrong
        return False


def _fitted(picture: np.ndarray, target: Path, scale: int) -> np.ndarray:
    """Refuse what the output format cannot hold before any work; an opaque alpha channel may go."""
    import numpy as np

    from ..errors import ImageError
    from ..pictures.writing import check_format

    def check(candidate: np.ndarray) -> None:
        check_format(
            target, (candidate.shape[0] * scale, candidate.shape[1] * scale, *candidate.shape[2:]), candidate.dtype
        )

    try:
        check(picture)
    except ImageError:
        if picture.ndim != 3 or picture.shape[2] != 4 or (picture[..., 3] != np.iinfo(picture.dtype).max).any():
            raise
        picture = np.ascontiguousarray(picture[..., :3])
        check(picture)
    return picture
