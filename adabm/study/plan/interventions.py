"""Rules that replace a decision of calibration, to tell what the decision itself is worth."""

from collections.abc import Callable

import numpy as np

from ...quantization.model import QuantizedSR


def random_factors(model: QuantizedSR, seed: int) -> None:
    """Deal the calibrated layer factors out at random: as many of each, so the same feature average bits."""
    layers = [layer for layer in model.layers.values() if layer.layer2bit is not None]
    factors = [float(layer.layer2bit.factor) for layer in layers]
    for layer, index in zip(layers, np.random.default_rng((seed, 2)).permutation(len(layers))):
        layer.layer2bit.factor.data.fill_(factors[index])


def opposite_factors(model: QuantizedSR, seed: int) -> None:
    """Give a bit to the least sensitive layers and take one from the most sensitive; ``seed`` plays no part."""
    for layer in model.layers.values():
        if layer.layer2bit is not None:
            layer.layer2bit.factor.data.neg_()


INTERVENTIONS: dict[str, Callable[[QuantizedSR, int], None]] = {
    "random-factors": random_factors,
    "opposite-factors": opposite_factors,
}
