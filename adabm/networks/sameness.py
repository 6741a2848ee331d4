"""Tell whether two networks compute the same, from one small picture: what a file cannot hold shows there alone."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..pictures.padding import fitting_side
from .trace import SIDE, evaluation_mode

_KEPT = 48  # values of an output that a file keeps


class Takes(Protocol):
    """What a picture must be like, as a :class:`NetworkDescriptor` tells it."""

    channels: int
    size_multiple: int
    minimum_size: int
    value_range: float


def test_output(network: nn.Module, takes: Takes) -> Tensor | None:
    """Run a network once, in evaluation mode and without gradients, on a picture that is the same everywhere.

    Returns:
        Its (N, C, H, W) output on the CPU in float64; None where its forward fails.
    """
    side = fitting_side(SIDE, takes.size_multiple, takes.minimum_size)
    places = torch.arange(takes.channels * side * side, dtype=torch.float64)
    # no generator, whose numbers another version of torch may draw otherwise; waves of many frequencies
    picture = (0.5 + 0.5 * torch.sin(places * places * 0.0007 + places * 0.05)).view(1, takes.channels, side, side)
    like = next(network.parameters(), torch.zeros(()))
    with evaluation_mode(network), torch.no_grad():
        try:
            output = network((picture * takes.value_range).to(like.device, like.dtype))
        except Exception:  # whatever foreign code does
            return None
    return output.detach().to("cpu", torch.float64) if isinstance(output, Tensor) else None


def same_output(one: Tensor | None, other: Tensor | None, like: nn.Module) -> bool:
    """Whether two outputs are equal up to what another order of sums does in the type of ``like``'s parameters.

    No output is equal to none, and NaN to NaN.
    """
    if one is None or other is None:
        return one is other
    if one.shape != other.shape:
        return False
    scale = other.abs().nan_to_num(0.0, 0.0, 0.0).max().item() if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=_tolerance(like) * scale, equal_nan=True)


def kept_values(output: Tensor | None) -> list[float]:
    """Return values from all over an output for a file to keep, or none where one is NaN or infinite."""
    if output is None or not output.isfinite().all():
        return []
    flat = output.flatten()
    places = torch.linspace(0, len(flat) - 1, min(_KEPT, len(flat)), dtype=torch.float64).round().long()
    return [float(value) for value in flat[places]]


def gives_kept_values(output: Tensor | None, kept: Sequence[float], like: nn.Module) -> bool:
    """Whether ``kept``, of a file, are the :func:`kept_values` of an output, perhaps on another machine."""
    found = kept_values(output)
    scale = max(map(abs, kept))
    close = (math.isclose(a, b, rel_tol=0, abs_tol=10 * _tolerance(like) * scale) for a, b in zip(found, kept))
    return len(found) == len(kept) and all(close)


def _tolerance(network: nn.Module) -> float:
    """Of the largest value: other layouts in memory, threads and devices add numbers in another order."""
    like = next(network.parameters(), torch.zeros(()))
    if like.dtype in (torch.float16, torch.bfloat16):
        return 0.05
    return 1e-4 if like.device.type == "cpu" else 1e-2
