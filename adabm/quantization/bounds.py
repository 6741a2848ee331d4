"""Ranges: an end apart from the other, and the one among candidates in which rounding errs least."""

import torch
from torch import Tensor

from ..errors import ConfigError

_SAMPLE = 1 << 14  # values that candidates are compared on
LEAST_WIDTH = 1e-30  # whose parts, the steps of 16 bits, are still told apart in single precision
_COUNTED = 1 << 24  # as far as single precision, in which histograms are counted, counts by ones


def end_above(lower: Tensor, upper: Tensor, least: float = 1e-6) -> Tensor:
    """Return the upper end of a range, raised if it collapsed (a constant input) so that the range can divide.

    It has collapsed where its width is lost beside its ends; small values alone, which a later layer may enlarge, are none.

    Args:
        lower, upper: (1,) ends.
        least: width, as a share of the greater end's size; a range that collapsed gets as much of its upper end's, of 1 at least.

    Raises:
        ConfigError: the upper end lies below the lower one.
    """
    smallest = least * torch.maximum(upper.abs(), torch.ones_like(upper))
    if (lower > upper + smallest).any():
        raise ConfigError(f"a range from {lower.item():g} to {upper.item():g} is empty; give the lower end first")
    lost = (least * torch.maximum(lower.abs(), upper.abs())).clamp_min(max(LEAST_WIDTH, torch.finfo(upper.dtype).tiny))
    return torch.where(upper - lower > lost, upper, torch.maximum(upper, lower + smallest))


@torch.no_grad()
def least_error(
    values: Tensor, lowers: Tensor, uppers: Tensor, bits: float, some: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the range, one-element tensors, in which rounding the values has the least mean squared error.

    Args:
        values: of any shape.
        lowers, uppers: (k,) ends of the candidates; empty ones are not chosen where there is another.
        bits: of the grid, 2^bits levels from one end to the other.
        some: look at every so many of the values, always the same; else at all, so that few great ones are not missed.
    """
    if lowers.dtype in (torch.float16, torch.bfloat16):  # the square of a step would be lost there
        lowers, uppers = lowers.float(), uppers.float()
    seen = sampled(values) if some else values.detach().flatten().float()
    steps = 2.0**bits - 1
    errors = []
    for lower, upper in zip(lowers, uppers):
        step = (upper - lower) / steps
        scaled = (seen - lower) / step
        error = scaled.round().clamp_(0, steps).sub_(scaled).square_().mean() * step**2
        errors.append(error if step > 0 else torch.full_like(error, torch.inf))
    best = int(torch.stack(errors).argmin())
    return lowers[best].reshape(1), uppers[best].reshape(1)


def sampled(values: Tensor) -> Tensor:
    """Return every so many values as float32, (n,), the same places of tensors of one size."""
    flat = values.detach().flatten()
    return flat[:: max(1, len(flat) // _SAMPLE) | 1].float()  # odd, since rows of pictures have even lengths


def histogram(x: Tensor, bins: int, least: float, greatest: float) -> Tensor:
    """Return how many values lie in each of ``bins`` equal parts from ``least`` to ``greatest``: (bins,), float64, exact.

    >>> histogram(torch.tensor([0.0, 0.1, 0.9, 1.0]), 2, 0.0, 1.0).tolist()
    [2.0, 2.0]
    """
    return sum(torch.histc(part, bins, least, greatest).double() for part in x.flatten().split(_COUNTED))
