"""What a picture file says beside its pixels: which way is up, and whether it holds more pictures."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ImageError
from .reading import read_raw

_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class FileTags:
    """Facts from a picture file's header.

    Attributes:
        orientation: EXIF's 1 to 8; 1 is upright.
        colour_profile: whether it embeds an ICC profile other than sRGB.
    """

    orientation: int = 1
    colour_profile: bool = False


def read_upright(path: str | Path) -> tuple[np.ndarray, FileTags]:
    """Read a picture as :func:`adabm.pictures.reading.read_raw` does and turn it the way its EXIF tag says.

    Returns:
        The upright picture, and the tags of its file.

    Raises:
        ImageError: unreadable; animated or of several pages; or gray with an alpha channel that
            the decoder would drop.
    """
    image = read_raw(path)
    tags, mode = _read_tags(Path(path))
    if mode in ("LA", "La", "PA") and image.ndim == 2:
        raise ImageError(f"{path}: gray with an alpha channel in this format is not supported; convert to RGBA")
    return upright(image, tags.orientation), tags


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


def _read_tags(path: Path) -> tuple[FileTags, str]:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as file:
            orientation = int(file.getexif().get(_ORIENTATION, 1))
            profile = file.info.get("icc_profile") or b""
            # a JPEG's further pictures are thumbnails, depth or gain maps, not what the user sees
            count = 1 if file.format in ("JPEG", "MPO") else getattr(file, "n_frames", 1)
            form, mode = file.format, file.mode
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large ({error}); cut it into parts") from None
    except Exception:  # the header is a matter of opinion between decoders; the pixels were readable
        return FileTags(), ""
    if count > 1:
        raise ImageError(f"{path}: holds {count} pictures; extract the one to read")
    if form == "TIFF" or orientation not in range(1, 9):
        orientation = 1  # OpenCV turns TIFF itself
    return FileTags(orientation, bool(profile) and b"sRGB" not in profile), mode
