"""Write benchmark sets and calibration pictures, downloaded by ``pipelines.downloads.fetch``, into one layout.

``<output>/<set>/{HR,LR}/<picture>.png`` for evaluation, ``<output>/calibration/LR/<picture>.png`` (never ground
truth) for calibration, and ``<output>/contents.json``: which source each picture comes from.
"""

import argparse
import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from adabm.errors import AdabmError, DataError
from adabm.files import write_atomically
from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale, modcrop
from adabm.pictures.writing import write_image

from ..downloads.fetch import DOWNLOADS
from ..downloads.sources import MANIFEST, Source, read_sources, select_sources
from ..downloads.verification import find_fault

PUBLISHED = ("Set5", "Set14", "BSD100", "Urban100")  # as pairs
SETS = (*PUBLISHED, "CLIC2025")
CALIBRATION = ("CID22", "DIV2K")
# CID22 holds drawings and diagrams too, under other names (checked by eye). Mostly flat, they would shift the
# percentiles of complexity that AdaBM's thresholds are, away from those of DIV2K's photographs.
_PHOTOGRAPHS = re.compile(r"(\d{1,8}|pexels-photo-\d+)\.png")
_ADDRESSES = {("Urban100", 2): "Urban100_x4", "CLIC2025": "CLIC2025_test", "CID22": "CID22_training"}


@dataclass
class Contents:
    """What was written, and what the check for shared pictures needs.

    Attributes:
        entries: for ``contents.json``: by set, by picture, the path of its source.
        digests: of the pixels of each picture and its ground truth, by digest the picture.
    """

    entries: dict[str, dict[str, str]] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=lambda: {"evaluation": {}, "calibration": {}})

    def add(self, split: str, group: str, name: str, origin: str, *images: np.ndarray) -> None:
        """Note a picture.

        Raises:
            DataError: two pictures of a set would have one name, or calibration and evaluation share one.
        """
        if name in self.entries.setdefault(group, {}):
            raise DataError(f"{group}: two pictures would be called {name}")
        self.entries[group][name] = origin
        (other,) = self.digests.keys() - {split}
        for image in images:
            digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            if digest in self.digests[other]:
                raise DataError(
                    f"{group}/{name} ({origin}) is also {self.digests[other][digest]}: "
                    "calibration and evaluation must not share a picture"
                )
            self.digests[split][digest] = f"{group}/{name}"


def source_id(name: str, scale: int) -> str:
    """Return the entry of ``data/sources.yaml`` that holds a set at a scale."""
    if name == "DIV2K":
        return f"DIV2K_train_LR_x{scale}"
    return _ADDRESSES.get((name, scale)) or _ADDRESSES.get(name) or f"{name}_x{scale}"


def select(names: list[str], count: int, seed: int) -> list[str]:
    """Choose ``count`` names at random, the same on every machine; a larger count only adds names.

    The names are ordered by the sha256 of ``"<seed>/<name>"`` and the first ones taken.

    Raises:
        DataError: there are fewer.
    """
    if not 1 <= count <= len(names):
        raise DataError(f"{count} calibration pictures were asked for; there are {len(names)}")
    return sorted(sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())[:count])


def prepare_set(name: str, scale: int, source: Source, downloads: Path, output: Path, contents: Contents) -> None:
    """Write the pairs of one evaluation set to ``output/<name>``.

    Published low-resolution pictures are copied byte by byte; where none suit, they are made from the ground truth.
    """
    for file in source.files:
        path = downloads / file.path
        published = name in PUBLISHED
        if published and not path.stem.endswith("_HR"):
            continue
        picture = re.sub(r"_SRF_\d+_HR$", "", path.stem) if published else path.stem[:8]
        low_target, high_target = (output / name / kind / f"{picture}.png" for kind in ("LR", "HR"))
        if published and source.id == f"{name}_x{scale}":
            write_atomically(high_target, path.read_bytes())
            write_atomically(low_target, path.with_name(path.name.replace("_HR.", "_LR.")).read_bytes())
        else:
            high = modcrop(read_rgb(path), scale)
            write_image(high_target, high)
            write_image(low_target, downscale(high, scale))
        high, low = read_rgb(high_target), read_rgb(low_target)
        if high.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
            raise DataError(
                f"{path}: {high.shape[1]}x{high.shape[0]} pixels are not {scale} times {low.shape[1]}x{low.shape[0]}"
            )
        contents.add("evaluation", name, picture, file.path, high, low)


