"""Step ``allocate_bits``: activation bits of each layer, as many in the mean as the setting asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.bit_rule import counts_in_average
from ..quantization.macs import macs_by_layer
from ..quantization.model import QuantizedSR
from ..validation import Count, LayerBits, Pixels, require
from .sensitivities import projected_errors, ranges_by_bits
from .step import CLIPPING, DECISIONS, RANGES, SEARCHED, TRAINING, Step, step
from .work_share import small_side, work_share
from .workspace import Workspace


@step("allocate_bits")
@dataclass(frozen=True)
class AllocateBits(Step):
    """Choose bits around the base so that the sum of the layers' projected output errors is least.

    The mean of the bits is at most the base twice: over the layers that count in the FAB, and over their multiplications.
    What is chosen becomes the base of each layer, to which mappings may add; its range becomes the one for these bits.

    Attributes:
        reach: bits up and down from the base.
        least, most: bits of any layer, unless the base itself is beyond; 8 is what integer kernels execute. Mappings leave a
            layer at least 1 bit: with those of image and layer it gets 3 or more.
        pixels: of the low-resolution patches that are looked at, together; at least one patch is taken. Networks of more than
            4 million multiplications for a pixel get proportionally fewer.
        directions: random output vectors for each patch.
        patch_size: in LR pixels; None: as in calibration, but 48 at most, which bounds the memory of a backward pass.
    """

    needs = frozenset({RANGES})
    precedes = frozenset({CLIPPING, DECISIONS, SEARCHED, TRAINING})

    reach: LayerBits = 2
    least: LayerBits = 2
    most: LayerBits = 8
    pixels: Pixels = 40_000
    directions: Annotated[int, Ge(1), Le(64)] = 4
    patch_size: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.least <= self.most, "least", self.least, "at most 'most'")

    def candidates(self, base: int, mapped: int = 0) -> list[int]:
        """Return the bits that a layer may get, ascending.

        Args:
            mapped: bits that mappings may take away from them.
        """
        if base == FULL_PRECISION_BITS:
            return [base]
        least, most = max(self.least, base - self.reach, 1 + mapped), min(self.most, base + self.reach)
        return list(range(min(base, least), max(base, most) + 1))

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Set bits and ranges of the layers that count in the FAB."""
        base, calibrate = model.config.activation_bits, model.config.step("calibrate")
        layers = {name: layer for name, layer in model.layers.items() if counts_in_average(layer)}
        mapping = model.config.step("map_bits")
        bits = self.candidates(base, 0 if mapping is None else mapping.reach)
        if len(bits) == 1 or not layers:
            return
        small = min(workspace.patch_size, small_side(model))
        images = workspace.some(round(self.pixels * work_share(model)), self.patch_size or small)
        ranges = ranges_by_bits(model, images, bits, calibrate.activation, calibrate.percentile)
        ranges = {name: ranges[name] for name in layers if name in ranges}
        errors = projected_errors(model, images, ranges, self.directions, workspace.seed)
        macs = macs_by_layer(model, *images.shape[-2:])
        for name, chosen in allocated(errors, {name: macs.get(name, 0.0) for name in errors}, base).items():
            layers[name].activation_bits = chosen
            layers[name].activation.set_range(*ranges[name][chosen])


def allocated(errors: Mapping[str, Mapping[int, float]], macs: Mapping[str, float], mean: float) -> dict[str, int]:
    """Return the bits of each layer whose errors have the least sum, their mean being ``mean`` at most.

    Args:
        errors: of each layer at each bit-width that it may get.
        macs: multiplications of each layer, by which the mean is taken too; where all are 0 it is not.

    Raises:
        ConfigError: no bits have such a mean.

    >>> allocated({"a": {3: 9.0, 4: 4.0, 5: 1.0}, "b": {3: 2.0, 4: 1.5, 5: 1.0}}, {"a": 1.0, "b": 1.0}, 4)
    {'a': 5, 'b': 3}
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes a third of a second

    names = [name for name in errors for _ in errors[name]]
    bits = np.array([b for own in errors.values() for b in own], dtype=float)
    costs = np.array([error for own in errors.values() for error in own.values()])
    one_each = np.array([[float(name == row) for name in names] for row in errors])
    total = sum(macs[name] for name in errors) or 1.0
    means = [bits / len(errors), bits * [macs[name] / total for name in names]]
    result = milp(
        costs / max(costs.max(), np.finfo(float).tiny),
        integrality=np.ones(len(names)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(np.array(means), ub=mean + 1e-9),
        ],
    )
    if result.x is None:
        raise ConfigError(f"allocate_bits: no bits of {sorted(set(bits))} have a mean of {mean}")
    return {name: int(b) for name, b, taken in zip(names, bits, result.x) if taken > 0.5}
