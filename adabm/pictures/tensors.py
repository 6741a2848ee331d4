"""Turn pictures into the tensor that a network takes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def to_batch(
    pictures: np.ndarray | Sequence[np.ndarray], value_range: float = 255.0, like: Tensor | None = None
) -> Tensor:
    """Return pictures as one (N, C, H, W) floating-point tensor, 0 to ``value_range``.

    Args:
        pictures: (N, H, W, C), or several (H, W, C) of one shape; uint8 or floating point, 0 to 255.
        value_range: largest pixel value that the network takes.
        like: a tensor of the device and type that the result shall have; by default float32 on the CPU.
    """
    stacked = pictures if isinstance(pictures, np.ndarray) else np.stack(pictures)
    batch = torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))
    batch = batch.float() if like is None else batch.to(like.device, like.dtype)
    return batch * (value_range / 255.0)
