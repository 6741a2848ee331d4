"""PSNR and SSIM against BasicSR's, which much of the literature reports, and by hand."""

import itertools
import math

import numpy as np
import pytest

import adabm
from adabm._compat import basicsr_module
from adabm.engines.metrics import luma, psnr_y, ssim_y
from adabm.errors import ImageError
from adabm.quantization.model import QuantizedSR
from helpers.tiny_networks import tiny


def pair(seed: int, size: tuple[int, int] = (40, 52), noise: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth coloured picture and the same with noise and a tint."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / 10
    clean = np.stack([127 + 100 * np.sin(x + phase) * np.cos(y * (1 + phase)) for phase in rng.random(3)], -1)
    noisy = clean + rng.normal(0, noise, clean.shape) + rng.normal(0, 3, 3)
    return tuple(v.round().clip(0, 255).astype(np.uint8) for v in (clean, noisy))


@pytest.mark.parametrize("border", [0, 2, 3, 4])
@pytest.mark.parametrize("noise", [1.0, 12.0, 80.0])
def test_equal_to_basicsr(border, noise):
    reference, image = pair(border, noise=noise)
    theirs = basicsr_module("metrics.psnr_ssim")
    bgr = image[..., ::-1], reference[..., ::-1]
    options = dict(crop_border=border, input_order="HWC", test_y_channel=True)
    assert psnr_y(image, reference, border) == pytest.approx(theirs.calculate_psnr(*bgr, **options), abs=1e-4)
    assert ssim_y(image, reference, border) == pytest.approx(theirs.calculate_ssim(*bgr, **options), abs=1e-5)


def test_luma_is_studio_range():
    white, black = (np.full((1, 1, 3), v, np.uint8) for v in (255, 0))
    assert luma(white).item() == pytest.approx(235) and luma(black).item() == 16
    primaries = luma(np.eye(3, dtype=np.uint8)[None] * 255)
    assert primaries[0] == pytest.approx([16 + 65.481, 16 + 128.553, 16 + 24.966])  # R, G, B in this order


def test_psnr_by_hand():
    """A gray level of 10 more changes Y by 10*219/255, everywhere."""
    reference = np.full((30, 30, 3), 100, np.uint8)
    assert psnr_y(reference + 10, reference, 4) == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)))


def test_identical_pictures():
    reference, _ = pair(0)
    assert psnr_y(reference, reference, 4) == math.inf
    assert ssim_y(reference, reference, 4) == pytest.approx(1, abs=1e-12)


def test_the_border_does_not_count():
    reference, _ = pair(0)
    spoilt = reference.copy()
    spoilt[:3], spoilt[-3:], spoilt[:, :3], spoilt[:, -3:] = 0, 255, 255, 0
    assert psnr_y(spoilt, reference, 3) == math.inf
    assert psnr_y(spoilt, reference, 2) < 30 and ssim_y(spoilt, reference, 0) < 0.95 < ssim_y(spoilt, reference, 3)


@pytest.mark.parametrize("metric", [psnr_y, ssim_y])
def test_refused(metric):
    reference, _ = pair(0)
    with pytest.raises(ImageError, match=r"\(40, 52, 3\) and \(40, 50, 3\) cannot be compared; was the scale right"):
        metric(reference, reference[:, :50], 2)
    with pytest.raises(ImageError, match="52x18 pixels is too small to evaluate with a border of 4"):
        metric(reference[:18], reference[:18], 4)


def test_order_of_noise_is_order_of_scores():
    scores = [(psnr_y(i, r, 4), ssim_y(i, r, 4)) for r, i in (pair(0, noise=n) for n in (2, 8, 30))]
    assert scores == sorted(scores, reverse=True)
    assert all(a > b + 0.02 for (_, a), (_, b) in itertools.pairwise(scores))


WHOLE = np.full((8, 8, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([adabm.Picture("a", WHOLE / 255.0, WHOLE)], "a, ground truth: the picture spans 0.35"),
        ([adabm.Picture("a", WHOLE, WHOLE / 255.0)], "a, input: the picture spans 0.35"),
        ([adabm.Picture("a", WHOLE.astype(np.uint16) * 257, WHOLE)], "a, ground truth: the picture is of type uint16"),
        ([adabm.Picture("a", WHOLE, WHOLE.astype(np.uint16))], "a, input: the picture is of type uint16"),
        (
            [adabm.Picture("a", WHOLE[..., :1], WHOLE)],
            r"a, ground truth: the picture has shape .* expected \(H, W, 3\)",
        ),
        ([adabm.Picture("a", WHOLE, WHOLE), 1], "picture 2 is a int"),
        ("a.png", "pictures is a str"),
        (adabm.Picture("a", WHOLE, WHOLE), "pictures is a Picture"),
        (None, "pictures is a NoneType"),
    ],
)
def test_what_is_no_picture_to_evaluate_is_refused(pictures, message):
    """Of floating point from 0 to 1 or of 16 bits, it would give other numbers without a word."""
    with pytest.raises(adabm.AdabmError, match=message):
        adabm.evaluate(QuantizedSR(tiny("ECBSR"), adabm.preset("minmax")), pictures)


@pytest.mark.parametrize("tile", [0, 2.5, "8", float("nan"), True])
def test_impossible_tiles_of_an_evaluation_are_refused(tile):
    with pytest.raises(adabm.AdabmError, match="^tile = "):
        adabm.evaluate(QuantizedSR(tiny("ECBSR"), adabm.preset("minmax")), [adabm.Picture("a", WHOLE, WHOLE)], tile)
