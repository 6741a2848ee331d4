"""Write pictures of the formats that users have."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import ImageError
from ..support.files import write_atomically
from ..validation import File, check
from .picture import check_array
from .reading import EXTENSIONS

_WITHOUT_ALPHA = (".jpg", ".jpeg", ".bmp")
_WITH_16_BITS = (".png", ".tif", ".tiff")
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a picture atomically; the format follows the file name's extension.

    Args:
        image: (H, W) or (H, W, 3|4), uint8 or uint16, RGB(A) order.
    """
    path = Path(check("path", path, File))
    suffix = path.suffix.lower()
    check_array(image, f"{path}: the picture")
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(
            f"{path}: the picture is {image.dtype} of shape {image.shape}; give uint8 or uint16 of (H, W), (H, W, 3) or (H, W, 4)"
        )
    check_format(path, image.shape, image.dtype)
    if image.ndim == 3:
        order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        image = cv2.cvtColor(image, order)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in (".jpg", ".jpeg") else []
    try:
        ok, data = cv2.imencode(suffix, image, options)
    except cv2.error:
        ok = False
    if not ok:
        raise ImageError(f"{path}: the picture could not be encoded as {suffix}")
    write_atomically(path, memoryview(data))


def check_format(path: str | Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise :class:`ImageError` if the format that ``path`` names cannot hold such a picture.

    Args:
        shape, dtype: those of the array that :func:`write_image` would get.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in EXTENSIONS:
        raise ImageError(f"{path}: unknown picture format; use one of {', '.join(EXTENSIONS)}")
    if dtype == np.uint16 and suffix not in _WITH_16_BITS:
        raise ImageError(f"{path}: {suffix} cannot hold 16 bits a channel; use .png or .tif")
    if len(shape) == 3 and shape[2] == 4 and suffix in _WITHOUT_ALPHA:
        raise ImageError(f"{path}: {suffix} cannot hold an alpha channel; use .png, .webp or .tif")
    longest = _LONGEST_SIDE.get(suffix)
    if longest is not None and max(shape[:2]) > longest:
        raise ImageError(
            f"{path}: {suffix} holds at most {longest} pixels a side, not {shape[1]}x{shape[0]}; use .png or .tif"
        )
