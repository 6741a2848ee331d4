"""Read pictures of the formats that users have: the one place where pictures are decoded."""

import io
import os
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..errors import ImageError
from ..support.files import open_regular_file
from .header import check_pixels, read_header

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# How a complete file of a format ends; None: Pillow refuses to open an incomplete one.
_ENDINGS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "WEBP": None}


def list_images(folder: str | Path) -> list[Path]:
    """Return the pictures directly inside ``folder``, sorted by name; never an empty list."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not p.is_dir())
    if not paths:
        raise ImageError(f"{folder} holds no picture ({', '.join(EXTENSIONS)})")
    return paths


def read_raw(path: str | Path) -> np.ndarray:
    """Read a picture as stored, channels in RGB(A) order: (H, W) or (H, W, 3|4), uint8 or uint16.

    Raises:
        ImageError: see :func:`read_file` and :func:`decode`.
    """
    return decode(read_file(path), path)


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a picture file.

    Raises:
        ImageError: it cannot be read, or is no regular file.
    """
    try:
        with open_regular_file(path) as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None


def decode(data: bytes, path: str | Path) -> np.ndarray:
    """Return the picture that the bytes of a file hold, as :func:`read_raw` does.

    Args:
        path: what errors call it.

    Raises:
        ImageError: damaged, cut off, of another format; animated or of several pages; more pixels than
            :func:`adabm.pictures.header.check_pixels` allows; or samples or channels that are not supported.
    """
    header = read_header(io.BytesIO(data), path)
    image = _decoded(data, path)
    check_pixels(*image.shape[:2], path)  # of a header that was not understood
    if header is not None and header.mode in ("LA", "La", "PA") and image.ndim == 2:
        raise ImageError(f"{path}: gray with an alpha channel in this format is not supported; convert to RGBA")
    return image


def _decoded(data: bytes, path: str | Path) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:  # such as more pixels than OpenCV is willing to read
        raise ImageError(f"{path}: cannot be decoded ({error.err})") from None
    if image is None:
        raise ImageError(f"{path}: not a readable picture (damaged, or not one of {', '.join(EXTENSIONS)})")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: {image.dtype} samples are not supported; convert to 8 or 16 bits a channel")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] == 2:
        raise ImageError(f"{path}: gray with alpha is not supported by the decoder; convert to RGBA")
    if image.ndim == 3:
        order = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
        image = cv2.cvtColor(image, order)
    return image


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a picture for evaluation or calibration: (H, W, 3) uint8 RGB; gray is repeated.

    Raises:
        ImageError: see :func:`read_raw` and :func:`as_rgb`.
    """
    return as_rgb(read_raw(path), path)


def as_rgb(image: np.ndarray, path: str | Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8 RGB; gray is repeated.

    Raises:
        ImageError: it has an alpha channel, or more than 8 bits a channel, where dropping information silently would
            change the numbers.
    """
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: has {image.dtype.itemsize * 8} bits a channel; convert to 8 bits first")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    if image.shape[2] == 4:
        if (image[..., 3] != 255).any():
            raise ImageError(f"{path}: has a non-trivial alpha channel; flatten it first")
        image = np.ascontiguousarray(image[..., :3])
    return image


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of the array that :func:`read_raw` would return, in pixels, without decoding where possible.

    PNG, JPEG and WebP tell them in their header. Other formats are decoded, as is a file whose header or end
    is not as its format wants it, which settles whether it is damaged. Damage in the middle of a file does not show.

    Raises:
        ImageError: see :func:`read_raw`.
    """
    try:
        with open_regular_file(path) as file:
            header = read_header(file, path)
            if header is not None and header.format in _ENDINGS and _ends_with(file, _ENDINGS[header.format]):
                return header.height, header.width
    except OSError:  # reading tells
        pass
    height, width = read_raw(path).shape[:2]
    return height, width


def _ends_with(file: BinaryIO, ending: bytes | None) -> bool:
    if ending is None:
        return True
    file.seek(-len(ending), os.SEEK_END)
    return file.read() == ending
