"""Ground truth and low-resolution input that belong together: found by their names, read as one picture."""

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, ImageError
from .picture import Picture
from .reading import list_images, picture_size, read_rgb
from .resize import downscale, modcrop

# what data sets add to a picture's name: img_001_SRF_4_HR, 0801_LR, baby_GT
_SUFFIX = re.compile(r"(?:_SRF_(?P<scale>\d+))?_(?P<kind>HR|GT|LR)$", re.IGNORECASE)


@dataclass(frozen=True)
class PictureFiles:
    """Where a picture with ground truth lies; without ``low``, the input is made from ``high``."""

    name: str
    high: Path
    low: Path | None = None

    def read(self, scale: int) -> Picture:
        """Read the pair.

        Raises:
            DataError: the ground truth is not ``scale`` times as large as the input.
            ImageError: a picture cannot be read or is smaller than ``scale``.
        """
        if self.low is not None:
            high, low = read_rgb(self.high), read_rgb(self.low)
            _check_pair(self.name, self.high, self.low, high.shape, low.shape, scale)
            return Picture(self.name, high, low)
        high = modcrop(read_rgb(self.high), scale)
        return Picture(self.name, high, downscale(high, scale))

    def check(self, scale: int) -> None:
        """Raise what :meth:`read` would, as far as the files' headers tell (:func:`adabm.pictures.reading.picture_size`)."""
        high = picture_size(self.high)
        if self.low is not None:
            _check_pair(self.name, self.high, self.low, high, picture_size(self.low), scale)
        elif min(high) < scale:
            raise ImageError(
                f"{self.high}: {high[1]}x{high[0]} pixels are less than the scale {scale}; remove this picture"
            )


def _check_pair(
    name: str, high_path: Path, low_path: Path, high: tuple[int, ...], low: tuple[int, ...], scale: int
) -> None:
    """Compare shapes that begin with height and width."""
    if high[:2] != (low[0] * scale, low[1] * scale):
        raise DataError(
            f"picture {name}: {high_path} has {high[1]}x{high[0]} pixels, which are not {scale} times "
            f"the {low[1]}x{low[0]} of {low_path}"
        )


@dataclass(frozen=True)
class Pairing:
    """What belongs together in two folders, each list sorted by file name.

    Attributes:
        pairs: ground truth and input.
        without_input: ground truth that has none.
        without_truth: inputs that have none.
    """

    pairs: list[tuple[Path, Path]]
    without_input: list[Path]
    without_truth: list[Path]


def pair(high_folder: Path, low_folder: Path, scale: int) -> Pairing:
    """Pair the pictures of a folder of ground truth and a folder of inputs, which may be one, by their names.

    Two folders of equal names (extensions may differ) are paired by them. Otherwise names are compared without
    ``_HR``, ``_GT``, ``_LR`` and ``_SRF_<scale>`` before these; an LR name may also end in ``x<scale>``, with or
    without ``_`` or ``-``. Files that their names call of the other kind or scale are left out.

    Raises:
        ImageError: no picture, none of a kind, two that are called the same after what was left away, or an input that is
            called as that of two ground truths.
        DataError: two files of one name.
    """
    highs, lows = list_images(high_folder), list_images(low_folder)
    if {path.stem for path in highs} == {path.stem for path in lows} and not high_folder.samefile(low_folder):
        high, inputs = by_name(high_folder), by_name(low_folder)
    else:
        high, low = by_kind(high_folder, "HR", scale), by_kind(low_folder, "LR", scale)
        inputs = _with_scale(low, low_folder, scale, high.keys() - low.keys()) | low
    pairs = [(path, inputs[name]) for name, path in high.items() if name in inputs]
    _check_claims(pairs)
    taken = {path for _, path in pairs}
    return Pairing(
        pairs,
        [path for name, path in high.items() if name not in inputs],
        [path for path in lows if path in inputs.values() and path not in taken],
    )


def _check_claims(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse an input of several ground truths: ``a_x4`` may be the picture ``a_x4``, or ``a`` at a quarter of its size."""
    claims: dict[Path, Path] = {}
    for high, low in pairs:
        if (other := claims.setdefault(low, high)) is not high:
            raise ImageError(f"{low}: by its name the input of both {other.name} and {high.name}; rename one")


def by_name(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their names without extension, sorted.

    Raises:
        DataError: two of one name.
        ImageError: no picture.
    """
    return _distinct(folder, ((path.stem, path) for path in list_images(folder)), "")


def by_kind(folder: Path, kind: str, scale: int) -> dict[str, Path]:
    """Return a folder's pictures of one kind, ``HR`` or ``LR``, by their names without suffix (see :func:`pair`), sorted.

    Raises:
        ImageError: no picture of that kind, or two that are called the same.
        DataError: two files of one name.
    """
    found = []
    for path in list_images(folder):
        match = _SUFFIX.search(path.stem)
        if match:
            own_kind = "LR" if match["kind"].upper() == "LR" else "HR"
            if own_kind != kind or (match["scale"] and int(match["scale"]) != scale):
                continue
        found.append((path.stem[: match.start()] if match else path.stem, path))
    if not found:
        raise ImageError(f"{folder}: by their names, none of its pictures is an {kind} picture for x{scale}")
    return _distinct(folder, found, kind)


def _with_scale(low: dict[str, Path], folder: Path, scale: int, wanted: Set[str]) -> dict[str, Path]:
    """Return the inputs that are called as ``wanted``, but for an ending ``x<scale>``."""
    ending = re.compile(rf"(?P<name>.+?)[_-]?x{scale}$", re.IGNORECASE)
    matches = ((ending.match(name), path) for name, path in low.items())
    return _distinct(folder, ((m["name"], path) for m, path in matches if m and m["name"] in wanted), "LR")


def _distinct(folder: Path, named: Iterable[tuple[str, Path]], kind: str) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for name, path in named:
        if (other := paths.setdefault(name, path)) is path:
            continue
        if other.stem == path.stem:
            raise DataError(f"{folder}: {other.name} and {path.name} have the same name; rename one")
        raise ImageError(f"{folder}: {other.name} and {path.name} are both the {kind} picture {name!r}; keep one")
    return paths
