"""Step ``deal_factors``: layer factors by a rule that knows nothing of the layers, to tell what sensitivity is worth."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import ConfigError
from ..quantization.model import QuantizedSR
from .step import CLIPPING, DECISIONS, LAYER_FACTORS, SEARCHED, TRAINING, Step, step
from .workspace import Workspace


@step("deal_factors")
@dataclass(frozen=True)
class DealFactors(Step):
    """Replace the factors that the sensitivities gave; there are as many of each, or as many of its opposite.

    Attributes:
        by: ``random``: the factors change places at random, by the seed; ``opposite``: a bit goes to the least sensitive
            layers and is taken from the most sensitive.
    """

    needs = frozenset({LAYER_FACTORS})
    precedes = frozenset({CLIPPING, DECISIONS, SEARCHED, TRAINING})

    by: Literal["random", "opposite"] = "random"

    def check(self, config) -> None:
        """Refuse a recipe whose bits follow no layer."""
        mapping = config.step("map_bits")
        if mapping is not None and mapping.layer is None:
            raise ConfigError("deal_factors: the recipe maps no layers (map_bits.layer is null); leave the step out")

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Change the factors in place."""
        mappings = [layer.layer2bit for layer in model.layers.values() if layer.layer2bit is not None]
        if self.by == "opposite":
            for mapping in mappings:
                mapping.factor.data.neg_()
            return
        factors = [float(mapping.factor) for mapping in mappings]
        order = np.random.default_rng((workspace.seed, 2)).permutation(len(mappings))
        for mapping, index in zip(mappings, order):
            mapping.factor.data.fill_(factors[index])
