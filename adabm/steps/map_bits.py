"""Step ``map_bits``: bits that adapt to image and layer (method sections 3 and 4; paper eq. 5-7)."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from ..quantization.bit_mapping import ALLOCATIONS, APART, SENSITIVITIES, Image2Bit, Layer2Bit
from ..quantization.bit_rule import Policy
from ..quantization.complexity import COMPLEXITIES
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..quantization.observers import quantile
from ..validation import Share, one_of, require
from .calibration_pass import moving_average
from .step import CLIPPING, DECISIONS, LAYER_FACTORS, SEARCHED, TRAINING, Step, Watcher, step
from .workspace import CalibrationRecord


@step("map_bits")
@dataclass(frozen=True)
class MapBits(Step):
    """Let each image and each layer add a bit to the base or take one away.

    Attributes:
        image: complexity that an image's bits follow, of :data:`adabm.quantization.complexity.COMPLEXITIES`; None: the
            same bits for all images.
        layer: sensitivity that a layer's bits follow, of :data:`adabm.quantization.bit_mapping.SENSITIVITIES`; None:
            the same bits for all layers.
        allocation: how factors follow from the sensitivities, of :data:`adabm.quantization.bit_mapping.ALLOCATIONS`.
        image_percentile, layer_percentile: where the thresholds of complexity and sensitivity lie, in percent.
        ema: share of the old thresholds of complexity when a later batch updates them.
    """

    provides = frozenset({LAYER_FACTORS})
    precedes = frozenset({CLIPPING, DECISIONS, SEARCHED, TRAINING})

    image: Annotated[str, one_of(COMPLEXITIES)] | None = "gradient"
    layer: Annotated[str, one_of(SENSITIVITIES)] | None = "deviation"
    allocation: Annotated[str, one_of(ALLOCATIONS)] = "percentiles"
    image_percentile: Annotated[float, Ge(0), Lt(50)] = 10.0
    layer_percentile: Annotated[float, Ge(0), Lt(50)] = 30.0
    ema: Share = 0.9

    @property
    def reach(self) -> int:
        """How many bits an image and a layer can together add to a layer's base or take away."""
        return (Image2Bit.reach if self.image else 0) + (Layer2Bit.reach if self.layer else 0)

    def check(self, config) -> None:
        """Refuse base bits that a mapping could bring below 1, or full precision."""
        least = 1 + self.reach
        bits = config.activation_bits
        require(
            bits >= least,
            "activation_bits",
            bits,
            f">= {least} with the mappings that are on, each of which can take a bit away",
        )
        require(
            bits != FULL_PRECISION_BITS or least == 1,
            "activation_bits",
            bits,
            "16 or less with the mappings, which would change the bits of full precision",
        )

    def install(self, model: QuantizedSR) -> None:
        """Put the mappings into the model: thresholds of the images, a factor in each adaptive layer."""
        if self.image is not None:
            model.image2bit = Image2Bit(self.image).to(model.device)
        for layer in model.layers.values():
            if self.layer is not None and layer.policy is Policy.ADAPTIVE:
                layer.layer2bit = Layer2Bit().to(model.device)

    def watch(self, model: QuantizedSR) -> Watcher:
        """Find the thresholds of complexity and the sensitivity of each layer."""
        return _Mappings(self, model)


class _Mappings(Watcher):
    def __init__(self, settings: MapBits, model: QuantizedSR) -> None:
        self.settings, self.model = settings, model
        self.apart = settings.layer is None or SENSITIVITIES[settings.layer] in APART
        self.thresholds: tuple[Tensor, Tensor] | None = None
        self.sensitivities: dict[str, list[Tensor]] = defaultdict(list)

    def batch(self, images: Tensor, complexities: Tensor) -> None:
        share = self.settings.image_percentile / 100
        low, high = quantile(complexities, share), quantile(complexities, 1 - share)
        if self.thresholds is not None:
            ema = self.settings.ema
            low, high = (moving_average(old, new, ema) for old, new in zip(self.thresholds, (low, high)))
        self.thresholds = low, high

    def image(self, layer: QuantizedLayer, x: Tensor) -> Tensor | None:
        return None if self.settings.layer is None else SENSITIVITIES[self.settings.layer](layer, x)

    def images(self, layer: QuantizedLayer, found: list[Tensor]) -> None:
        if self.settings.layer is not None:
            self.sensitivities[layer.name].append(torch.stack(found).mean())

    def finish(self, record: CalibrationRecord) -> None:
        if self.settings.image is not None:
            self.model.image2bit.set_thresholds(*(t.view(1) for t in self.thresholds))
        sigma = {name: float(torch.stack(values).mean()) for name, values in self.sensitivities.items()}
        record.sensitivities.update(sigma)
        # a layer that no patch reached, of which the step that sets ranges warns, gets neither a bit more nor less
        adaptive = [layer for name, layer in self.model.layers.items() if layer.layer2bit is not None and name in sigma]
        if not adaptive:
            return
        of_adaptive = torch.tensor([sigma[layer.name] for layer in adaptive], dtype=torch.float64)
        factors = ALLOCATIONS[self.settings.allocation](of_adaptive, self.settings.layer_percentile)
        for layer, factor in zip(adaptive, factors):
            layer.layer2bit.factor.fill_(float(factor))
            record.layer_factors[layer.name] = float(factor)
