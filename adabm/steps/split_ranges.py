"""Step ``split_ranges``: activation ranges in a dense region and one of outliers."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import ConfigError
from ..quantization.bit_rule import Policy, bits_without_image
from ..quantization.bounds import sampled
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..quantization.piecewise import PiecewiseQuantizer
from ..validation import Count
from .step import DECISIONS, RANGES, TRAINING, Step, Watcher, step
from .workspace import CalibrationRecord


@step("split_ranges")
@dataclass(frozen=True)
class SplitRanges(Step):
    """Quantize what is dense and what is left of each range on grids of their own, of 2^b levels each.

    The dense region of least squared error is searched between all of the range and a part of it around zero, or, where
    zero is outside, around the end nearest to it.

    Source: H. Wang et al., "Outlier-Aware Post-Training Quantization for Image Super-Resolution", ICCV 2025 (the dual-region
    quantizer). Deviations: the region is searched by squared error, its bounds are means over the calibration batches.
    **Twice as many codes as b bits have are told apart**: a value needs a bit more than the setting says.

    Attributes:
        points: candidates for the dense region.
        patches: how many of the calibration patches it looks at; None: all.
    """

    needs = frozenset({RANGES})
    precedes = frozenset({DECISIONS, TRAINING})
    more_code_bits: ClassVar[int] = 1  # codes of a layer: 2 to the power of its bits and these

    points: Count = 50
    patches: Count | None = None

    def check(self, config) -> None:
        """Refuse steps for which a layer has one range, and which would set it anew."""
        for other in ("map_bits", "allocate_bits", "clip", "search_bounds", "clip_outliers"):
            if config.step(other) is not None:
                raise ConfigError(f"split_ranges: does not go with {other}; leave one of them out")
        rounding = config.step("round_weights")
        if rounding is not None and rounding.ranges:
            raise ConfigError(
                "split_ranges: round_weights would set all ranges anew; set round_weights.ranges to false, or leave one of them out"
            )

    def install(self, model: QuantizedSR) -> None:
        """Exchange the quantizers of all layers but those at fixed bits."""
        for layer in model.layers.values():
            if layer.policy is not Policy.FIXED:
                quantizer = PiecewiseQuantizer().to(layer.activation.lower.device)
                quantizer.domain, layer.activation = layer.activation.domain, quantizer

    def watch(self, model: QuantizedSR) -> Watcher:
        """Search for each layer in each batch."""
        return _Dense(self, model)


class _Dense(Watcher):
    def __init__(self, settings: SplitRanges, model: QuantizedSR) -> None:
        self.settings, self.model, self.patches = settings, model, settings.patches
        self.found: dict[str, list[Tensor]] = {}

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        if isinstance(layer.activation, PiecewiseQuantizer):
            found = dense_region(x, bits_without_image(layer), self.settings.points)
            self.found.setdefault(layer.name, []).append(found)

    def finish(self, record: CalibrationRecord) -> None:
        for name, regions in self.found.items():
            self.model.layers[name].activation.set_dense(*torch.stack(regions).mean(0).split(1))


@torch.no_grad()
def dense_region(x: Tensor, bits: int, points: int) -> Tensor:
    """Return the bounds (2,) of least squared error among shares of the range of values of any shape."""
    least, greatest = torch.aminmax(x.float())
    values, quantizer = sampled(x), PiecewiseQuantizer().to(x.device)
    quantizer.set_range(least.reshape(1), greatest.reshape(1))
    centre = torch.zeros_like(least).clamp(least, greatest)
    errors, regions = [], []
    for share in (torch.arange(points) + 1) / (points + 1):
        quantizer.set_dense(*((end - centre).reshape(1) * share + centre for end in (least, greatest)))
        regions.append(quantizer.dense.detach().clone())
        errors.append((quantizer(values[None], bits) - values).square().mean())
    return regions[int(torch.stack(errors).argmin())]
