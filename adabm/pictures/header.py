"""What a picture file's header says, and the refusal of what must not be decoded: several pictures, or too many pixels."""

import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from ..errors import ConfigError, ImageError

MAX_PIXELS = (
    178_956_970  # what Pillow takes for an attack: 0.5 GB of RGB; the largest photograph of the study has 6 million
)
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB")  # as Pillow calls those that are read
MAX_PIXELS_VARIABLE = "ADABM_MAX_PIXELS"
_MOST_DIGITS = 18  # of ADABM_MAX_PIXELS; Python converts some thousand at most
_lock = threading.Lock()
_turning = ContextVar("turning", default=False)  # whether the reader turns pictures as their orientation says
_ORIENTATION = 0x0112  # EXIF tag
_TELLING = (b"eXIf", b" exif", b"com.adobe.xmp")  # in a PNG that may have one
_BITFIELDS = 3  # a BMP's compression
_BYTES = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)  # the masks of one's channels, in any order
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA = 258, 262, 277, 284, 338  # tags of TIFF
_NEGATIVE, _GRAY, _PALETTE = 0, 1, 3  # photometric interpretations; of the first, white is zero
_STRAIGHT = 2  # an extra sample: colours are not multiplied by it
_COLOURS = {5: "CMYK", 8: "LAB", 9: "LAB", 10: "LAB"}  # the decoder would take them for RGB


@dataclass(frozen=True)
class Header:
    """Facts from a picture file's header.

    Attributes:
        format, mode: as Pillow calls them, such as ``PNG`` and ``RGB``; the mode may be simpler than the file.
        height, width: as stored, in pixels.
    """

    format: str
    mode: str
    height: int
    width: int


def read_header(file: BinaryIO, name: str | Path) -> Header | None:
    """Return what the header of an open file says; None where Pillow does not understand it, which others may.

    Raises:
        ImageError: it is of a format that is not read, whatever its name; it holds several pictures (animations, pages),
            gray with a transparent shade, more pixels than :func:`check_pixels` allows, or an orientation that nobody follows
            (outside of :func:`turning`); or it is a TIFF or BMP that the decoder reads wrongly without a word, a damaged TIFF, or a
            PNG with a part that is longer than the file.
    """
    if (fault := _tiff_fault(file) or _bmp_fault(file) or _png_fault(file)) is not None:
        raise ImageError(f"{name}: {fault}")
    file.seek(0)
    try:
        with pillow_without_limit(), Image.open(file) as image:
            # a JPEG's further pictures are thumbnails, depth or gain maps, not what the user sees
            count = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            (width, height), form, mode = image.size, image.format, image.mode
            see_through = "transparency" in image.info
            turned = not _turning.get() and _is_turned(image, file)
    except Exception:  # whatever Pillow raises on a damaged file: the decoder has the last word
        return None
    if count > 1:
        raise ImageError(f"{name}: holds {count} pictures; extract the one to read")
    if form not in FORMATS:
        raise ImageError(f"{name}: is a {form} file, whatever its name; convert it to PNG")
    if see_through and mode in ("1", "L", "I", "I;16"):  # the decoder would drop it
        raise ImageError(f"{name}: gray with a transparent shade is not supported; convert to RGBA")
    check_pixels(height, width, name)
    if turned:
        raise ImageError(
            f"{name}: is stored turned (its EXIF orientation is not 1), which adabm upscale alone follows; save it upright, such as with "
            "ImageMagick's -auto-orient, or remove the tag if its pixels are meant as they are stored"
        )
    if form == "TIFF":  # the decoder gives what it could read of damaged data
        file.seek(0)
        try:
            with pillow_without_limit(), Image.open(file) as image:
                image.load()
        except Exception as error:
            raise ImageError(f"{name}: is damaged ({error})") from None
    return Header(form, mode, height, width)


@contextmanager
def turning() -> Iterator[None]:
    """Inside the ``with`` block the caller turns pictures as their :func:`stored_orientation` says, so that they are not refused."""
    before = _turning.set(True)
    try:
        yield
    finally:
        _turning.reset(before)


def stored_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is left to follow in an open picture, 1 to 8; 1: none."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    turned = image.format != "TIFF" and orientation in range(1, 9)  # the decoder turns TIFF itself
    return int(orientation) if turned else 1


def _is_turned(image: Image.Image, file: BinaryIO) -> bool:
    """Whether an open picture has an orientation; of a PNG, which is decoded for that, asked where its file may tell one alone."""
    if image.format == "PNG":
        place = file.tell()
        file.seek(0)
        told = file.read()
        file.seek(place)
        if not any(tag in told for tag in _TELLING):
            return False
    try:
        return stored_orientation(image) != 1
    except Exception:  # whatever Pillow raises on damaged tags, which nobody can follow
        return False


