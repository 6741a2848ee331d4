"""TIFFs whose samples mean something else than the decoder takes them for are refused; those that others write alike are read."""

import struct

import cv2
import numpy as np
import pytest
from test_reading import tiff

from adabm.errors import ImageError
from adabm.pictures.orientation import read_upright
from adabm.pictures.reading import picture_size, read_raw

_PHOTOMETRIC, _EXTRA = 262, 338


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another value of a tag that has one."""
    (begin,) = struct.unpack_from("<I", data, 4)
    places = [begin + 2 + 12 * n for n in range(*struct.unpack_from("<H", data, begin))]
    (place,) = (place for place in places if struct.unpack_from("<H", data, place)[0] == tag)
    changed = bytearray(data)
    struct.pack_into("<H", changed, place + 8, value)
    return bytes(changed)


def samples(channels: int, kind: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, (9, 8, channels)).astype(kind)


def refused(path, told: str) -> None:
    for read in (read_raw, read_upright, picture_size):
        with pytest.raises(ImageError, match=rf"a\.tif: .*{told}"):
            read(path)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_gray_of_three_channels(tmp_path, kind):
    """The decoder gives the first one alone."""
    path = tmp_path / "a.tif"
    path.write_bytes(with_tag(tiff(samples(3, kind), False, False, "<"), _PHOTOMETRIC, 1))
    refused(path, "is gray with 3 channels; save it as RGB")


def test_gray_of_four_channels(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(with_tag(tiff(samples(4, np.uint16), False, False, "<"), _PHOTOMETRIC, 1))
    refused(path, "is gray with 4 channels")


@pytest.mark.parametrize("channels", [1, 4])
def test_a_palette_of_16_bits(tmp_path, channels):
    """The decoder gives the places in it."""
    path = tmp_path / "a.tif"
    path.write_bytes(with_tag(tiff(samples(channels, np.uint16), False, False, "<"), _PHOTOMETRIC, 3))
    refused(path, "a palette of 16 bits; convert to RGB")


@pytest.mark.parametrize("meaning", [0, 1])  # unspecified; alpha by which colours are multiplied
def test_transparency_of_16_bits_that_is_not_straight(tmp_path, meaning):
    path = tmp_path / "a.tif"
    path.write_bytes(with_tag(tiff(samples(4, np.uint16), False, False, "<"), _EXTRA, meaning))
    refused(path, r"transparency is no straight \(unassociated\) alpha.*save it as PNG")


def test_straight_transparency_of_16_bits_is_read(tmp_path):
    """Said to be straight, and as OpenCV and this package write it, without a word on its meaning."""
    path, pixels = tmp_path / "a.tif", samples(4, np.uint16)
    path.write_bytes(tiff(pixels, False, False, "<"))
    np.testing.assert_array_equal(read_raw(path), pixels)
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    np.testing.assert_array_equal(read_raw(path), pixels)
