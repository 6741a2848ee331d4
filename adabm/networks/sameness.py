"""Tell whether two networks compute the same, from two pictures: what a file cannot hold shows there alone."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import out_of_memory
from ..pictures.padding import fitting_side
from .trace import SIDE, evaluation_mode

_KEPT = 48  # values of an output that a file keeps
_LARGER = 48  # pixels


class Takes(Protocol):
    """What a picture must be like, as a :class:`NetworkDescriptor` tells it."""

    channels: int
    size_multiple: int
    minimum_size: int
    value_range: float


def test_output(network: Callable[[Tensor], Tensor], takes: Takes, like: nn.Module | None = None) -> Tensor | None:
    """Run a network, in evaluation mode and without gradients, on two pictures that are the same everywhere: a small one, and
    a larger and brighter one, since code may go by size or content.

    Args:
        network: a module, or a function that calls one.
        like: the module whose mode is changed and whose parameters tell device and type; ``network`` itself.

    Returns:
        All values of its outputs, (n,) on the CPU in float64; None where its forward fails.
    """
    module = network if like is None else like
    where = next(module.parameters(), torch.zeros(()))
    outputs = []
    with evaluation_mode(module), torch.no_grad():
        for side, dark in ((SIDE, 0.0), (_LARGER, 0.5)):
            picture = dark + (1 - dark) * _waves(
                takes.channels, fitting_side(side, takes.size_multiple, takes.minimum_size)
            )
            try:
                output = network((picture * takes.value_range).to(where.device, where.dtype))
            except Exception as error:  # whatever foreign code does
                if out_of_memory(error):
                    raise
                return None
            if not isinstance(output, Tensor):
                return None
            outputs.append(output.detach().to("cpu", torch.float64).flatten())
    return torch.cat(outputs)


def _waves(channels: int, side: int) -> Tensor:
    """A (1, C, side, side) picture from 0 to 1 of many frequencies; no generator's, whose numbers another torch may draw otherwise."""
    places = torch.arange(channels * side * side, dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(places * places * 0.0007 + places * 0.05)).view(1, channels, side, side)


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
