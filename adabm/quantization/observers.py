"""Choose quantization ranges from observed tensors (method section 3).

An observer is a registered function, so that a file of the user's can add one and a recipe name it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from ..own_functions import a_half_width, a_range
from ..support.registry import Registry
from .bounds import histogram
from .memory import in_order

# f(x, bits, percentile) -> (lower, upper): the range of one batch of activations x (N, C, H, W), one-element tensors
ACTIVATION_OBSERVERS = Registry(
    "activation observer", a_range, "(lower, upper), two finite tensors of one element, lower <= upper"
)
# f(weight, bits, percentile) -> s: the half-width, a one-element tensor, of the symmetric range [-s, s] of a weight
WEIGHT_OBSERVERS = Registry("weight observer", a_half_width, "a finite tensor of one element >= 0")
_CHUNK = 1 << 16  # elements that stay in a core's cache while all candidates are tried
_BINS = 1 << 12  # of histograms that rule candidates out
_SAMPLE = 1 << 13  # values on which ranges are searched over a grid


def _full(x: Tensor) -> Tensor:
    """Anything less as float32: ranks and sums of squares need more than half precision has."""
    return x if x.is_floating_point() and x.element_size() >= 4 else x.float()


def quantile(x: Tensor, q: float) -> Tensor:
    """Return the q-quantile of all elements with linear interpolation, for tensors of any size.

    ``torch.quantile`` sorts and refuses more than 2**24 elements; two selections do neither. The
    rank is computed in the precision of ``x``, as there, so that both give the same value; that of
    half precision is too coarse for ranks, so there it is float32.
    """
    flat = _full(x.detach()).flatten()
    last = flat.numel() - 1
    precision = flat.dtype if last < 2**24 else torch.float64  # float32 does not hold larger ranks
    position = min(float(torch.tensor(q, dtype=precision) * last), float(last))
    below = int(position)
    low = flat.kthvalue(below + 1).values
    if below == position:
        return low
    return torch.lerp(low, flat.kthvalue(below + 2).values, position - below)


@torch.no_grad()
def shrink_errors(x: Tensor, lower: Tensor, upper: Tensor, bits: float, factors: Sequence[float]) -> Tensor:
    """Mean squared quantization error of ``x`` on [f*lower, f*upper] for each shrink factor f.

    Returns:
        (len(factors),) float64 tensor. Elements are visited in cache-sized chunks, and sums are
        taken in double precision, so that the best candidate does not depend on the order of sums.
    """
    steps = 2.0**bits - 1
    flat = _full(x.detach()).flatten()
    widths = [float(upper - lower) * f for f in factors]
    errors = torch.zeros(len(factors), dtype=torch.float64, device=x.device)
    scaled, code = flat.new_empty(2, min(_CHUNK, flat.numel()))
    for chunk in flat.split(_CHUNK):
        y, k = scaled[: chunk.numel()], code[: chunk.numel()]
        sums = []
        for factor, width in zip(factors, widths):
            if width <= 0:
                sums.append(flat.new_full((), float("inf")))
                continue
            # in units of one step: y = (x - f*lower)/step, and the error is round(clamp(y)) - y
            torch.mul(chunk, steps / width, out=y).sub_(float(lower) * factor * steps / width)
            torch.clamp(y, 0.0, steps, out=k).round_().sub_(y)
            sums.append(torch.dot(k, k) * (width / steps) ** 2)
        errors += torch.stack(sums).double()
    return errors / flat.numel()


def best_shrink(x: Tensor, lower: Tensor, upper: Tensor, bits: float, candidates: int) -> tuple[Tensor, Tensor]:
    """Shrink both ends of a range by steps of 1 % and return the ends with the least error."""
    flat = _full(x.detach()).flatten()
    factors = _promising(flat, lower, upper, bits, [1.0 - 0.01 * i for i in range(candidates)])
    best = factors[int(shrink_errors(flat, lower, upper, bits, factors).argmin())]
    return lower * best, upper * best


@torch.no_grad()
def _promising(x: Tensor, lower: Tensor, upper: Tensor, bits: float, factors: Sequence[float]) -> Sequence[float]:
    """Leave out the factors that a histogram of ``x`` (n,) proves worse than others, so that the best one stays.

    Moving a value by d changes its quantization error by d at most. Moving all values to the middle of their bins therefore
    changes the root of a mean squared error by half a bin at most (the triangle inequality).
    """
    least, greatest = map(float, torch.aminmax(x))
    if len(x) <= _CHUNK or not -math.inf < least < greatest < math.inf or not lower < upper:
        return factors
    counts = histogram(x, _BINS, least, greatest)
    bin_width = (greatest - least) / _BINS
    middles = least + bin_width * (counts.nonzero().flatten() + 0.5).double()
    shares = torch.tensor(factors, dtype=torch.float64, device=x.device).view(-1, 1)
    steps = shares * float(upper - lower) / (2.0**bits - 1)
    scaled = (middles - shares * float(lower)) / steps
    errors = scaled.clamp(0, 2.0**bits - 1).round_().sub_(scaled).mul_(steps).square_()
    roots = (errors @ counts[counts > 0] / len(x)).sqrt()
    # half a bin, and what rounding of single precision adds: to the place of an edge, and to the sums of the search itself
    off = 0.52 * bin_width + 1e-6 * max(-least, greatest)
    promising = roots - off <= (roots.min() + off) * (1 + 1e-4)
    return [factor for factor, kept in zip(factors, promising.tolist()) if kept]


@torch.no_grad()
def observe_activation(x: Tensor, observer: str, bits: float, percentile: float = 0.99) -> tuple[Tensor, Tensor]:
    """Return the range (lower, upper), one-element tensors, of one batch of activations.

    Args:
        x: (N, C, H, W) activations.
        observer: a name of ``ACTIVATION_OBSERVERS``.
        bits: at which an observer that looks at errors looks at them.
        percentile: of the observers that take one, in (0.5, 1].

    Raises:
        ConfigError: an unknown observer.
    """
    return ACTIVATION_OBSERVERS[observer](x, bits, percentile)


@torch.no_grad()
def observe_weight(weight: Tensor, observer: str, bits: float, percentile: float = 0.99) -> Tensor:
    """Return the half-width s, a one-element tensor, of the symmetric weight range [-s, s].

    Args:
        observer: a name of ``WEIGHT_OBSERVERS``.
        bits, percentile: see :func:`observe_activation`.

    Raises:
        ConfigError: an unknown observer.
    """
    return WEIGHT_OBSERVERS[observer](weight, bits, percentile)


def _ends(x: Tensor) -> tuple[Tensor, Tensor]:
    lower, upper = torch.aminmax(in_order(x))
    return lower.reshape(1), upper.reshape(1)


@ACTIVATION_OBSERVERS.register("minmax")
def minmax(x: Tensor, bits: float, percentile: float) -> tuple[Tensor, Tensor]:
    """The least and the greatest value."""
    return _ends(x)


APART = frozenset(
    {minmax}
)  # observers of whose ranges of single images the least and greatest ends are those of the batch


@ACTIVATION_OBSERVERS.register("percentile")
def between_percentiles(x: Tensor, bits: float, percentile: float) -> tuple[Tensor, Tensor]:
    """The (1 - percentile)- and the percentile-quantile; min/max where they coincide (an almost constant input)."""
    lower, upper = _ends(x)
    if lower == upper:
        return lower, upper
    low, high = quantile(x, 1.0 - percentile).reshape(1), quantile(x, percentile).reshape(1)
    return (low, high) if low < high else (lower, upper)


@ACTIVATION_OBSERVERS.register("omse")
def least_squared_error(x: Tensor, bits: float, percentile: float) -> tuple[Tensor, Tensor]:
    """Of 90 ranges shrunk from min/max in steps of 1 %, the one of least mean squared error at ``bits``."""
    lower, upper = _ends(x)
    return (lower, upper) if lower == upper else best_shrink(x, lower, upper, bits, 90)


@ACTIVATION_OBSERVERS.register("mse")
def least_error_on_grid(x: Tensor, bits: float, percentile: float) -> tuple[Tensor, Tensor]:
    """The range of least mean squared error at ``bits`` over a sample of the values, each end searched for itself.

    The lower end is zero where no value is negative. A coarse grid from min/max inwards is refined once around its best.
    """
    x = _full(x.detach())
    lower, upper = _ends(x)
    if lower == upper or bits >= FULL_PRECISION_BITS:
        return lower, upper
    sample = torch.cat([_sample(x), lower, upper])
    lows = torch.zeros(1) if lower >= 0 else 1 - torch.arange(0, 0.99, 0.14)  # shares of the ends that are kept
    highs = 1 - torch.arange(0, 0.9, 0.07)
    for _ in range(2):
        shares = torch.cartesian_prod(lows.clamp(0, 1).unique(), highs.clamp(0.02, 1).unique()).to(sample)
        errors = _grid_errors(sample, lower * shares[:, :1], upper * shares[:, 1:], bits)
        low, high = shares[errors.argmin()].tolist()
        lows = torch.zeros(1) if lower >= 0 else low + 0.05 * torch.arange(-2.0, 3.0)
        highs = high + 0.025 * torch.arange(-2.0, 3.0)
    return lower * low, upper * high


def _sample(x: Tensor) -> Tensor:
    """The same places of tensors of one size, independent of torch's random state."""
    flat = x.flatten()
    if flat.numel() <= _SAMPLE:
        return flat
    places = torch.randint(flat.numel(), (_SAMPLE,), generator=torch.Generator().manual_seed(0))
    return flat[places.to(flat.device)]


