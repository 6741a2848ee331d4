"""The whole recipe in one call."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from .networks import NetworkDescriptor
from .pictures.patches import calibration_batches, random_batches
from .quantization.config import QuantizationConfig, preset
from .quantization.model import QuantizedSR
from .steps.calibration import CalibrationRecord, calibrate
from .steps.clipping import clip_ranges
from .steps.fine_tuning import Step, fine_tune


def quantize(
    network: nn.Module,
    images: Sequence[np.ndarray],
    config: QuantizationConfig | None = None,
    descriptor: NetworkDescriptor | None = None,
    *,
    patch_size: int = 96,
    patches: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    after_calibration: Callable[[QuantizedSR], None] | None = None,
    on_step: Callable[[Step], None] | None = None,
    progress: str | Path | None = None,
) -> tuple[QuantizedSR, CalibrationRecord, list[Step]]:
    """Quantize a pretrained super-resolution network from low-resolution pictures without ground truth.

    Args:
        network: full-precision network; it is copied.
        images: (H, W, 3) uint8 RGB low-resolution pictures, about 100, none of them evaluated later.
        config: by default the released recipe at W4A4, ``preset("adabm")``.
        descriptor: see :class:`QuantizedSR`.
        patch_size, patches, batch_size: calibration patches; fine-tuning has its own in ``config``.
        seed: fixes patches and augmentation.
        after_calibration: called with the calibrated model before ranges are clipped, e.g. to set layer
            factors by a rule of your own.
        on_step: called after each fine-tuning step.
        progress: file from which an interrupted fine-tuning continues, see :func:`adabm.fine_tune`.

    Returns:
        The quantized model, what calibration saw, and the fine-tuning steps (empty without).

    >>> model, record, steps = quantize(network, images, preset("adabm", activation_bits=6))  # doctest: +SKIP
    """
    config = config if config is not None else preset("adabm")
    model = QuantizedSR(network, config, descriptor)
    value_range = model.descriptor.value_range
    batches = calibration_batches(images, patch_size, batch_size, seed, value_range, patches)
    device = next(model.parameters()).device
    record = calibrate(model, (batch.to(device) for batch in batches))
    if after_calibration is not None:
        after_calibration(model)
    tuning = config.fine_tuning
    size, count = (tuning.patch_size, tuning.batch_size) if tuning is not None else (patch_size, 2)
    stream = random_batches(images, size, count, seed, value_range)
    stream = (batch.to(device) for batch in stream)
    if tuning is None:
        if config.clipping:
            clip_ranges(model, next(stream))
        return model, record, []
    return model, record, fine_tune(model, stream, on_step=on_step, progress=progress)
