"""Write benchmark sets and calibration pictures, downloaded by ``pipelines.downloads.fetch``, into one layout.

``<output>/<set>/{HR,LR}/<picture>.png`` for evaluation, ``<output>/calibration/LR/<picture>.png`` (never ground
truth) for calibration, and ``<output>/contents.json``: which source each picture comes from. What sets there are, and which
of their files count, is told by their entries in ``data/sources.yaml``.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adabm.errors import AdabmError, DataError
from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale, modcrop
from adabm.pictures.writing import write_image
from adabm.support.arguments import Parser
from adabm.support.files import write_atomically
from adabm.support.process import as_command, plain

from ..downloads.fetch import DOWNLOADS
from ..downloads.sources import MANIFEST, Source, picture_sets, read_sources, select_set
from ..downloads.verification import check_downloads
from .replaced import files_below, replaced_folder
from .stored import StoredPicture, stored_pictures


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


def select(names: list[str], count: int, seed: int) -> list[str]:
    """Choose ``count`` names at random, the same on every machine; a larger count only adds names.

    The names are ordered by the sha256 of ``"<seed>/<name>"`` and the first ones taken.

    Raises:
        DataError: there are fewer.
    """
    if not 1 <= count <= len(names):
        raise DataError(f"{count} calibration pictures were asked for; there are {len(names)}")
    return sorted(sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())[:count])


def prepare_set(scale: int, source: Source, downloads: Path, output: Path, contents: Contents) -> None:
    """Write the pairs of one evaluation set to ``output/<set>``.

    Published low-resolution pictures are copied byte by byte, with their ground truth; where the source has none of this
    scale, they are made from the ground truth.

    Raises:
        DataError: no ground truth, a pair of other sizes, or low-resolution pictures for some of the pictures alone or
            without ground truth.
    """
    name = source.pictures.name
    with stored_pictures(source, downloads) as stored:
        highs = _by_name(source, stored, source.pictures.high_name, scale)
        lows = _by_name(source, stored, source.pictures.low_name, scale)
        lonely = next((picture for picture in highs if lows and picture not in lows), None)
        if lonely is not None or not highs:
            missing = f"no low-resolution picture of {lonely}" if highs else f"no ground truth {source.pictures.high}"
            raise DataError(f"{source.id}: holds {missing} at scale {scale}")
        if unknown := [picture for picture in lows if picture not in highs]:
            raise DataError(f"{source.id}: holds no ground truth of {', '.join(unknown)} at scale {scale}")
        for picture, high_file in highs.items():
            low_target, high_target = (output / name / kind / f"{picture}.png" for kind in ("LR", "HR"))
            if lows:
                write_atomically(high_target, high_file.read())
                write_atomically(low_target, lows[picture].read())
            else:
                high = modcrop(high_file.decode(), scale)
                write_image(high_target, high)
                write_image(low_target, downscale(high, scale))
            high, low = read_rgb(high_target), read_rgb(low_target)
            if high.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
                raise DataError(
                    f"{downloads / high_file.origin}: {high.shape[1]}x{high.shape[0]} pixels are not {scale} times "
                    f"{low.shape[1]}x{low.shape[0]}"
                )
            contents.add("evaluation", name, picture, high_file.origin, high, low)


def prepare_calibration(
    scale: int, source: Source, downloads: Path, output: Path, contents: Contents, count: int, seed: int
) -> None:
    """Write ``count`` low-resolution pictures of a training set to ``output/calibration/LR``.

    Raises:
        DataError: there are fewer.
    """
    with stored_pictures(source, downloads) as stored:
        lows = _by_name(source, stored, source.pictures.low_name, scale)
        files = lows or _by_name(source, stored, source.pictures.high_name, scale)
        named = {file.key: (picture, file) for picture, file in files.items()}
        for key in select(list(named), count, seed):
            picture, file = named[key]
            image = file.decode()
            low = image if lows else downscale(modcrop(image, scale), scale)
            write_image(output / "calibration" / "LR" / f"{picture}.png", low)
            contents.add("calibration", "calibration", picture, file.origin, *((low,) if lows else (image, low)))


def _by_name(
    source: Source, stored: list[StoredPicture], name_of: Callable[[str, int], str | None], scale: int
) -> dict[str, StoredPicture]:
    found: dict[str, StoredPicture] = {}
    for file in stored:
        name = name_of(file.file, scale)
        if name is not None and found.setdefault(name, file) is not file:
            raise DataError(f"{source.id}: two pictures would be called {name}")
    return found


def _is_of_earlier_version(folder: Path) -> bool:
    """Whether ``contents.json`` names all files, and no others."""
    try:
        pictures = json.loads((folder / "contents.json").read_text())["pictures"]
        named = {
            f"{group}/{kind}/{name}.png"
            for group, names in pictures.items()
            for kind in (("LR",) if group == "calibration" else ("HR", "LR"))
            for name in names
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # missing, or something else of that name
        return False
    return files_below(folder) == named | {"contents.json"}


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--scale", type=int, required=True)
    parser.add_argument("--sets", nargs="*", metavar="SET", help="evaluation sets (all that are there at the scale)")
    parser.add_argument("--calibration", default="CID22", metavar="SET", help="training set for it (CID22)")
    parser.add_argument("--calibration-pictures", type=int, default=100, help="how many of its pictures (100)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice (0)")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    parser.add_argument("--downloads", type=Path, default=DOWNLOADS, help=f"of pipelines.downloads.fetch ({DOWNLOADS})")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write; what an earlier run wrote is replaced"
    )
    args = parser.parse_args(arguments)
    contents = Contents()
    try:
        known = read_sources(args.manifest)
        names = picture_sets(known, "evaluation", args.scale) if args.sets is None else dict.fromkeys(args.sets)
        evaluated = [select_set(known, "evaluation", name, args.scale) for name in names]
        calibrated = select_set(known, "calibration", args.calibration, args.scale)
        check_downloads([*evaluated, calibrated], args.downloads)
        with replaced_folder(args.output, _is_of_earlier_version) as folder:
            for source in evaluated:
                prepare_set(args.scale, source, args.downloads, folder, contents)
            prepare_calibration(
                args.scale, calibrated, args.downloads, folder, contents, args.calibration_pictures, args.seed
            )
            record = {"scale": args.scale, "calibration": args.calibration, "seed": args.seed}
            text = json.dumps(record | {"pictures": contents.entries}, indent=1, sort_keys=True) + "\n"
            write_atomically(folder / "contents.json", text.encode())
    except (AdabmError, OSError) as error:
        print(f"prepare_benchmarks: {plain(error)}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{name} {len(pictures)}" for name, pictures in contents.entries.items())
    print(f"{args.output}: x{args.scale}, {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("prepare_benchmarks", main))
