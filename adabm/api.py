"""The whole recipe in one call."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from torch import nn

from .errors import AdabmError, DataError, NetworkError
from .networks import NetworkDescriptor
from .networks.sides import Sides
from .networks.usable import check_finite_weights
from .pictures.patches import check_pictures
from .quantization.model import QuantizedSR
from .recipes import QuantizationConfig, carry_out, preset
from .steps import CalibrationRecord, Progress, Step, TuningStep, Workspace
from .validation import Count, Whole, check_all

_State = Annotated[str | Path | Progress | None, "the path of a file, or null"]


def quantize(
    network: nn.Module,
    images: Sequence[np.ndarray],
    config: QuantizationConfig | str | Path | None = None,
    descriptor: NetworkDescriptor | None = None,
    *,
    patch_size: int = 96,
    patches: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    after_calibration: Callable[[QuantizedSR], None] | None = None,
    on_step: Callable[[TuningStep], None] | None = None,
    progress: str | Path | Progress | None = None,
) -> tuple[QuantizedSR, CalibrationRecord, list[TuningStep]]:
    """Quantize a pretrained super-resolution network from low-resolution pictures without ground truth.

    Args:
        network: full-precision network; it is copied.
        images: (H, W, 3) uint8 RGB low-resolution pictures, about 100, none of them evaluated later.
        config: recipe and bits, such as ``preset("adabm", activation_bits=6)``, or the name or file of a recipe, which
            is then carried out at W4A4; by default ``fast``: in closed form, a minute where ``best``, which is closer, takes several.
        descriptor: see :class:`QuantizedSR`.
        patch_size, patches, batch_size: calibration patches; steps that draw others take their size from these
            unless they have their own.
        seed: fixes patches and augmentation.
        after_calibration: called with the calibrated model before the next step, e.g. to look at it.
        on_step: called after each fine-tuning step.
        progress: file from which an interrupted fine-tuning by the step ``tune`` continues, see :func:`adabm.fine_tune`; of other
            steps nothing is kept, of which a warning tells.

    Raises:
        ConfigError: an argument that is not of its kind or range, or a patch size that the network does not take.
        DataError: pictures that are none, or less than a patch of calibration or of a step.
        AdabmError: of the network, the pictures or the recipe.

    Returns:
        The quantized model, what calibration saw, and the fine-tuning steps (empty without).

    >>> model, record, steps = quantize(network, images, preset("adabm", activation_bits=6))  # doctest: +SKIP
    """
    check_all(
        patch_size=(patch_size, Count),
        patches=(patches, Count | None),
        batch_size=(batch_size, Count),
        seed=(seed, Whole),
        after_calibration=(after_calibration, Callable | None),
        on_step=(on_step, Callable | None),
        progress=(progress, _State),
    )
    if not isinstance(config, QuantizationConfig):
        config = preset(config if config is not None else "fast")
    model = QuantizedSR(network, config, descriptor)
    check_finite_weights(network)
    for size in (patch_size, *(getattr(step, "patch_size", None) for step in config.recipe.steps)):
        _check_patch_size(size, model.descriptor)
    check_pictures(images, patch_size)
    for step in config.recipe.steps:
        _check_pictures(images, step)
    workspace = Workspace(
        images,
        patch_size,
        patches,
        batch_size,
        seed,
        model.descriptor.value_range,
        model.device,
        model.dtype,
        on_step,
        progress,
    )
    try:
        carry_out(model, workspace, after_calibration)
    except AdabmError:
        raise
    except Exception as error:
        if (told := _network_fails(model, workspace)) is not None:
            raise NetworkError(
                f"{model.descriptor.name}: its forward pass fails on a calibration patch ({told})"
            ) from error
        raise
    return model, workspace.record, workspace.tuning


def _network_fails(model: QuantizedSR, workspace: Workspace) -> str | None:
    """Tell why the full-precision network cannot compute one patch, whoever wrote it; None: it can."""
    try:
        with model.full_precision():
            model(workspace.some(1))
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
    return None


def _check_patch_size(size: int | None, descriptor: NetworkDescriptor) -> None:
    if size is not None:
        Sides(descriptor.size_multiple, descriptor.minimum_size).check("patch_size", size, descriptor.name)


def _check_pictures(images: Sequence[np.ndarray], step: Step) -> None:
    """Refuse patches of a step's own that are greater than a picture, before the steps in front of it are carried out."""
    if (size := getattr(step, "patch_size", None)) is not None:
        try:
            check_pictures(images, size)
        except DataError as error:
            raise DataError(f"{step.name}.patch_size = {size}: {error}") from None
