"""Step ``calibrate``: ranges of activations and weights (method section 3)."""

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor

from ..errors import NetworkError
from ..quantization.channel_weights import CHANNEL_OBSERVERS, ChannelWeightQuantizer
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.observers import ACTIVATION_OBSERVERS, APART, WEIGHT_OBSERVERS, observe_activation, observe_weight
from ..validation import Count, Share, one_of
from .calibration_pass import moving_average
from .step import CLIPPING, DECISIONS, RANGES, SEARCHED, TRAINING, Step, Watcher, step
from .workspace import CalibrationRecord


@step("calibrate")
@dataclass(frozen=True)
class Calibrate(Step):
    """Set the activation range of each layer from its inputs and the range of its weights.

    Attributes:
        activation, weight: observers, see :mod:`adabm.quantization.observers`; ``weight`` by channel is one of
            :data:`adabm.quantization.channel_weights.CHANNEL_OBSERVERS`.
        percentile: of the percentile observers, in (0.5, 1].
        ema: share of the old value when a later batch updates an activation range.
        weight_search: bits at which ranges, of weights and activations, are searched: ``base``, in the layers at fixed bits
            too, as the released code does; ``own``: each layer's own.
        granularity: of weights. ``tensor``: one range a layer, without an exact zero; ``channel``: a step of each output
            channel, on two's complement codes.
        patches: how many of the calibration patches it looks at; None: all.
    """

    provides = frozenset({RANGES})
    precedes = frozenset({CLIPPING, DECISIONS, SEARCHED, TRAINING})

    activation: Annotated[str, one_of(ACTIVATION_OBSERVERS)] = "minmax"
    weight: str = "omse"
    percentile: Annotated[float, Gt(0.5), Le(1)] = 0.99
    ema: Share = 0.9
    weight_search: Literal["base", "own"] = "base"
    granularity: Literal["tensor", "channel"] = "tensor"
    patches: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        (WEIGHT_OBSERVERS if self.granularity == "tensor" else CHANNEL_OBSERVERS)[self.weight]  # refuses unknown names

    def install(self, model: QuantizedSR) -> None:
        """Put quantizers of weights by channel in the place of those that layers come with."""
        for layer in model.layers.values() if self.granularity == "channel" else ():
            if isinstance(layer, WeightedLayer):
                domain = layer.weight_quantizer.domain
                layer.weight_quantizer = ChannelWeightQuantizer(layer.weight, domain).to(layer.weight.device)

    def watch(self, model: QuantizedSR) -> Watcher:
        """Observe every quantized layer; the first batch sets a range, later ones move it."""
        return _Ranges(self, model)


class _Ranges(Watcher):
    def __init__(self, settings: Calibrate, model: QuantizedSR) -> None:
        self.settings, self.model = settings, model
        self.seen: set[str] = set()
        self.patches = settings.patches
        self.apart = ACTIVATION_OBSERVERS[settings.activation] in APART

    def image(self, layer: QuantizedLayer, x: Tensor) -> tuple[Tensor, Tensor]:
        settings, config = self.settings, self.model.config
        bits = layer.activation_bits if settings.weight_search == "own" else config.activation_bits
        lower, upper = observe_activation(x, settings.activation, bits, settings.percentile)
        # a percentile range hides a few NaN, the sum does not
        if not (torch.isfinite(lower + upper) and torch.isfinite(x.sum(dtype=torch.float32))):
            raise NetworkError(f"the input of {layer.name} is not finite; check the network's weights")
        return lower, upper

    def images(self, layer: QuantizedLayer, found: list[tuple[Tensor, Tensor]]) -> None:
        settings, config = self.settings, self.model.config
        lowers, uppers = zip(*found)
        lower, upper = torch.stack(lowers).amin(0), torch.stack(uppers).amax(0)
        if layer.name in self.seen:
            lower = moving_average(layer.activation.lower, lower, settings.ema)
            upper = moving_average(layer.activation.upper, upper, settings.ema)
        elif isinstance(layer, WeightedLayer):
            bits = layer.weight_bits if settings.weight_search == "own" else config.weight_bits
            self._weight(layer, bits)
        layer.activation.set_range(lower, upper)
        self.seen.add(layer.name)

    def _weight(self, layer: WeightedLayer, bits: int) -> None:
        settings, weight = self.settings, layer.weight_to_quantize
        if settings.granularity == "channel":
            layer.weight_quantizer.observe(weight, settings.weight, bits)
        else:
            layer.weight_quantizer.set_scale(observe_weight(weight, settings.weight, bits, settings.percentile))

    def finish(self, record: CalibrationRecord) -> None:
        if missed := [name for name in self.model.layers if name not in self.seen]:
            more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
            warnings.warn(
                f"no calibration patch reached the layer {missed[0]!r}{more}, whose range nothing was measured for: pictures that reach it "
                "come out wrong; take patches that do, or give it the role 'skip' in a NetworkDescriptor",
                stacklevel=2,
            )
        self.model.calibrated, self.model.clipped = True, False
