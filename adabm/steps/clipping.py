"""Bit-aware clipping: shrink each layer's range for the bits it will use (method section 5)."""

import torch
from torch import Tensor

from ..quantization.layers import Policy, QuantizedConv2d
from ..quantization.model import QuantizedSR
from ..quantization.observers import best_shrink

CANDIDATES = 100


@torch.no_grad()
def clip_ranges(model: QuantizedSR, images: Tensor) -> None:
    """Move each range half-way towards its best shrunk form, layer by layer in one quantized pass.

    The best of 100 shrink factors has the least mean squared error at the base bits plus the hard
    layer factor; the image factor is not included. Each layer sees what the layers before it, already
    clipped, produce. Layers at fixed bits keep their range. Calibrating again undoes it.

    Args:
        images: (N, C, H, W) batch in the network's value range; the recipe's first fine-tuning batch.
    """
    share = model.config.clipping_share

    def clip(layer: QuantizedConv2d, x: Tensor) -> None:
        if layer.policy is Policy.FIXED:
            return
        lower, upper = layer.activation.lower, layer.activation.upper
        best_lower, best_upper = best_shrink(x, lower, upper, layer.clipping_bits, CANDIDATES)
        layer.activation.set_range(lower * share + best_lower * (1 - share), upper * share + best_upper * (1 - share))

    with model.visiting(clip):
        model.infer(images)
    model.clipped = True
