"""Step ``search_bounds``: distribution-oriented bound initialization, the first stage of 2DQuant."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from ..quantization.bit_rule import bits_without_image
from ..quantization.bounds import least_error
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.quantizers import WeightQuantizer
from ..validation import Count, Share
from .step import CLIPPING, DECISIONS, RANGES, SEARCHED, TRAINING, Step, Watcher, step
from .workspace import CalibrationRecord


@step("search_bounds")
@dataclass(frozen=True)
class SearchBounds(Step):
    """Search the bounds of each range along a line, which line depending on the distribution.

    Of two-sided values both bounds move inwards by equal amounts, of one-sided ones (behind a ReLU or softmax) the upper one
    alone; the candidate of least squared error at the layer's bits wins.

    Source: K. Liu et al., "2DQuant: Low-bit Post-Training Quantization for Image Super-Resolution", NeurIPS 2024, section
    3.2 (DOBI). Deviations: the values tell whether they are one-sided, not the kind of layer; a weight's range is
    symmetric; the bounds are means over the calibration batches; the error of activations is that of some ten thousand values of each batch.

    Attributes:
        points: candidates on the line.
        one_sided: values are one-sided whose least is no further below zero than this share of the greatest.
        patches: how many of the calibration patches it looks at; None: all.
    """

    needs = frozenset({RANGES})
    provides = frozenset({SEARCHED})
    precedes = frozenset({CLIPPING, DECISIONS, TRAINING})
    at_layer_bits = True

    points: Count = 100
    one_sided: Share = 0.1
    patches: Count | None = None

    def watch(self, model: QuantizedSR) -> Watcher:
        """Search for each layer in each batch."""
        return _Bounds(self, model)


class _Bounds(Watcher):
    def __init__(self, settings: SearchBounds, model: QuantizedSR) -> None:
        self.settings, self.model, self.patches = settings, model, settings.patches
        self.found: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        bits = bits_without_image(layer)
        if bits < FULL_PRECISION_BITS:
            self.found.setdefault(layer.name, []).append(searched(x, bits, self.settings))

    def finish(self, record: CalibrationRecord) -> None:
        for name, bounds in self.found.items():
            lower, upper = (torch.stack(ends).mean(0) for ends in zip(*bounds))
            self.model.layers[name].activation.set_range(lower, upper)
        for layer in self.model.layers.values():
            if isinstance(layer, WeightedLayer) and isinstance(layer.weight_quantizer, WeightQuantizer):
                self._weight(layer)

    def _weight(self, layer: WeightedLayer) -> None:
        if layer.weight_bits < FULL_PRECISION_BITS:
            weight = layer.weight_to_quantize
            widths = weight.abs().max() * _shares(self.settings.points).to(weight)
            layer.weight_quantizer.set_scale(least_error(weight, -widths, widths, layer.weight_bits, some=False)[1])


def searched(x: Tensor, bits: int, settings: SearchBounds) -> tuple[Tensor, Tensor]:
    """Return the bounds (lower, upper) of values of any shape, one-element tensors."""
    least, greatest = (end if x.dtype == torch.float64 else end.float() for end in torch.aminmax(x))
    width, shares = greatest - least, _shares(settings.points).to(least)
    if least >= -settings.one_sided * greatest:
        return least_error(x, least.expand(len(shares)), least + width * shares, bits)
    middle = (least + greatest) / 2
    return least_error(x, middle - width / 2 * shares, middle + width / 2 * shares, bits)


def _shares(points: int) -> Tensor:
    """Shares of a width that are kept, from all of it downwards."""
    return 1 - torch.arange(points) / points
