"""Step ``equalize``: channels of a layer's input are brought to more similar sizes before rounding."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from ..quantization.domains import channel_affine, install_channel_affine
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count
from .shift_channels import ChannelStatistics, by_channel, layers_with_channels
from .step import DECISIONS, RANGES, Step, Watcher, step
from .workspace import CalibrationRecord

_LEAST = 1e-4  # of the largest channel's size


@step("equalize")
@dataclass(frozen=True)
class Equalize(Step):
    """Divide each channel by its root mean square to the power of ``strength``; the weights absorb it.

    Source: M. Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", ICCV 2019, section
    4.1, with sizes of activations in place of weight ranges; layers at fixed bits and operands of products stay.

    Attributes:
        strength: 1 makes all channels equally large.
        patches: how many of the calibration patches it looks at; None: all.
    """

    precedes = frozenset({RANGES, DECISIONS})
    changes_network = True

    strength: Annotated[float, Gt(0), Le(1)] = 0.5
    patches: Count | None = 16

    def install(self, model: QuantizedSR) -> None:
        """Give the layers domains that change nothing yet."""
        for layer in layers_with_channels(model):
            install_channel_affine(layer)

    def watch(self, model: QuantizedSR) -> Watcher:
        """Find the channels' sizes."""
        return _Sizes(self, model)


class _Sizes(Watcher):
    def __init__(self, settings: Equalize, model: QuantizedSR) -> None:
        self.settings, self.model, self.patches = settings, model, settings.patches
        self.statistics: dict[str, ChannelStatistics] = {}

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        if channel_affine(layer) is not None:
            self.statistics.setdefault(layer.name, ChannelStatistics()).add(by_channel(layer, x))

    def finish(self, record: CalibrationRecord) -> None:
        for name, found in self.statistics.items():
            size = found.root_mean_square
            if not size.max() > 0:
                continue
            scale = size.clamp_min(_LEAST * size.max()) ** self.settings.strength
            scale = scale / torch.exp(scale.log().mean())
            affine = channel_affine(self.model.layers[name])
            affine.scale.mul_(scale.to(affine.scale).view_as(affine.scale))
