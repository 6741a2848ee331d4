"""What in a quantized model's parameters would make its pictures wrong or NaN without a word."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from .full_precision import FULL_PRECISION_BITS
from .quantization.channel_weights import ChannelWeightQuantizer
from .quantization.domains import channel_affine
from .quantization.layers import QuantizedLayer
from .quantization.model import QuantizedSR
from .quantization.quantizers import ActivationQuantizer, WeightQuantizer


def unsound(model: QuantizedSR, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a sentence for each fault of the model and of the tensors that its file holds; none, if it can be written and loaded."""
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        yield "it holds NaN or infinite values"
    for name, layer in model.layers.items():
        yield from (f"{fault} of {name!r}" for fault in _faults(layer, tuned=model.config.step("tune") is not None))


def _faults(layer: QuantizedLayer, tuned: bool) -> Iterator[str]:
    """What is wrong with the quantizers of this package; a user's own are his."""
    if isinstance(layer.activation, ActivationQuantizer):
        if layer.activation_bits < FULL_PRECISION_BITS and not layer.activation.lower < layer.activation.upper:
            yield "the activation range is empty"
        affine = channel_affine(layer)
        if affine is not None and not (affine.scale > 0).all():
            yield "a channel's scale is not positive"
    weights = getattr(layer, "weight_quantizer", None)
    if layer.weight_bits is None or layer.weight_bits >= FULL_PRECISION_BITS:
        return
    if isinstance(weights, WeightQuantizer) and not weights.scale > 0:
        yield "the range of the weights is empty"
    if isinstance(weights, ChannelWeightQuantizer) and not (weights.step > 0).all():
        yield "a step of the weights is not positive"
    if isinstance(weights, ChannelWeightQuantizer) and weights.latent is not None:
        if not weights.is_decided and weights.latent.any():
            yield "there are codes of the weights that were not decided"
        half = 2 ** (layer.weight_bits - 1)
        if not tuned and not ((weights.latent >= -half) & (weights.latent < half)).all():  # tuning may push them out
            yield "a code of the weights is beyond its bits"
