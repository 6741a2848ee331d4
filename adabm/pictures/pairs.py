"""Find the high- and low-resolution pictures that belong together by their file names."""

import re
from pathlib import Path

import numpy as np

from ..engines.evaluation import Picture
from ..errors import ImageError
from .images import list_images, read_rgb
from .resize import downscale, modcrop

# what data sets add to a picture's name: img_001_SRF_4_HR, 0801_LR, baby_GT
_SUFFIX = re.compile(r"(?:_SRF_(?P<scale>\d+))?_(?P<kind>HR|GT|LR)$", re.IGNORECASE)


def read_pictures(high_folder: Path, low_folder: Path | None, scale: int) -> list[Picture]:
    """Read the pictures to evaluate, sorted by name.

    Args:
        high_folder: ground truth, or a folder that holds it as ``HR/``; sides that are no multiples of ``scale``
            are cropped.
        low_folder: the inputs or a folder that holds them as ``LR/``, paired by name (see :func:`pair`); None takes
            ``LR/`` beside ``HR/`` or, without, makes them as MATLAB's imresize would.

    Raises:
        ImageError: a picture without partner, of another scale, or unreadable.
    """
    high_folder, low_folder = _inside(high_folder, low_folder)
    if low_folder is not None:
        return [_read_pair(high, low, scale) for high, low in pair(high_folder, low_folder, scale)]
    pictures = []
    for path in _named(high_folder, "HR", scale).values():
        high = _cropped(path, scale)
        pictures.append(Picture(path.stem, high, downscale(high, scale)))
    return pictures


def _inside(high_folder: Path, low_folder: Path | None) -> tuple[Path, Path | None]:
    """Return the folders of pictures that are meant where a folder of a whole set is named."""
    whole = (high_folder / "HR").is_dir()
    if low_folder is None and whole:
        low_folder = high_folder if (high_folder / "LR").is_dir() else None
    if low_folder is not None and (low_folder / "LR").is_dir():
        low_folder = low_folder / "LR"
    return high_folder / "HR" if whole else high_folder, low_folder


def pair(high_folder: Path, low_folder: Path, scale: int) -> list[tuple[Path, Path]]:
    """Return the files (HR, LR) that belong together, sorted by name; both folders may be one.

    Names are compared without ``_HR``, ``_GT``, ``_LR`` and ``_SRF_<scale>`` before these; an LR name may
    also end in ``x<scale>``, with or without ``_`` or ``-``. Files that their names call of the other
    kind or scale are left out, as are LR pictures without ground truth.

    Raises:
        ImageError: a ground truth without input, or two files of one name.
    """
    high, low = _named(high_folder, "HR", scale), _named(low_folder, "LR", scale)
    ending = re.compile(rf"(?P<name>.+?)[_-]?x{scale}$", re.IGNORECASE)
    marked = {match["name"]: path for name, path in low.items() if (match := ending.match(name))}
    inputs = marked | low  # the very name is the better partner
    missing = [path.name for name, path in high.items() if name not in inputs]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise ImageError(f"{low_folder}: holds no x{scale} low-resolution picture for {shown} of {high_folder}")
    return [(path, inputs[name]) for name, path in high.items()]


def _named(folder: Path, kind: str, scale: int) -> dict[str, Path]:
    """Pictures of one kind, ``HR`` or ``LR``, by their names without suffix."""
    named: dict[str, Path] = {}
    for path in list_images(folder):
        match = _SUFFIX.search(path.stem)
        if match:
            own_kind = "LR" if match["kind"].upper() == "LR" else "HR"
            if own_kind != kind or (match["scale"] and int(match["scale"]) != scale):
                continue
        name = path.stem[: match.start()] if match else path.stem
        if name in named:
            raise ImageError(
                f"{folder}: {named[name].name} and {path.name} are both the {kind} picture {name!r}; keep one"
            )
        named[name] = path
    if not named:
        raise ImageError(f"{folder}: by their names, none of its pictures is an {kind} picture for x{scale}")
    return named


def _read_pair(high_path: Path, low_path: Path, scale: int) -> Picture:
    high, low = _cropped(high_path, scale), read_rgb(low_path)
    if high.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
        raise ImageError(
            f"{low_path}: {low.shape[1]}x{low.shape[0]} pixels; a x{scale} input of {high_path.name} "
            f"({high.shape[1]}x{high.shape[0]}, cropped) has {high.shape[1] // scale}x{high.shape[0] // scale}"
        )
    return Picture(high_path.stem, high, low)


def _cropped(path: Path, scale: int) -> np.ndarray:
    image = read_rgb(path)
    if min(image.shape[:2]) < scale:
        raise ImageError(f"{path}: {image.shape[1]}x{image.shape[0]} pixels are less than the scale {scale}")
    return modcrop(image, scale)
