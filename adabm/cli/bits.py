"""Activation bits of a model's layers as its mappings decide them, without running it."""

from dataclasses import dataclass

import torch

from ..full_precision import FULL_PRECISION_BITS
from ..quantization.layers import Policy, QuantizedConv2d
from ..quantization.model import QuantizedSR


@dataclass(frozen=True)
class LayerBits:
    """Activation bits of one layer: base, the layer's factor, and the range over images."""

    base: int
    layer_factor: int | None
    least: int
    most: int


def layer_bits(model: QuantizedSR, layer: QuantizedConv2d) -> LayerBits:
    """Return the bits that ``layer`` can take: the image factor is -1, 0 or +1 where it has one."""
    factor = int(layer.layer2bit.hard.item()) if layer.layer2bit is not None else None
    middle = layer.activation_bits + (factor or 0)
    reach = 1 if layer.policy is Policy.ADAPTIVE and model.image2bit is not None else 0
    return LayerBits(layer.activation_bits, factor, middle - reach, middle + reach)


@torch.no_grad()
def feature_average_bits(model: QuantizedSR, complexities: torch.Tensor) -> list[float]:
    """Return the FAB of images of the given (N,) complexities, as ``model.infer`` would."""
    factors = [0.0] * len(complexities)
    if model.image2bit is not None:
        device = model.image2bit.lower.device
        factors = model.image2bit(complexities.to(device)).tolist()
    counted = [layer for name, layer in model.layers.items() if model.counts_in_fab(name)]
    if not counted:
        return [float(FULL_PRECISION_BITS)] * len(factors)
    fixed = sum((bits.least + bits.most) / 2 for bits in (layer_bits(model, layer) for layer in counted)) / len(counted)
    share = sum(layer.policy is Policy.ADAPTIVE for layer in counted) / len(counted)
    return [fixed + share * factor for factor in factors]


def label(model: QuantizedSR) -> str:
    """Return the setting in the literature's short form, such as ``W4A4 FQ``."""
    config = model.config
    return f"W{config.weight_bits}A{config.activation_bits} {'FQ' if config.fully_quantized else 'body only'}"
