"""MATLAB-style downscaling: against published pictures where they are at hand, and by its properties."""

import os
from pathlib import Path

import numpy as np
import pytest

from adabm._compat import basicsr_module
from adabm.errors import ConfigError, ImageError
from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale, modcrop

# <mirror>/<owner>/<repository>/<commit>/<path>, as in the addresses of the data
SET5 = "jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/data/Set5/image_SRF_4/img_{:03}_SRF_4_{}.png"
MIRROR = os.environ.get("ADABM_MIRROR")


def published(number: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(read_rgb(Path(MIRROR) / SET5.format(number, kind)) for kind in ("HR", "LR"))


@pytest.mark.paper
@pytest.mark.skipif(
    not MIRROR or not (Path(MIRROR) / SET5.format(1, "HR")).is_file(), reason="no pictures of Set5 below ADABM_MIRROR"
)
@pytest.mark.parametrize("number", range(1, 6))
def test_equal_to_the_published_pictures(number):
    """In every pixel."""
    high, low = published(number)
    assert np.array_equal(downscale(high, 4), low)


def picture(height: int = 36, width: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_within_rounding_of_basicsr(scale):
    """BasicSR rounds once and mirrors borders: at most one level and a half apart away from these."""
    image = picture()
    theirs = basicsr_module("utils.matlab_functions").imresize(image / 255.0, 1 / scale)
    difference = np.abs(downscale(image, scale) - np.clip(theirs * 255, 0, 255))[2:-2, 2:-2]
    assert difference.max() < 1.5 and difference.mean() < 0.5


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_constant_stays_constant(scale, value):
    image = np.full((12, 24, 3), value, np.uint8)
    assert (downscale(image, scale) == value).all() and downscale(image, scale).shape == (12 // scale, 24 // scale, 3)


def test_scale_one_changes_nothing():
    assert np.array_equal(downscale(picture(), 1), picture())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_ramp_stays_a_ramp(scale, axis):
    """Away from the borders an output pixel is the ramp at the centre of its pixels."""
    ramp = np.broadcast_to((np.arange(60) * 4)[:, None, None], (60, 24, 3)).astype(np.uint8)
    out = downscale(ramp.swapaxes(0, axis), scale).swapaxes(0, axis)[3:-3, :, 0]
    centers = (np.arange(60 // scale) + 0.5) * scale - 0.5
    expected = np.floor(centers[3:-3] * 4 + 0.5)
    assert np.abs(out - expected[:, None]).max() <= 1 and (out == out[:, :1]).all()
    assert np.abs(out[:, 0] - expected).mean() < 0.2


def test_borders_are_repeated():
    """As if the picture went on with its border pixels."""
    image = picture()
    wide = np.pad(image, ((12, 12), (12, 12), (0, 0)), "edge")
    assert np.array_equal(downscale(wide, 4)[3:-3, 3:-3], downscale(image, 4))


def test_an_impulse_by_hand():
    """Halving weighs pixels by w(1/4), w(3/4), w(5/4), w(7/4) = 111, 29, -9, -3 of 256; 218*111/256 = 94.52."""
    line = np.zeros((8, 24), np.uint8)
    line[:, 10] = 218
    assert (downscale(line, 2) == [0, 0, 0, 0, 25, 95, 0, 0, 0, 0, 0, 0]).all()  # rounded and clamped
    assert (downscale(255 - line, 2)[:, 3:8] == [255, 230, 160, 255, 255]).all()
    assert (downscale(200 - line.clip(max=100), 2)[:, 3:8] == [201, 189, 157, 204, 200]).all()  # overshoot


def test_it_is_antialiased():
    """A checkerboard of single pixels averages to gray instead of being sampled."""
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    assert np.abs(downscale(board, 2)[4:-4, 4:-4].astype(int) - 127).max() <= 1


def test_symmetry_and_channels():
    image = picture()
    out = downscale(image, 4)
    assert np.array_equal(downscale(image[:, ::-1], 4), out[:, ::-1])
    assert np.array_equal(downscale(image[::-1], 4), out[::-1])
    assert np.array_equal(downscale(image[..., 1], 4), out[..., 1])
    assert out.dtype == np.uint8 and out.flags["C_CONTIGUOUS"]


def test_refused():
    with pytest.raises(ImageError, match="sides 48x36 are not multiples of 5: call modcrop first"):
        downscale(picture(), 5)
    with pytest.raises(ImageError, match="8-bit"):
        downscale(picture() / 255.0, 2)
    with pytest.raises(ImageError, match="3x48 pixels is smaller than the scale 4"):
        modcrop(picture(48, 3), 4)


def test_modcrop_keeps_the_top_left():
    image = picture(38, 51)
    assert np.array_equal(modcrop(image, 4), image[:36, :48])
    assert np.array_equal(modcrop(image, 1), image)


@pytest.mark.parametrize("scale", [0, -2, 2.0, True, "2"])
def test_scales_that_are_none(scale):
    for reduce in (modcrop, downscale):
        with pytest.raises(ConfigError, match=f"scale = {scale!r}: must be a whole number >= 1"):
            reduce(picture(), scale)
