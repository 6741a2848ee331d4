"""Pictures the right way up, as their EXIF tag says."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from .header import pillow_without_limit, stored_orientation, turning
from .reading import decode, read_file


def read_upright(path: str | Path) -> tuple[np.ndarray, bool]:
    """Read a picture as :func:`adabm.pictures.reading.read_raw` does and turn it the way its EXIF tag says.

    Returns:
        The upright picture, and whether its file embeds a colour profile other than sRGB.

    Raises:
        ImageError: see :func:`adabm.pictures.reading.read_raw`.
    """
    data = read_file(path)
    with turning():
        image = decode(data, path)
    orientation, colour_profile = _read_tags(data)
    return upright(image, orientation), colour_profile


def _read_tags(data: bytes) -> tuple[int, bool]:
    try:
        with pillow_without_limit(), Image.open(io.BytesIO(data)) as file:
            orientation = stored_orientation(file)
            profile = file.info.get("icc_profile") or b""
    except MemoryError:
        raise
    except Exception:  # the header is a matter of opinion between decoders; the pixels were readable
        return 1, False
    return orientation, bool(profile) and b"sRGB" not in profile


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (H, W, ...) the way an EXIF orientation of 1 to 8 says.

    >>> upright(np.array([[1, 2]]), 6).tolist()  # rotated by 90 degrees clockwise
    [[1], [2]]
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
