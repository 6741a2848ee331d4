"""Observers: quantiles, the search for the least error, and ranges of awkward inputs."""

import math

import pytest
import torch

from adabm.errors import ConfigError
from adabm.quantization.bounds import histogram
from adabm.quantization.observers import (
    ACTIVATION_OBSERVERS,
    WEIGHT_OBSERVERS,
    _promising,
    best_shrink,
    observe_activation,
    observe_weight,
    quantile,
    shrink_errors,
)
from adabm.quantization.quantizers import ActivationQuantizer, WeightQuantizer, fake_quantize


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- quantiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantile_equals_torch(q):
    for size in (*range(1, 40), 99, 100, 101, 1000, 4096, 12345, 100_003):
        x = sample(size, seed=size)
        assert quantile(x, q).item() == torch.quantile(x, q).item(), size
    double = sample(50).double()
    assert quantile(double, q).item() == pytest.approx(torch.quantile(double, q).item(), rel=1e-14)


def test_quantile_of_ties_and_of_more_dimensions():
    x = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 5.0])
    for q in (0.2, 0.5, 0.7, 0.9):
        assert quantile(x.view(2, 1, 3), q) == torch.quantile(x, q)


@pytest.mark.slow
def test_quantile_beyond_the_size_that_torch_accepts():
    x = torch.zeros(2**24 + 2)
    x[-3:] = torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(x, 0.5)
    assert quantile(x, 1.0) == 3.0 and quantile(x, 0.5) == 0.0  # in float32 the last rank would be rounded down


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_quantile_in_half_precision_has_an_exact_rank(dtype):
    """A rank rounded to bfloat16 would be off by up to 0.4 % of the elements."""
    x = (torch.arange(1001) / 1000).to(dtype)  # bfloat16 tells apart far fewer values than ranks
    assert quantile(x, 0.99) == torch.quantile(x.float(), 0.99)


# -- least error -----------------------------------------------------------------------------------


def brute_force(x: torch.Tensor, lower: float, upper: float, bits: int, candidates: int) -> int:
    errors = []
    for i in range(candidates):
        ends = [torch.tensor([v * (1 - 0.01 * i)], dtype=torch.float64) for v in (lower, upper)]
        errors.append(float((fake_quantize(x.double(), *ends, bits) - x.double()).square().mean()))
    return min(range(candidates), key=errors.__getitem__)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
@pytest.mark.parametrize("heavy", [False, True], ids=["gaussian", "heavy-tailed"])
def test_omse_takes_the_candidate_of_least_error(bits, heavy):
    x = sample(2, 4, 40, 40, seed=bits)
    x = x.pow(3) if heavy else x + 0.5
    best = brute_force(x, float(x.min()), float(x.max()), bits, 90)
    assert 0 < best < 89  # otherwise this would not test the search
    lower, upper = observe_activation(x, "omse", bits)
    torch.testing.assert_close(torch.cat([lower, upper]), torch.stack([x.min(), x.max()]) * (1 - 0.01 * best))


@pytest.mark.parametrize("observer", ["omse", "omse_absmax"])
def test_weight_omse_takes_the_candidate_of_least_error(observer):
    weight = sample(16, 8, 3, 3) * 0.1
    weight[0, 0, 0, 0] = -1.0  # the largest magnitude is negative
    start = float(weight.max()) if observer == "omse" else 1.0
    best = brute_force(weight, -start, start, 4, 50)
    torch.testing.assert_close(observe_weight(weight, observer, 4), torch.tensor([start * (1 - 0.01 * best)]))


def test_an_empty_range_is_left_as_it_is():
    """No candidate is better than another; the first counts."""
    five = torch.full((1,), 5.0)
    assert best_shrink(torch.full((3, 3), 5.0), five, five, 4, 100) == (five, five)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_candidates_that_are_ruled_out_are_none_of_the_best(bits):
    """The same ends as of a search over all candidates, to the last bit, of which a few are left to be tried."""
    gaussian = sample(100_000, seed=bits)
    for x in (gaussian, gaussian.relu(), gaussian**3, gaussian + 40, gaussian.sign(), gaussian.clamp(-0.5, 3)):
        for scale in (0.5, 1.0, 2.0):  # ranges that leave values out, or places empty
            lower, upper = x.min().view(1) * scale, x.max().view(1) * scale
            factors = [1.0 - 0.01 * i for i in range(100)]
            best = factors[int(shrink_errors(x, lower, upper, bits, factors).argmin())]
            assert best_shrink(x, lower, upper, bits, 100) == (lower * best, upper * best)
    assert len(_promising(gaussian, gaussian.min(), gaussian.max(), 4, factors)) < 30


