"""Folders of pictures: those to evaluate, with ground truth, and those to calibrate on."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import DataError, ImageError
from .pairs import PictureFiles, by_kind, by_name, pair
from .picture import Picture
from .reading import picture_size, read_rgb
from .resize import downscale, modcrop

SCENE_SEPARATOR = "@"  # "<scene>@<index>.png" are excerpts of one scene


def evaluation_files(folder: str | Path, scale: int) -> list[PictureFiles]:
    """Return where the pictures of a folder with ground truth lie, sorted by name; none is read.

    The folder holds either ``HR/`` and ``LR/`` with pictures whose names belong together (:func:`adabm.pictures.pairs.pair`),
    or ``HR/`` alone, or simply pictures; the last two are ground truth, which is cropped to a multiple of the scale
    and from which the inputs are made as MATLAB would (:func:`adabm.pictures.resize.downscale`).

    Raises:
        DataError: no such folder, a picture without its partner, or two of one name.
        ImageError: no picture.
    """
    folder = _existing(folder)
    high_folder, low_folder = folder / "HR", folder / "LR"
    if low_folder.is_dir() and not high_folder.is_dir():
        raise DataError(f"{folder}: has LR/ but no HR/; without ground truth there is nothing to measure")
    if not low_folder.is_dir():
        highs = by_name(high_folder if high_folder.is_dir() else folder)
        return [PictureFiles(name, path) for name, path in highs.items()]
    found = pair(high_folder, low_folder, scale)
    for path in sorted((*found.without_input, *found.without_truth), key=lambda path: path.stem):
        there, lacking = (high_folder, low_folder) if path in found.without_input else (low_folder, high_folder)
        raise DataError(f"picture {path.stem}: is in {there} but not in {lacking}; add its partner or remove it")
    return [PictureFiles(high.stem, high, low) for high, low in found.pairs]


def evaluation_pictures(folder: str | Path, scale: int) -> list[Picture]:
    """Read all pictures of :func:`evaluation_files`; it and :meth:`PictureFiles.read` tell what can be wrong."""
    return [files.read(scale) for files in evaluation_files(folder, scale)]


def calibration_files(folder: str | Path) -> dict[str, Path]:
    """Return the low-resolution pictures of a folder by name; no ground truth is among them.

    They lie in ``LR/`` of the folder or, where there is no such subfolder, in the folder itself.

    Raises:
        DataError: no such folder, only ``HR/`` in it, or two pictures of one name.
        ImageError: no picture.
    """
    folder = _existing(folder)
    low_folder = folder / "LR"
    if not low_folder.is_dir() and (folder / "HR").is_dir():
        raise DataError(f"{folder}: has HR/ but no LR/; calibration takes low-resolution pictures")
    return by_name(low_folder if low_folder.is_dir() else folder)


def calibration_images(folder: str | Path) -> dict[str, np.ndarray]:
    """Read the pictures of :func:`calibration_files` as they are, each (H, W, 3) uint8."""
    return {name: read_rgb(path) for name, path in calibration_files(folder).items()}


def check_calibration(paths: Iterable[Path], patch_size: int) -> None:
    """Check by their headers that low-resolution pictures can be read and hold a patch of ``patch_size`` pixels a side.

    Raises:
        DataError: a picture is smaller.
        ImageError: a picture is damaged.
    """
    for path in paths:
        height, width = picture_size(path)
        if min(height, width) < patch_size:
            raise DataError(
                f"{path}: {width}x{height} low-resolution pixels are less than a calibration patch of "
                f"{patch_size}x{patch_size}; remove this picture or lower patch_size to {min(height, width)}"
            )


def read_pictures(high_folder: Path, low_folder: Path | None, scale: int) -> list[Picture]:
    """Read the pictures to evaluate, sorted by name.

    Args:
        high_folder: ground truth, or a folder that holds it as ``HR/``; sides that are no multiples of ``scale``
            are cropped.
        low_folder: the inputs or a folder that holds them as ``LR/``, paired by name
            (see :func:`adabm.pictures.pairs.pair`); None takes ``LR/`` beside ``HR/`` or, without, makes them as
            MATLAB's imresize would.

    Raises:
        ImageError: a picture without partner, of another scale, or unreadable.
    """
    high_folder, low_folder = _inside(high_folder, low_folder)
    if low_folder is not None:
        return [_read_pair(high, low, scale) for high, low in _pairs(high_folder, low_folder, scale)]
    pictures = []
    for path in by_kind(high_folder, "HR", scale).values():
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


def _pairs(high_folder: Path, low_folder: Path, scale: int) -> list[tuple[Path, Path]]:
    found = pair(high_folder, low_folder, scale)
    missing = [path.name for path in found.without_input]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise ImageError(f"{low_folder}: holds no x{scale} low-resolution picture for {shown} of {high_folder}")
    return found.pairs


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


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of pictures; name one, or run the pipeline that prepares it")
    return folder
