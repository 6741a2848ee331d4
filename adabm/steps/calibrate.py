"""Step ``calibrate``: ranges of activations and weights (method section 3)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor

from ..errors import NetworkError
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.observers import ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS, observe_activation, observe_weight
from ..validation import Share, one_of
from .calibration_pass import moving_average
from .step import RANGES, Step, Watcher, step
from .workspace import CalibrationRecord


@step("calibrate")
@dataclass(frozen=True)
class Calibrate(Step):
    """Set the activation range of each layer from its inputs and the range of its weights.

    Attributes:
        activation, weight: observers, see :mod:`adabm.quantization.observers`.
        percentile: of the percentile observers, in (0.5, 1].
        ema: share of the old value when a later batch updates an activation range.
        weight_search: bits at which a weight range is searched: ``base``, in the layers at fixed bits too, as the
            released code does; ``own``: each layer's own.
    """

    provides = frozenset({RANGES})

    activation: Annotated[str, one_of(ACTIVATION_OBSERVERS)] = "minmax"
    weight: Annotated[str, one_of(WEIGHT_OBSERVERS)] = "omse"
    percentile: Annotated[float, Gt(0.5), Le(1)] = 0.99
    ema: Share = 0.9
    weight_search: Literal["base", "own"] = "base"

    def watch(self, model: QuantizedSR) -> Watcher:
        """Observe every quantized layer; the first batch sets a range, later ones move it."""
        return _Ranges(self, model)


class _Ranges(Watcher):
    def __init__(self, settings: Calibrate, model: QuantizedSR) -> None:
        self.settings, self.model = settings, model
        self.seen: set[str] = set()

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        settings, config = self.settings, self.model.config
        lower, upper = observe_activation(x, settings.activation, config.activation_bits, settings.percentile)
        # a percentile range hides a few NaN, the sum does not
        if not (torch.isfinite(lower + upper) and torch.isfinite(x.sum(dtype=torch.float32))):
            raise NetworkError(f"the input of {layer.name} is not finite; check the network's weights")
        if layer.name in self.seen:
            lower = moving_average(layer.activation.lower, lower, settings.ema)
            upper = moving_average(layer.activation.upper, upper, settings.ema)
        elif isinstance(layer, WeightedLayer):
            bits = layer.weight_bits if settings.weight_search == "own" else config.weight_bits
            layer.weight_quantizer.set_scale(
                observe_weight(layer.weight_to_quantize, settings.weight, bits, settings.percentile)
            )
        layer.activation.set_range(lower, upper)
        self.seen.add(layer.name)

    def finish(self, record: CalibrationRecord) -> None:
        self.model.calibrated, self.model.clipped = True, False
