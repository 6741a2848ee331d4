"""Read pictures of the formats that users have."""

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# How a complete file of a format ends; None: Pillow refuses to open an incomplete one.
_ENDINGS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "WEBP": None}


def list_images(folder: str | Path) -> list[Path]:
    """Return the pictures directly inside ``folder``, sorted by name; never an empty list."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
    if not paths:
        raise ImageError(f"{folder} holds no picture ({', '.join(EXTENSIONS)})")
    return paths


def read_raw(path: str | Path) -> np.ndarray:
    """Read a picture as stored, channels in RGB(A) order: (H, W) or (H, W, 3|4), uint8 or uint16."""
    path = Path(path)
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
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
        ImageError: unreadable, with an alpha channel, or with more than 8 bits a channel, where
            dropping information silently would change the numbers.
    """
    image = read_raw(path)
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
        ImageError: unreadable, or cut off.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd headers and sizes: the decoder has the last word
            with Image.open(path) as image:
                (width, height), form = image.size, image.format
        if form in _ENDINGS and _ends_with(Path(path), _ENDINGS[form]):
            return height, width
    except Exception:  # whatever Pillow raises on a damaged file
        pass
    height, width = read_raw(path).shape[:2]
    return height, width


def _ends_with(path: Path, ending: bytes | None) -> bool:
    if ending is None:
        return True
    with path.open("rb") as file:
        file.seek(-len(ending), os.SEEK_END)
        return file.read() == ending
