"""Step ``normalize_channels``: dynamic activation range normalization."""

from dataclasses import dataclass

from ..errors import ConfigError
from ..quantization.bit_rule import Policy
from ..quantization.channel_ranges import ChannelRangeQuantizer
from ..quantization.layers import WeightedLayer
from ..quantization.model import QuantizedSR
from .step import DECISIONS, RANGES, TRAINING, Step, step
from .workspace import Workspace

# Steps that set ranges of values as they are, or a quantizer of their own.
_OTHERS = ("clip", "search_bounds", "clip_outliers", "split_ranges", "allocate_bits", "round_weights", "choose_levels")


@step("normalize_channels")
@dataclass(frozen=True)
class NormalizeChannels(Step):
    """Take each channel of each picture to -1 .. 1 before it is rounded, and back behind it.

    Ranges thus follow the picture while it is computed. What the steps before it do, they do with the calibrated ranges; from
    here on a layer's range is one of normalized values, at first all of them, which ``tune`` may train.

    Source: Kim et al., "Gradient Knows Best: Mixed-Precision Quantization via Gradient-Guided Bit Allocation for
    Super-Resolution", CVPR 2026 (DAN), as public notes of the paper describe it. Assumed: that its range begins at -1 and 1;
    layers at fixed bits and operands of products keep the calibrated ranges. No integer engine takes it: the scale of an
    input channel that is known while computing alone cannot be moved into the weights.
    """

    needs = frozenset({RANGES})
    precedes = frozenset({DECISIONS, TRAINING})

    def check(self, config) -> None:
        """Refuse steps that would set ranges of values that are not normalized."""
        for other in _OTHERS:
            if config.step(other) is not None:
                raise ConfigError(f"normalize_channels: does not go with {other}; leave one of them out")

    def install(self, model: QuantizedSR) -> None:
        """Exchange the quantizers of all layers with weights but those at fixed bits."""
        for layer in model.layers.values():
            if isinstance(layer, WeightedLayer) and layer.policy is not Policy.FIXED:
                layer.activation = ChannelRangeQuantizer(layer).to(layer.weight.device)

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Normalize from now on."""
        for layer in model.layers.values():
            if isinstance(layer.activation, ChannelRangeQuantizer):
                layer.activation.normalize()
