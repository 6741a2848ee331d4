"""Modules whose numbers stay in single precision at least where the model around them is turned into another type."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class OwnNumbers(nn.Module):
    """Base of quantizers, mappings and domains: ``model.half()`` and ``model.bfloat16()`` leave their tensors in float32.

    Steps and thresholds are a few numbers that all values are compared with: half precision holds no step below 6e-5 and loses
    digits of all others. Features and weights of the network get the other type, as asked for.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def precise(tensor: Tensor) -> Tensor:
            made = fn(tensor)
            if made.dtype not in (torch.float16, torch.bfloat16):
                return made
            return tensor.to(made.device, torch.float32 if tensor.is_floating_point() else tensor.dtype)

        return super()._apply(precise, recurse)