def prepare_calibration(
    name: str, scale: int, source: Source, downloads: Path, output: Path, contents: Contents, count: int, seed: int
) -> None:
    """Write ``count`` low-resolution pictures of a training set to ``output/calibration/LR``."""
    pictures = _calibration_zip if name == "DIV2K" else _calibration_folder
    for picture, origin, low, known in pictures(source, scale, downloads, count, seed):
        write_image(output / "calibration" / "LR" / f"{picture}.png", low)
        contents.add("calibration", "calibration", picture, origin, *known)


def _calibration_folder(
    source: Source, scale: int, downloads: Path, count: int, seed: int
) -> Iterator[tuple[str, str, np.ndarray, tuple[np.ndarray, ...]]]:
    paths = {file.name: file.path for file in source.files if _PHOTOGRAPHS.fullmatch(file.name)}
    for name in select(list(paths), count, seed):
        image = read_rgb(downloads / paths[name])
        low = downscale(modcrop(image, scale), scale)
        yield Path(name).stem, paths[name], low, (image, low)


def _calibration_zip(
    source: Source, scale: int, downloads: Path, count: int, seed: int
) -> Iterator[tuple[str, str, np.ndarray, tuple[np.ndarray, ...]]]:
    archive = downloads / source.files[0].path
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [n for n in opened.namelist() if re.search(rf"(^|/)\d{{4}}x{scale}\.png$", n)]
            for name in select(names, count, seed):
                low = _decode(opened.read(name), f"{archive}:{name}")
                yield Path(name).stem, f"{source.files[0].path}:{name}", low, (low,)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: not a readable archive ({error})") from None


def _decode(data: bytes, what: str) -> np.ndarray:
    try:
        return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    except OSError as error:
        raise DataError(f"{what}: not a readable picture ({error})") from None


def check_downloads(sources: list[Source], downloads: Path) -> None:
    """Verify that all files are there and the expected ones.

    Raises:
        DataError: naming the first fault and the command that fetches what is missing.
    """
    for source in sources:
        for file in source.files:
            path = downloads / file.path
            fault = find_fault(path, file) if path.is_file() else "missing"
            if fault:
                names = " ".join(s.id for s in sources)
                command = f"python -m pipelines.downloads.fetch {names} --downloads {downloads}"
                raise DataError(f"{path}: {fault}; run `{command}`")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS), help="evaluation sets (all)")
    parser.add_argument("--calibration", choices=CALIBRATION, default="CID22", help="training set for it (CID22)")
    parser.add_argument("--calibration-pictures", type=int, default=100, help="how many of its pictures (100)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice (0)")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    parser.add_argument("--downloads", type=Path, default=DOWNLOADS, help=f"of pipelines.downloads.fetch ({DOWNLOADS})")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; replaced as a whole")
    args = parser.parse_args(arguments)
    partial, contents = args.output.with_name(args.output.name + ".partial"), Contents()
    try:
        known = read_sources(args.manifest)
        names = list(dict.fromkeys(args.sets))
        wanted = [*names, args.calibration]
        sources = dict(zip(wanted, (select_sources(known, [source_id(name, args.scale)])[0] for name in wanted)))
        check_downloads(list(sources.values()), args.downloads)
        shutil.rmtree(partial, ignore_errors=True)
        for name in names:
            prepare_set(name, args.scale, sources[name], args.downloads, partial, contents)
        prepare_calibration(
            args.calibration,
            args.scale,
            sources[args.calibration],
            args.downloads,
            partial,
            contents,
            args.calibration_pictures,
            args.seed,
        )
        record = {"scale": args.scale, "calibration": args.calibration, "seed": args.seed, "pictures": contents.entries}
        write_atomically(partial / "contents.json", (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
        shutil.rmtree(args.output, ignore_errors=True)
        partial.rename(args.output)
    except (AdabmError, OSError) as error:
        print(f"prepare_benchmarks: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{name} {len(pictures)}" for name, pictures in contents.entries.items())
    print(f"{args.output}: x{args.scale}, {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