def _png_fault(file: BinaryIO) -> str | None:
    """Find a part that is said to be longer than the file: the decoder would take as much memory, up to 2 GB."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return None
    while len(begin := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", begin)
        if file.tell() + length > size:
            return "not a readable picture: a part of it is said to be longer than the file"
        if kind == b"IEND":
            return None
        file.seek(length + 4, os.SEEK_CUR)  # what it holds, and a checksum
    return None


def _tiff_fault(file: BinaryIO) -> str | None:
    """What a TIFF is refused for that the decoder would read wrongly, by its tags; None if nothing, or if it is no TIFF."""
    file.seek(0)
    start = file.read(16)
    if start[:4] == b"MM\0+":  # Pillow takes it for a classic one and finds no tags
        return "is a big-endian BigTIFF, which is not read; save it as a classic TIFF or PNG"
    if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0"):
        return None
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(start if start[2] == 43 else start[:8])
        file.seek(tags.next)
        with pillow_without_limit():
            tags.load(file)
        bits, photometric = set(tags.get(_BITS, (1,))), tags.get(_PHOTOMETRIC)
        samples, planar, extra = tags.get(_SAMPLES, 1), tags.get(_PLANAR, 1), tags.get(_EXTRA, ())
    except Exception:  # whatever Pillow raises on damaged tags: the decoder has the last word
        return None
    if photometric in _COLOURS:
        return f"holds {_COLOURS[photometric]} colours; convert to RGB"
    if not bits <= {1, 8, 16}:
        return f"has {' and '.join(map(str, sorted(bits)))} bits a sample, not 8 or 16; save it as PNG"
    if 16 in bits and planar != 1:
        return "has 16 bits in planes of their own; save it as PNG"
    if 16 in bits and photometric == _NEGATIVE:
        return "is a negative of 16 bits (white is zero); save it as PNG"
    if 16 in bits and samples == 2:  # the decoder gives 8 bits of the gray
        return "is gray of 16 bits with a second channel; convert to RGBA, or to gray alone"
    if extra and 8 in bits:  # the decoder multiplies colours by it
        return "is a TIFF with transparency, which is not read; save it as PNG"
    if photometric in (_NEGATIVE, _GRAY) and samples > 1:  # the decoder gives the first one
        return f"is gray with {samples} channels; save it as RGB, or each channel as a picture of its own"
    if 16 in bits and photometric == _PALETTE:  # the decoder gives the places in the palette
        return "has a palette of 16 bits; convert to RGB"
    if 16 in bits and extra not in (
        (),
        (_STRAIGHT,),
    ):  # the decoder takes any for alpha that colours are not multiplied by
        return (
            "is a TIFF of 16 bits whose transparency is no straight (unassociated) alpha: colours may be multiplied by it, or it means "
            "something else; save it as PNG"
        )
    return None


def _bmp_fault(file: BinaryIO) -> str | None:
    """What a BMP is refused for that the decoder would read wrongly, by its bits and masks; None if nothing, or if it is none."""
    file.seek(0)
    start = file.read(70)
    if start[:2] != b"BM" or len(start) < 30:
        return None
    size, bits = struct.unpack_from("<14xI10xH", start)
    # the decoder leaves the lowest bits of a byte empty; those of earlier headers it refuses
    if size >= 40 and bits == 16:
        return "is a BMP of 16 bits, whose white would be gray; save it as PNG"
    if len(start) < 70:
        return None
    size, bits, compression, *masks = struct.unpack_from("<14xI10xHI20x4I", start)
    if (bits, compression) != (32, _BITFIELDS):
        return None
    if size < 56 or not masks[3]:  # the decoder would take the byte that is not used for transparency
        return "is a BMP of 32 bits without transparency; save it as PNG"
    if sorted(masks) != sorted(_BYTES):
        return "is a BMP of 32 bits whose channels are no bytes; save it as PNG"
    return None


def check_pixels(height: int, width: int, name: str | Path) -> None:
    """Refuse pictures of more pixels than ``ADABM_MAX_PIXELS`` says, by default 179 million.

    Raises:
        ImageError: too many.
        ConfigError: ``ADABM_MAX_PIXELS`` is no whole number.
    """
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ConfigError(
            f"{MAX_PIXELS_VARIABLE}={text[:40]}: must be a whole number of pixels, of {_MOST_DIGITS} digits at most"
        )
    most = int(text or MAX_PIXELS)
    if height * width > most:
        raise ImageError(
            f"{name}: {width}x{height} pixels are more than {most}; cut it into parts, or set {MAX_PIXELS_VARIABLE} to "
            f"{height * width} to read it whole ({3 * height * width / 1e9:.1f} GB)"
        )


@contextmanager
def pillow_without_limit() -> Iterator[None]:
    """Let Pillow open large pictures, which is not to decode them, and not speak of odd headers."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
