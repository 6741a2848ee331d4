"""Step ``shift_channels``: each channel of a layer's input is quantized around its mean."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..quantization.bit_rule import Policy
from ..quantization.domains import channel_affine, install_channel_affine
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count
from .step import DECISIONS, RANGES, Step, Watcher, step
from .workspace import CalibrationRecord

_PLACES = 1 << 14  # of a batch that are looked at, at least


@step("shift_channels")
@dataclass(frozen=True)
class ShiftChannels(Step):
    """Subtract the mean of each channel before rounding; the bias absorbs it.

    Inputs without negative values, such as those behind a ReLU, stay as they are: their zeros are exact. So do layers at
    fixed bits and operands of products.

    Attributes:
        patches: how many of the calibration patches it looks at; None: all.
    """

    precedes = frozenset({RANGES, DECISIONS})
    changes_network = True

    patches: Count | None = 16

    def install(self, model: QuantizedSR) -> None:
        """Give the layers domains that change nothing yet."""
        for layer in layers_with_channels(model):
            install_channel_affine(layer)

    def watch(self, model: QuantizedSR) -> Watcher:
        """Find the channels' means."""
        return _Means(model, self.patches)


class _Means(Watcher):
    def __init__(self, model: QuantizedSR, patches: int | None) -> None:
        self.model, self.patches = model, patches
        self.statistics: dict[str, ChannelStatistics] = {}

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        if channel_affine(layer) is not None:
            self.statistics.setdefault(layer.name, ChannelStatistics()).add(by_channel(layer, x))

    def finish(self, record: CalibrationRecord) -> None:
        for name, found in self.statistics.items():
            if found.least < 0:
                affine = channel_affine(self.model.layers[name])
                # seen behind the domain as it was
                affine.shift.add_(found.mean.to(affine.shift).view_as(affine.shift) * affine.scale)


class ChannelStatistics:
    """Mean and mean square of each channel over many places, in double precision, and the least value of all."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares, self.least = 0, 0.0, 0.0, float("inf")

    def add(self, x: Tensor) -> None:
        """Take values (C, n) in."""
        self.least = min(self.least, float(x.min()))
        x = x[:, :: max(1, x.shape[1] // _PLACES) | 1]  # odd, since rows of pictures have even lengths
        self.count += x.shape[1]
        self.sum = self.sum + x.sum(1, dtype=torch.float64)
        self.squares = self.squares + x.float().square().sum(1, dtype=torch.float64)

    @property
    def mean(self) -> Tensor:
        """(C,)"""
        return self.sum / self.count

    @property
    def root_mean_square(self) -> Tensor:
        """(C,)"""
        return (self.squares / self.count).sqrt()


def by_channel(layer: QuantizedLayer, x: Tensor) -> Tensor:
    """Return the input of a layer, as visitors see it, as (C, n)."""
    return x.movedim(layer.channel_axis, 0).flatten(1)


def layers_with_channels(model: QuantizedSR) -> list[WeightedLayer]:
    """Return the layers with weights whose bits are those of the setting or follow from them."""
    layers = model.layers.values()
    return [layer for layer in layers if isinstance(layer, WeightedLayer) and layer.policy is not Policy.FIXED]
