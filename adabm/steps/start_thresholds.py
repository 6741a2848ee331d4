"""Step ``start_thresholds``: thresholds of images that follow no percentile, to tell what percentiles are worth."""

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..quantization.model import QuantizedSR
from ..validation import require
from .step import LAYER_FACTORS, TRAINING, Step, step
from .workspace import Workspace


@step("start_thresholds")
@dataclass(frozen=True)
class StartThresholds(Step):
    """Let the thresholds of the images' complexity begin elsewhere than calibration put them.

    Attributes:
        at: the lower and the upper one, in the unit of the measure; for the mean gradient -1 and 0 give every image that is not
            flat a bit more, and 1000, which no image reaches, and above take one from each. None: two values drawn by the seed,
            uniformly between the calibrated ones, which ``map_bits.image_percentile: 0`` makes the extremes of what
            calibration saw.
    """

    needs = frozenset({LAYER_FACTORS})  # of the step that maps images too
    precedes = frozenset({TRAINING})

    at: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at is not None:
            require(self.at[0] < self.at[1], "at", self.at, "two numbers, the lower one first")

    def check_model(self, model: QuantizedSR) -> None:
        """Refuse models whose bits follow no image."""
        if model.image2bit is None:
            raise ConfigError(
                "start_thresholds: the recipe maps no images (map_bits.image is null); leave the step out"
            )

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Set both thresholds."""
        mapping = model.image2bit
        if self.at is None:
            extremes = float(mapping.lower), float(mapping.upper)
            start = np.sort(np.random.default_rng((workspace.seed, 3)).uniform(*extremes, 2))
        else:
            start = self.at
        mapping.set_thresholds(*(mapping.lower.new_tensor([value]) for value in start))
