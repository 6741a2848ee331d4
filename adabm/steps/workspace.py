"""What steps work with: the calibration patches, and what they report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..pictures.patches import calibration_batches, pooled_batches, random_batches
from .progress import Progress


@dataclass(frozen=True)
class CalibrationRecord:
    """What calibration saw, for study and plots; the model itself needs none of it.

    Attributes:
        complexities: (images,) image complexities.
        sensitivities: by layer name, the mean sensitivity of its input (sigma_k); all quantized layers, adaptive or
            not; empty without layer mapping.
        layer_factors: by name, the initial factor -1, 0 or +1 of each adaptive layer.
    """

    complexities: Tensor
    sensitivities: dict[str, float] = field(default_factory=dict)
    layer_factors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TuningStep:
    """One fine-tuning step as measured before its update; losses are weighted (see :class:`adabm.steps.losses.Losses`)."""

    round: int
    group: str
    pixel: float
    structure: float
    bit: float
    feature_average_bits: float


@dataclass
class Workspace:
    """The patches that a recipe works on, all fixed by the seed, and what its steps report.

    Attributes:
        images: (H, W, 3) uint8 RGB low-resolution pictures.
        patch_size, patches, batch_size: calibration patches, see :func:`adabm.quantize`.
        value_range, device, dtype: of the network.
        on_step: called after each fine-tuning step.
        progress: file from which an interrupted fine-tuning continues.
        record: what the last pass over the calibration patches saw.
        tuning: the fine-tuning steps taken.
    """

    images: Sequence[np.ndarray]
    patch_size: int
    patches: int | None
    batch_size: int
    seed: int
    value_range: float
    device: torch.device
    dtype: torch.dtype = torch.float32
    on_step: Callable[[TuningStep], None] | None = None
    progress: str | Path | Progress | None = None
    record: CalibrationRecord | None = None
    tuning: list[TuningStep] = field(default_factory=list)

    def calibration(self) -> Iterator[Tensor]:
        """Yield the calibration patches in batches (N, C, H, W); the same ones each time."""
        drawn = calibration_batches(
            self.images, self.patch_size, self.batch_size, self.seed, self.value_range, self.patches
        )
        return (batch.to(self.device, self.dtype) for batch in drawn)

    def random(self, batch_size: int, patch_size: int | None = None, pool: int | None = None) -> Iterator[Tensor]:
        """Yield fine-tuning batches of random augmented patches without end; the same ones each time.

        Args:
            patch_size: None takes that of calibration.
            pool: so many patches are drawn and take turns; None: fresh ones in each batch.
        """
        size = patch_size or self.patch_size
        if pool is None:
            drawn = random_batches(self.images, size, batch_size, self.seed, self.value_range)
        else:
            drawn = pooled_batches(self.images, pool, size, batch_size, self.seed, self.value_range)
        return (batch.to(self.device, self.dtype) for batch in drawn)

    def some(self, pixels: int, patch_size: int | None = None) -> Tensor:
        """Return the first random augmented patches in one batch (N, C, H, W): as many as hold ``pixels``, at least one."""
        size = patch_size or self.patch_size
        return next(self.random(max(1, round(pixels / size**2)), size))
