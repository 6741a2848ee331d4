"""Choose quantization ranges from observed tensors (method section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ConfigError

ACTIVATION_OBSERVERS = ("minmax", "percentile", "omse")
WEIGHT_OBSERVERS = ("omse", "omse_absmax", "omse_own_bits", "minmax", "percentile")
_CHUNK = 1 << 16  # elements that stay in a core's cache while all candidates are tried


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
    factors = [1.0 - 0.01 * i for i in range(candidates)]
    best = factors[int(shrink_errors(x, lower, upper, bits, factors).argmin())]
    return lower * best, upper * best


@torch.no_grad()
def observe_activation(x: Tensor, observer: str, bits: float, percentile: float = 0.99) -> tuple[Tensor, Tensor]:
    """Return the range (lower, upper), one-element tensors, of one batch of activations.

    Args:
        x: (N, C, H, W) activations.
        observer: ``minmax``; ``percentile``: the (1 - percentile)- and percentile-quantile;
            ``omse``: of 90 ranges shrunk from min/max in steps of 1 %, the one of least mean
            squared error at ``bits``.

    A percentile range that collapses (an almost constant input) falls back to min/max.
    """
    if observer not in ACTIVATION_OBSERVERS:
        raise ConfigError(f"unknown activation observer {observer!r}; choose one of {', '.join(ACTIVATION_OBSERVERS)}")
    lower, upper = (v.reshape(1) for v in torch.aminmax(x))
    if observer == "minmax" or lower == upper:
        return lower, upper
    if observer == "percentile":
        low, high = quantile(x, 1.0 - percentile).reshape(1), quantile(x, percentile).reshape(1)
        return (low, high) if low < high else (lower, upper)
    return best_shrink(x, lower, upper, bits, 90)


@torch.no_grad()
def observe_weight(weight: Tensor, observer: str, bits: float, percentile: float = 0.99) -> Tensor:
    """Return the half-width s, a one-element tensor, of the symmetric weight range [-s, s].

    Args:
        observer: ``omse``: of 50 values ``max(W)*(1 - 0.01 i)`` the one of least mean squared error
            at ``bits``; it starts from the largest signed weight, as the released code does;
            ``omse_absmax``: the same from max |W|; ``omse_own_bits``: as that, and :func:`adabm.calibrate`
            searches at each layer's own bits instead of the base bits; ``minmax``: max |W|; ``percentile``: the
            percentile-quantile of W. Where a rule gives no positive value, max |W| is used.
    """
    largest = weight.abs().max().reshape(1)
    if observer == "minmax":
        return largest
    if observer == "percentile":
        value = quantile(weight, percentile).reshape(1)
        return value if value > 0 else largest
    if observer in ("omse", "omse_absmax", "omse_own_bits"):
        start = weight.max().reshape(1) if observer == "omse" else largest
        start = start if start > 0 else largest
        return best_shrink(weight, -start, start, bits, 50)[1] if start > 0 else start
    raise ConfigError(f"unknown weight observer {observer!r}; choose one of {', '.join(WEIGHT_OBSERVERS)}")
