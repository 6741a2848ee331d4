"""Small excerpts of the demo pictures, with which dozens of models can be calibrated and measured in minutes."""

from pathlib import Path

import numpy as np

from adabm.errors import DataError
from adabm.pictures.folders import SCENE_SEPARATOR, evaluation_pictures
from adabm.pictures.reading import list_images, read_rgb
from adabm.pictures.writing import write_image


def tiles(image: np.ndarray, side: int, most: int) -> list[np.ndarray]:
    """Return up to ``most`` square tiles on an even grid; neighbours overlap by half at most (and by rounding, where ``side`` is odd).

    The grid reaches both borders, but where a single tile goes into a direction, which lies in the middle.

    Raises:
        DataError: ``side`` or ``most`` is not positive, or a tile does not fit.
    """
    if side < 1 or most < 1:
        raise DataError(f"{most} tiles of {side} pixels: both must be at least 1")
    if side > min(image.shape[:2]):
        raise DataError(f"a tile of {side} pixels does not fit into a picture of {image.shape[1]}x{image.shape[0]}")
    # Half a tile of one pixel is no whole step: without the second bound the same tile would come twice.
    counts = [min(1 + 2 * (length - side) // side, 1 + length - side) for length in image.shape[:2]]
    while counts[0] * counts[1] > most:
        counts[int(counts[1] >= counts[0])] -= 1
    rows, columns = (_places(length - side, count) for length, count in zip(image.shape, counts))
    return [image[top : top + side, left : left + side] for top in rows for left in columns]


def _places(last: int, count: int) -> np.ndarray:
    return np.linspace(0, last, count).round().astype(int) if count > 1 else np.array([last // 2])


def write_pool(calibration: Path, folder: Path, side: int, most: int) -> int:
    """Write the tiles of all low-resolution calibration pictures, those of one picture as one scene; return how many."""
    written = 0
    for path in list_images(calibration):
        for index, tile in enumerate(tiles(read_rgb(path), side, most)):
            write_image(folder / f"{path.stem}{SCENE_SEPARATOR}{index:02d}.png", tile)
            written += 1
    return written


def write_crops(pictures: Path, folder: Path, side: int, scale: int) -> int:
    """Write the central ``side`` x ``side`` LR pixels of each evaluation pair, and its ground truth; return how many."""
    pairs = evaluation_pictures(pictures, scale)
    for picture in pairs:
        top, left = ((length - side) // 2 for length in picture.low.shape[:2])
        if min(top, left) < 0:
            raise DataError(
                f"{picture.name}: a crop of {side} pixels does not fit into {picture.low.shape[1]}x{picture.low.shape[0]}"
            )
        rows, columns = slice(top, top + side), slice(left, left + side)
        write_image(folder / "LR" / f"{picture.name}.png", picture.low[rows, columns])
        big = tuple(slice(s.start * scale, s.stop * scale) for s in (rows, columns))
        write_image(folder / "HR" / f"{picture.name}.png", picture.high[big])
    return len(pairs)
