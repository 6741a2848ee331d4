"""Bit mapping: hard values, soft gradients, initial layer factors; and the complexity behind them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import adabm
from adabm.errors import ConfigError, ImageError
from adabm.quantization.bit_mapping import Image2Bit, Layer2Bit, initial_layer_factors, straight_through
from adabm.quantization.complexity import image_complexity


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mapping(lower: float, upper: float) -> Image2Bit:
    image2bit = Image2Bit().double()
    image2bit.set_thresholds(double([lower]), double([upper]))
    return image2bit


def test_image_factors():
    """Strict comparisons: an image exactly on a threshold is medium."""
    assert mapping(10, 20)(double([0, 9.99, 10, 15, 20, 20.01, 1000])).tolist() == [-1, -1, 0, 0, 0, 1, 1]


def test_image_gradients_are_those_of_the_surrogate():
    image2bit = mapping(10, 20)
    complexity = double([3.0, 12.0, 15.0, 30.0]).requires_grad_()
    weights = double([1.0, -2.0, 3.0, 0.5])
    (image2bit(complexity) * weights).sum().backward()
    lower, upper = double([10.0]).requires_grad_(), double([20.0]).requires_grad_()
    c = complexity.detach().requires_grad_()
    (torch.tanh((c - (upper + lower) / 2) * 2 / (upper - lower)) * weights).sum().backward()
    for actual, expected in ((complexity, c), (image2bit.lower, lower), (image2bit.upper, upper)):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-12, atol=0)


def test_surrogate_gradient_by_hand():
    """d tanh((c - m)*2/w)/dc at the middle m is 2/w; both thresholds share it with the other sign."""
    image2bit = mapping(10, 20)
    image2bit(double([15.0])).sum().backward()
    assert image2bit.lower.grad.item() == image2bit.upper.grad.item() == pytest.approx(-0.1)


def test_equal_thresholds_are_moved_apart():
    image2bit = mapping(7, 7)
    assert image2bit.lower == 7 < image2bit.upper
    image2bit(double([7.0, 8.0])).sum().backward()
    assert torch.isfinite(image2bit.lower.grad + image2bit.upper.grad)


@pytest.mark.parametrize(
    ("factor", "hard"),
    [(-9, -1), (-1, -1), (-0.51, -1), (-0.49, 0), (0, 0), (0.5, 0), (0.51, 1), (1.49, 1), (30, 1)],
)
def test_layer_factor(factor, hard):
    layer2bit = Layer2Bit().double()
    with torch.no_grad():
        layer2bit.factor.fill_(factor)
    out = layer2bit()
    assert out.shape == (1,) and out.item() == hard == layer2bit.hard.item()
    out.sum().backward()
    assert layer2bit.factor.grad.item() == pytest.approx(1 - math.tanh(factor) ** 2)


def test_straight_through_value_is_exact():
    hard, soft = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.1, 1e8, 1e-8], requires_grad=True)
    out = straight_through(hard, soft)
    assert torch.equal(out, hard)
    out.sum().backward()
    assert torch.equal(soft.grad, torch.ones(3))


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.sampled_from([0.0, 10.0, 30.0, 45.0]))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_layer_factors_against_numpy(sensitivities, percentile):
    low, high = np.percentile(sensitivities, [percentile, 100 - percentile])
    gaps = [abs(s - p) for s in sensitivities for p in (low, high) if s != p]
    assume(not gaps or min(gaps) > 1e-9)  # a rounding error decides about values so near to a percentile
    expected = [(s > high + 1e-10) * 1 - (s < low - 1e-10) * 1 for s in sensitivities]
    assert initial_layer_factors(double(sensitivities), percentile).tolist() == expected


def test_layer_factors_of_distinct_and_of_equal_layers():
    assert initial_layer_factors(double(range(1, 11))).tolist() == [-1] * 3 + [0] * 4 + [1] * 3
    assert initial_layer_factors(double([2.0, 2.0, 2.0])).tolist() == [0, 0, 0]
    assert initial_layer_factors(double([2.0])).tolist() == [0]


# -- image complexity ------------------------------------------------------------------------------


def naive_complexity(image: np.ndarray) -> float:
    """Of one (3, H, W) picture of values 0 to 1, pixel by pixel."""
    gray = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    height, width = gray.shape

    def at(y: int, x: int) -> float:
        return gray[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]

    total = 0.0
    for y in range(height):
        for x in range(width):
            right, left = (at(y - 1, x + d) + 2 * at(y, x + d) + at(y + 1, x + d) for d in (1, -1))
            down, up = (at(y + d, x - 1) + 2 * at(y + d, x) + at(y + d, x + 1) for d in (1, -1))
            total += abs(right - left) / 8 + abs(down - up) / 8
    return 1000 * total / (2 * height * width)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 4), (9, 12)])
def test_complexity_against_loops(size):
    images = np.random.default_rng(0).random((3, 3, *size))
    expected = [naive_complexity(image) for image in images]
    found = image_complexity(torch.from_numpy(images), 1.0)
    torch.testing.assert_close(found, double(expected), rtol=1e-10, atol=1e-10)
    single = image_complexity(torch.from_numpy(images * 255).float())
    torch.testing.assert_close(single, double(expected).float(), rtol=1e-4, atol=1e-4)


def test_complexity_of_a_ramp_by_hand():
    """Gray rises by 0.01 a pixel to the right: |gx| = 4 * 0.02 / 8 inside, half of it at both borders."""
    ramp = (torch.arange(10, dtype=torch.float64) * 0.01).expand(1, 3, 6, 10)
    assert image_complexity(ramp, 1.0).item() == pytest.approx(1000 * (8 * 0.01 + 2 * 0.005) / 10 / 2)
    assert image_complexity(torch.full((1, 3, 6, 10), 0.3), 1.0).item() == pytest.approx(0, abs=1e-3)


def test_complexity_does_not_depend_on_range_nor_on_gray_or_rgb():
    gray = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = image_complexity(gray, 1.0)
    assert (expected > 1).all()
    rgb = gray.repeat(1, 3, 1, 1)
    for images, value_range in ((gray * 255, 255.0), (rgb, 1.0), (rgb * 255, 255.0)):
        torch.testing.assert_close(image_complexity(images, value_range), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 2, 8, 8)])
def test_complexity_refuses_other_layouts(shape):
    with pytest.raises(ImageError, match=r"expected images of shape \(N, 3, H, W\)"):
        image_complexity(torch.zeros(shape))


@pytest.mark.parametrize("value_range", [0, -1.0, float("nan"), float("inf"), "255", None])
def test_a_value_range_that_is_none_is_refused(value_range):
    with pytest.raises(ConfigError, match="value_range = .*: must be a number > 0"):
        adabm.image_complexity(torch.rand(1, 3, 8, 8), value_range)
