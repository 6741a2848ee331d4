"""How the values of a tensor lie in memory, which decides how fast they are visited."""

import torch
from torch import Tensor


def dense_format(x: Tensor) -> torch.memory_format:
    """The dense layout of ``x``, or the contiguous one where it has none of torch's."""
    channels_last = x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def in_order(x: Tensor) -> Tensor:
    """Return ``x`` with its axes in the order of memory, those of (N, C, H, W) as (N, H, W, C) where they lie so."""
    return x.permute(0, 2, 3, 1) if dense_format(x) is torch.channels_last else x