def test_no_candidate_is_ruled_out_blindly():
    x = sample(100_000)
    for strange in (math.nan, math.inf):
        x[7] = strange
        assert len(_promising(x, torch.tensor(-1.0), torch.tensor(1.0), 4, [1.0, 0.5])) == 2
    assert len(_promising(torch.ones(100_000), torch.tensor(-1.0), torch.tensor(1.0), 4, [1.0, 0.5])) == 2


def test_errors_of_all_candidates_over_several_chunks():
    x = sample(150_000)
    factors = [1.0, 0.7, 0.4, 0.1]
    errors = shrink_errors(x, x.min(), x.max(), 4, factors)
    rounded = [fake_quantize(x, x.min().view(1) * f, x.max().view(1) * f, 4) for f in factors]
    expected = torch.stack([(q - x).double().square().mean() for q in rounded])
    torch.testing.assert_close(errors, expected, rtol=1e-5, atol=0)


def test_search_in_float16_does_not_overflow():
    """Sums of squares of the values 0 to 255 leave the range of float16."""
    x = torch.rand(1, 8, 64, 64, generator=torch.Generator().manual_seed(0)).pow(8).mul(255).half()
    expected = best_shrink(x.float(), torch.zeros(1), x.max().float().view(1), 4, 100)[1]
    found = best_shrink(x, torch.zeros(1), x.max().view(1), 4, 100)[1]
    assert 0.02 * 255 < expected < 0.98 * 255
    assert float(found) == pytest.approx(float(expected), rel=2e-3)


# -- ranges ----------------------------------------------------------------------------------------


def test_activation_ranges_by_hand():
    x = torch.linspace(-1, 3, 401).view(1, 1, 1, -1)
    assert [v.item() for v in observe_activation(x, "minmax", 4)] == [-1, 3]
    low, high = observe_activation(x, "percentile", 4, percentile=0.99)
    assert (low.item(), high.item()) == (pytest.approx(-0.96, abs=1e-5), pytest.approx(2.96, abs=1e-5))


def test_weight_ranges_by_hand():
    weight = torch.linspace(-3, 1, 401)
    assert observe_weight(weight, "minmax", 4).item() == 3
    assert observe_weight(weight, "percentile", 4, percentile=0.99).item() == pytest.approx(0.96, abs=1e-5)
    assert observe_weight(weight, "omse", 4).item() <= 1 < observe_weight(weight, "omse_absmax", 4).item() <= 3


INPUTS = {
    "zeros": torch.zeros(2, 3, 4, 4),
    "constant": torch.full((2, 3, 4, 4), -7.0),
    "small constant": torch.full((2, 3, 4, 4), 1e-4),
    "above": sample(2, 3, 8, 8).abs() + 2,
    "below": -sample(2, 3, 8, 8).abs() - 2,
    "one column": torch.zeros(2, 3, 8, 8).index_fill(3, torch.tensor([7]), 1.0),
    "sparse": torch.eye(60).view(1, 1, 60, 60),
}


@pytest.mark.parametrize("observer", ACTIVATION_OBSERVERS)
@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS)
def test_every_input_gives_a_usable_range(observer, x):
    """Finite, not empty, and of an error no larger than the spread of the input."""
    quantizer = ActivationQuantizer()
    quantizer.set_range(*observe_activation(x, observer, 4))
    assert torch.isfinite(quantizer.lower + quantizer.upper) and quantizer.lower < quantizer.upper
    out = quantizer(x, 4)
    assert torch.isfinite(out).all()
    assert (out - x).abs().max() <= x.max() - x.min() + 1e-5 * x.abs().max() + 1e-12


@pytest.mark.parametrize("observer", WEIGHT_OBSERVERS)
@pytest.mark.parametrize(
    "weight",
    [torch.zeros(4, 4), torch.full((4, 4), 0.5), torch.full((4, 4), -0.5), -sample(4, 4).abs(), torch.eye(20)],
    ids=["zeros", "positive constant", "negative constant", "negative", "sparse"],
)
def test_every_weight_gives_a_usable_range(observer, weight):
    quantizer = WeightQuantizer()
    quantizer.set_scale(observe_weight(weight, observer, 8))
    assert 0 < quantizer.scale <= max(float(weight.abs().max()), 1e-12)
    assert torch.isfinite(quantizer(weight, 8)).all()


@pytest.mark.parametrize("x", [sample(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)], ids=["random", "constant"])
def test_unknown_observers_are_named(x):
    with pytest.raises(ConfigError, match="unknown activation observer 'omsee'; did you mean 'omse'"):
        observe_activation(x, "omsee", 4)
    with pytest.raises(ConfigError, match="unknown weight observer 'mse'; did you mean 'omse'"):
        observe_weight(x, "mse", 4)


def test_a_histogram_counts_beyond_what_single_precision_does():
    """torch.histc stops at 16,777,216 values in a bin."""
    x = torch.zeros(2**24 + 10)
    x[-1] = 1.0
    assert histogram(x, 4, 0.0, 1.0).tolist() == [2**24 + 9, 0, 0, 1]