def _grid_errors(x: Tensor, lower: Tensor, upper: Tensor, bits: float) -> Tensor:
    """Mean squared quantization error of ``x`` (n,) on each of the ranges (k, 1), infinite for empty ones."""
    steps = 2.0**bits - 1
    errors = []
    for low, width in zip(lower.split(16), (upper - lower).split(16)):
        step = width.clamp_min(torch.finfo(x.dtype).tiny) / steps
        scaled = (x - low) / step
        error = scaled.clamp(0, steps).round_().sub_(scaled).mul_(step).square_().mean(1)
        errors.append(error.where(width[:, 0] > 0, torch.inf))
    return torch.cat(errors)


@WEIGHT_OBSERVERS.register("omse")
def omse_of_signed(weight: Tensor, bits: float, percentile: float) -> Tensor:
    """Of 50 values ``max(W)*(1 - 0.01 i)`` the one of least mean squared error at ``bits``.

    It starts from the largest *signed* weight, as the released code does; from max |W| where that is not positive.
    """
    largest = weight.max().reshape(1)
    return _best_scale(weight, largest if largest > 0 else _largest(weight), bits)


@WEIGHT_OBSERVERS.register("omse_absmax")
def omse(weight: Tensor, bits: float, percentile: float) -> Tensor:
    """Of 50 values ``max|W|*(1 - 0.01 i)`` the one of least mean squared error at ``bits``."""
    return _best_scale(weight, _largest(weight), bits)


@WEIGHT_OBSERVERS.register("minmax")
def absmax(weight: Tensor, bits: float, percentile: float) -> Tensor:
    """max |W|."""
    return _largest(weight)


@WEIGHT_OBSERVERS.register("percentile")
def percentile_of_signed(weight: Tensor, bits: float, percentile: float) -> Tensor:
    """The percentile-quantile of W; max |W| where that is not positive."""
    value = quantile(weight, percentile).reshape(1)
    return value if value > 0 else _largest(weight)


def _largest(weight: Tensor) -> Tensor:
    return weight.abs().max().reshape(1)


def _best_scale(weight: Tensor, start: Tensor, bits: float) -> Tensor:
    return best_shrink(weight, -start, start, bits, 50)[1] if start > 0 else start
