"""Quantizers: properties of the grid, and the fused backward against autograd of the plain expression."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adabm.errors import ConfigError
from adabm.quantization.piecewise import PiecewiseQuantizer
from adabm.quantization.quantizers import ActivationQuantizer, Scratch, WeightQuantizer, fake_quantize

settings.register_profile("adabm", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("adabm")

seeds = st.integers(0, 2**31 - 1)
bit_widths = st.integers(1, 8)


@st.composite
def ranges(draw) -> tuple[float, float]:
    """lower < upper on both sides of zero, from thin to wide."""
    lower = draw(st.floats(-100, 100, width=32))
    return lower, lower + draw(st.floats(2**-7, 200, width=32))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values(seed: int, lower: float, upper: float, n: int = 3, dtype=torch.float64) -> torch.Tensor:
    """Values inside and outside the range, some exactly at its ends; (n, 2, 3, 4)."""
    x = torch.rand(n, 2, 3, 4, generator=generator(seed), dtype=dtype) * 2 - 0.5
    x = lower + x * (upper - lower)
    x[0, 0, 0, :2] = torch.tensor([lower, upper], dtype=dtype)
    return x


def pair(limits: tuple[float, float], dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.tensor([v], dtype=dtype) for v in limits)


def slack(limits: tuple[float, float]) -> float:
    """A few roundings of float32 at the size of the range."""
    return 8 * 2.0**-23 * max(map(abs, limits))


# -- the grid --------------------------------------------------------------------------------------


@given(ranges(), bit_widths, seeds)
def test_a_quantized_tensor_stays_as_it_is(limits, bits, seed):
    lower, upper = pair(limits, torch.float32)
    once = fake_quantize(values(seed, *limits, dtype=torch.float32), lower, upper, bits)
    torch.testing.assert_close(fake_quantize(once, lower, upper, bits), once, rtol=0, atol=slack(limits))


@given(ranges(), bit_widths, seeds)
def test_output_lies_on_the_grid_and_is_the_nearest_level(limits, bits, seed):
    lower, upper = pair(limits)
    x = values(seed, *limits)
    out = fake_quantize(x, lower, upper, bits)
    grid = torch.linspace(0, 1, 2**bits, dtype=torch.float64) * (upper - lower) + lower
    distance = (x.flatten()[:, None] - grid).abs().min(1).values
    torch.testing.assert_close((x - out).abs().flatten(), distance, rtol=1e-9, atol=1e-10)
    assert (out.flatten()[:, None] - grid).abs().min(1).values.max() <= 1e-10


@given(ranges(), bit_widths, seeds)
def test_range_and_number_of_levels_in_float32(limits, bits, seed):
    lower, upper = pair(limits, torch.float32)
    x = values(seed, *limits, n=40, dtype=torch.float32)
    out = fake_quantize(x, lower, upper, bits)
    assert out.unique().numel() <= 2**bits
    assert lower - slack(limits) <= out.min() and out.max() <= upper + slack(limits)


@given(ranges(), bit_widths, seeds)
def test_monotone(limits, bits, seed):
    x = values(seed, *limits, dtype=torch.float32).flatten().sort().values
    assert (fake_quantize(x, *pair(limits, torch.float32), bits).diff() >= 0).all()


@given(st.floats(2**-10, 100, width=32), bit_widths, seeds)
def test_weight_grid_is_symmetric_even_and_without_zero(scale, bits, seed):
    quantizer = WeightQuantizer()
    quantizer.set_scale(torch.tensor([scale]))
    dense = torch.linspace(-1.5 * scale, 1.5 * scale, 4 * 2**bits + 1)
    levels = quantizer(dense, bits).detach().unique()
    assert levels.numel() == 2**bits
    torch.testing.assert_close(levels, -levels.flip(0), rtol=0, atol=slack((scale, scale)))
    half_step = scale / (2**bits - 1)
    assert levels.abs().min() >= half_step * 0.99
    assert quantizer(torch.zeros(1), bits).abs().item() == pytest.approx(half_step, rel=1e-4)


@given(ranges(), st.lists(st.integers(1, 8), min_size=3, max_size=3), seeds)
def test_bits_per_image_equal_separate_calls(limits, bits, seed):
    lower, upper = pair(limits, torch.float32)
    x = values(seed, *limits, dtype=torch.float32)
    together = fake_quantize(x, lower, upper, torch.tensor(bits, dtype=torch.float32).view(-1, 1, 1, 1))
    for image, b, expected in zip(x, bits, together):
        assert torch.equal(fake_quantize(image, lower, upper, b), expected)


def test_worked_example():
    x = torch.tensor([-3.0, -1.0, -0.4, 0.1, 0.99, 2.0])
    out = fake_quantize(x, torch.tensor([-1.0]), torch.tensor([1.0]), 2)
    torch.testing.assert_close(out, torch.tensor([-1.0, -1.0, -1 / 3, 1 / 3, 1.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_full_precision_is_the_very_same_tensor(dtype):
    x = torch.randn(2, 3, dtype=dtype)
    assert ActivationQuantizer()(x, 32) is x
    assert WeightQuantizer()(x, 32) is x


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [8, torch.tensor([8.0, 2.0]).view(2, 1, 1, 1)], ids=["number", "tensor"])
def test_half_precision_rounds_the_float32_result(dtype, bits):
    quantizer = ActivationQuantizer()
    quantizer.set_range(torch.tensor([-1.3]), torch.tensor([2.1]))
    x = torch.randn(2, 3, 4, 4, generator=generator(0)).to(dtype).requires_grad_()
    out = quantizer(x, bits)
    assert out.dtype == dtype
    assert torch.equal(out, quantizer(x.detach().float(), bits).to(dtype))
    out.float().sum().backward()
    assert x.grad.dtype == dtype and quantizer.lower.grad.dtype == torch.float32
    assert torch.equal(x.grad != 0, (x >= -1.3) & (x <= 2.1))


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e6, -1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_collapsed_range_is_widened(value, dtype):
    quantizer = ActivationQuantizer().to(dtype)
    quantizer.set_range(torch.tensor([value]), torch.tensor([value]))
    assert quantizer.lower < quantizer.upper
    out = quantizer(torch.full((2, 2), value), 4)
    torch.testing.assert_close(out, torch.full((2, 2), value), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("quantizer", [ActivationQuantizer, PiecewiseQuantizer])
def test_a_range_from_its_upper_to_its_lower_end_is_refused(quantizer):
    with pytest.raises(ConfigError, match="from 1 to 0 is empty"):
        quantizer().set_range(torch.tensor([1.0]), torch.tensor([0.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_all_zero_weights_stay_finite(dtype):
    quantizer = WeightQuantizer().to(dtype)
    quantizer.set_scale(torch.zeros(1))
    assert quantizer.scale > 0 and quantizer(torch.zeros(3, dtype=dtype), 4).abs().max() < 1e-4


# -- the same to the last bit ------------------------------------------------------------------------


def plain(x: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, bits) -> torch.Tensor:
    """Operation after operation on whole tensors: what all tables of the study were computed with."""
    steps, width = 2**bits - 1, upper - lower
    return ((torch.maximum(x, lower).minimum(upper) - lower) / width * steps).round() / steps * width + lower


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fast_rounding_is_the_plain_formula_bit_by_bit(layout, dtype):
    scratch = Scratch()
    for seed, (lower, upper) in enumerate([(-1.7, 2.3), (0.0, 3.1), (-0.3, 1e-3), (-211.7, 187.3)]):
        for shape in ((2, 8, 5, 7), (2, 3, 220, 250)):  # the second in several pieces
            x = (torch.randn(shape, generator=generator(seed), dtype=dtype) * (upper - lower)).to(memory_format=layout)
            x[0, 0, 0, :3] = torch.tensor([lower, upper, -0.0], dtype=dtype)
            for bits in (1, 4, 8, torch.tensor([3.0, 5.0]).view(2, 1, 1, 1)):
                expected = plain(x, *pair((lower, upper), dtype), bits)
                assert torch.equal(fake_quantize(x, *pair((lower, upper), dtype), bits), expected)
                kept = fake_quantize(x, *pair((lower, upper), dtype), bits, scratch)
                assert torch.equal(kept, expected) and kept.stride() == x.stride()


def test_nan_stays_nan():
    x = torch.tensor([[0.3, math.nan, math.inf, -math.inf]])
    assert fake_quantize(x, *pair((-1.0, 1.0), torch.float32), 4)[0].isnan().tolist() == [False, True, False, False]


def test_kept_memory_is_used_again_and_no_part_of_a_copy():
    scratch, x = Scratch(), torch.zeros(3, 4)
    first = scratch.like(x)
    with torch.inference_mode():
        assert scratch.like(x[:2]).data_ptr() == first.data_ptr()
    assert scratch.like(torch.zeros(5, 4)).data_ptr() != first.data_ptr()
    assert scratch.like(x.double()).dtype == torch.float64
    large = torch.empty(1, dtype=torch.uint8).expand(2**27 + 1)
    assert scratch.like(large).data_ptr() != scratch.like(x).data_ptr() and scratch._memory.numel() <= 20
    assert copy.deepcopy(scratch)._memory is None and pickle.loads(pickle.dumps(scratch))._memory is None


# -- gradients -------------------------------------------------------------------------------------


def composite(x, lower, upper, bits):
    """The expression of the paper, with autograd and straight-through rounding."""
    steps = 2**bits - 1
    scaled = (torch.clamp(x, lower, upper) - lower) / (upper - lower) * steps
    rounded = scaled + (scaled.round() - scaled).detach()
    return rounded / steps * (upper - lower) + lower


@given(ranges(), st.lists(st.floats(1, 8), min_size=3, max_size=3), st.booleans(), seeds)
def test_backward_equals_autograd_of_the_expression(limits, bits, per_image, seed):
    """For x, both ends and the bits; two values lie exactly on the ends."""
    bits = torch.tensor(bits if per_image else bits[:1], dtype=torch.float64).view(-1, 1, 1, 1)
    inputs = [values(seed, *limits), *pair(limits), bits]
    weights = torch.randn(inputs[0].shape, generator=generator(seed + 1), dtype=torch.float64)

    def gradients(function):
        leaves = [t.clone().requires_grad_() for t in inputs]
        out = function(*leaves)
        return out.detach(), torch.autograd.grad((out * weights).sum(), leaves)

    (ours, gradients_ours), (plain, gradients_plain) = gradients(fake_quantize), gradients(composite)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-11)
    size = max(map(abs, limits)) + 1
    for actual, expected in zip(gradients_ours, gradients_plain):
        assert actual.shape == expected.shape
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-11 * size)


@pytest.mark.parametrize("wanted", range(4))
def test_each_gradient_alone_is_the_same(wanted):
    bits = torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64).view(3, 1, 1, 1)
    inputs = [values(0, -1.0, 2.0), *pair((-1.0, 2.0)), bits]
    every = [t.clone().requires_grad_() for t in inputs]
    expected = torch.autograd.grad(fake_quantize(*every).square().sum(), every)[wanted]
    inputs[wanted].requires_grad_()
    fake_quantize(*inputs).square().sum().backward()
    assert torch.equal(inputs[wanted].grad, expected)
    assert all(t.grad is None for i, t in enumerate(inputs) if i != wanted)


@given(ranges(), st.integers(2, 8))
def test_clamped_values_move_with_their_end(limits, bits):
    """Where everything is clamped the function is smooth: finite differences are the gradients."""
    lower, upper = (t.requires_grad_() for t in pair(limits))
    width = limits[1] - limits[0]
    below, above = (torch.full((2, 1, 1, 5), v, dtype=torch.float64) for v in (limits[0] - width, limits[1] + width))
    for x, expected in ((below, (10.0, 0.0)), (above, (0.0, 10.0))):
        found = torch.autograd.grad(fake_quantize(x, lower, upper, bits).sum(), (lower, upper))
        step = width * 1e-3
        for index, (gradient, value) in enumerate(zip(found, expected)):
            moved = [torch.tensor([v], dtype=torch.float64) for v in limits]
            moved[index] += step
            difference = (fake_quantize(x, *moved, bits) - fake_quantize(x, lower, upper, bits)).sum() / step
            assert difference.item() == pytest.approx(value, abs=1e-6)
            assert gradient.item() == pytest.approx(value, abs=1e-6)


def test_range_gradient_at_fixed_codes_matches_finite_differences():
    """A value on the grid keeps its code when the range moves with it: then only the affine map acts."""
    lower, upper = (t.requires_grad_() for t in pair((-1.0, 2.0)))
    on_grid = (torch.arange(4, dtype=torch.float64) / 3 * 3 - 1).view(1, 1, 1, 4)
    gradient = torch.autograd.grad(fake_quantize(on_grid, lower, upper, 2).sum(), (lower, upper))
    assert [g.item() for g in gradient] == pytest.approx([0.0, 0.0], abs=1e-12)  # no rounding error to reduce
    off_grid = torch.tensor([-0.1], dtype=torch.float64).view(1, 1, 1, 1)  # t = 0.3, code 1 of 3
    gradient = torch.autograd.grad(fake_quantize(off_grid, lower, upper, 2).sum(), (lower, upper))
    assert [g.item() for g in gradient] == pytest.approx([0.3 - 1 / 3, 1 / 3 - 0.3], abs=1e-12)


def test_bits_gradient_points_to_the_lower_error():
    """d/db of the output is -(rounding error)/(2^b - 1) * ln 2 * 2^b."""
    bits = torch.full((1, 1, 1, 1), 3.0, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.2], dtype=torch.float64).view(1, 1, 1, 1)
    out = fake_quantize(x, *pair((0.0, 1.0)), bits)
    out.backward()
    assert out.item() == pytest.approx(1 / 7)
    assert bits.grad.item() == pytest.approx(-(1 / 7 - 0.2) / 7 * 8 * math.log(2))


def test_weight_scale_gradient():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    scale = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
    quantizer = WeightQuantizer().double()
    quantizer.set_scale(scale)
    quantizer(weight, 4).pow(3).sum().backward()
    composite(weight, -scale, scale, 4).pow(3).sum().backward()
    torch.testing.assert_close(quantizer.scale.grad, scale.grad, rtol=1e-9, atol=0)
