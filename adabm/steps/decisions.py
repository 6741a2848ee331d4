"""What steps share that decide codes and biases of weights by channel."""

import torch
from torch import Tensor

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.channel_weights import ChannelWeightQuantizer
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from .step import DECISIONS, RANGES, Step


def check_channels(step: str, config) -> None:
    """Refuse weights by tensor, whose grid has no codes that could be kept.

    Raises:
        ConfigError: naming the step.
    """
    calibrate = config.step("calibrate")
    if calibrate is None or calibrate.granularity != "channel":
        raise ConfigError(f"{step}: needs weights by channel; set calibrate.granularity to channel")


class DecidingStep(Step):
    """A step that decides codes and biases of weights, behind the ranges."""

    needs = frozenset({RANGES})
    provides = frozenset({DECISIONS})

    def check(self, config) -> None:
        """Refuse weights by tensor."""
        check_channels(self.name, config)

    def install(self, model: QuantizedSR) -> None:
        """Make room in all layers for what will be decided."""
        for layer in model.layers.values():
            if isinstance(layer, WeightedLayer) and isinstance(layer.weight_quantizer, ChannelWeightQuantizer):
                layer.weight_quantizer.keep_decisions(layer.weight)


def can_decide(layer: QuantizedLayer) -> bool:
    """Whether codes of the layer's weight can be decided: it has one, of few bits."""
    return isinstance(layer, WeightedLayer) and layer.weight_bits < FULL_PRECISION_BITS


def bias_of(layer: WeightedLayer) -> Tensor:
    """Return the bias (O,) that is used; zeros where there is none."""
    bias = layer.used_bias()
    return layer.weight.new_zeros(len(layer.weight), dtype=torch.float32) if bias is None else bias.float()
