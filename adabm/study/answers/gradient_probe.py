"""Gradients of the mappings by each surrogate against finite differences of the loss, and short tunings with each."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...pictures.patches import random_batches
from ...pictures.reading import read_rgb
from ...quantization.bit_mapping import Layer2Bit
from ...quantization.bit_rule import expected_average_bits
from ...quantization.model import QuantizedSR
from ...steps.tuner import FineTuner
from ...steps.tuning_settings import TuningSettings
from ..plan.cells import Run
from ..running.bench import Bench
from .probing import Patch, batch_of, output, patches, squared_error
from .surrogates import SURROGATES, surrogate

LAYER, LOWER, UPPER = "layer", "lower", "upper"
UNTUNED, FEWER, MORE = "as calibrated", "as calibrated, a bit fewer", "as calibrated, a bit more"
_STEP = 0.2  # of the distance of the thresholds, up and down


def agreement(model: QuantizedSR, bench: Bench, run: Run, pictures: int, side: int, size: int, batches: int) -> dict:
    """Return ``rows``: of each batch and parameter of the mappings its finite difference and its gradient by each surrogate.

    The loss is that of fine-tuning without the part that counts bits, whose gradient needs no approximation. A layer's
    factor is moved to its neighbours, as far as the mapping goes; a threshold by a fifth of the distance of the two.

    Args:
        run, pictures: of the model: how many random calibration pictures it has.
        side, size, batches: LR pixels of a patch, patches of a batch, and how many batches.
    """
    tuner = FineTuner(model, TuningSettings(groups=("mapping",)))
    mappings = _mappings(model)
    rows, stream = [], _patches(model, bench, run, pictures, side, size)
    for index in range(batches):
        batch = next(stream)
        with torch.no_grad():
            truth = _differences(model, tuner, mappings, batch)
        found = {name: _gradients(model, tuner, mappings, batch, name, run.seed) for name in SURROGATES}
        kinds = [LAYER] * len(mappings) + [LOWER, UPPER]
        for place, kind in enumerate(kinds):
            values = {name: gradients[place] for name, gradients in found.items()}
            rows.append(dict(batch=index, parameter=kind, place=place, difference=truth[place], **values))
    return {"rows": rows}


def _mappings(model: QuantizedSR) -> list[Layer2Bit]:
    return [layer.layer2bit for layer in model.layers.values() if layer.layer2bit is not None]


def _patches(model: QuantizedSR, bench: Bench, run: Run, pictures: int, side: int, size: int) -> Iterator[Tensor]:
    images = [read_rgb(path) for path in bench.choose("random", pictures, run)]
    stream = random_batches(images, side, size, run.seed, model.descriptor.value_range)
    return (batch.to(model.device, model.dtype) for batch in stream)


def _differences(model: QuantizedSR, tuner: FineTuner, mappings: Sequence[Layer2Bit], batch: Tensor) -> list[float]:
    def loss() -> float:
        losses, _ = tuner.losses(batch)
        return float(losses.pixel + losses.structure)

    def between(parameter: Tensor, low: float, high: float) -> float:
        before, found = parameter.clone(), []
        for value in (high, low):
            parameter.fill_(value)
            found.append(loss() if value != float(before) else here)
        parameter.copy_(before)
        return (found[0] - found[1]) / (high - low)

    here, found = loss(), []
    for mapping in mappings:
        factor, reach = float(mapping.hard), float(mapping.reach)
        found.append(between(mapping.factor, max(factor - 1, -reach), min(factor + 1, reach)))
    thresholds = (model.image2bit.lower, model.image2bit.upper)
    width = _STEP * float(thresholds[1] - thresholds[0])
    return found + [between(threshold, float(threshold) - width, float(threshold) + width) for threshold in thresholds]


def _gradients(
    model: QuantizedSR, tuner: FineTuner, mappings: Sequence[Layer2Bit], batch: Tensor, name: str, seed: int
) -> list[float]:
    parameters = [mapping.factor for mapping in mappings] + [model.image2bit.lower, model.image2bit.upper]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad(), surrogate(model, name, seed):
            losses, _ = tuner.losses(batch)
            found = torch.autograd.grad(losses.pixel + losses.structure, parameters)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
    return [float(gradient) for gradient in found]


def tunings(
    model: QuantizedSR, bench: Bench, run: Run, pictures: int, side: int, size: int, steps: int, lr: float, count: int
) -> dict:
    """Return ``steps``: FAB along a tuning of the mappings with each surrogate; and ``rows``: errors of patches at its end.

    All surrogates see the same batches and learn at the same rates. FAB is that of the patches of these batches, by the
    steps themselves, whatever the forward pass of the tuning drew. The mappings as calibrated are there too, with a bit
    fewer and one more for all images.

    Args:
        side, size, steps: LR pixels of a patch, patches of a batch, and how many batches.
        lr: learning rate of layers' factors; that of thresholds is ten times as high, as released.
        count: patches of each set that are measured.
    """
    settings = TuningSettings(groups=("mapping",), lr_layer=lr, lr_image=10 * lr)
    stream = _patches(model, bench, run, pictures, side, size)
    batches = [next(stream) for _ in range(steps)]
    complexities = torch.cat([model.complexity(batch) for batch in batches])
    measured = _Measured(model, patches(bench, bench.effort.patch_size, count))
    along, rows = [], []
    for name, shift in ((UNTUNED, 0), (FEWER, -1), (MORE, 1)):
        hook = model.image2bit.register_forward_hook(lambda _m, _i, out, shift=shift: out + shift)
        try:
            rows += measured.rows(name)
        finally:
            hook.remove()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name in SURROGATES:
        tuner = FineTuner(model, settings)
        try:
            along.append(dict(surrogate=name, step=0, fab=_average_bits(model, complexities)))
            for step, batch in enumerate(batches, 1):
                with torch.enable_grad(), surrogate(model, name, run.seed * 10_000 + step):
                    tuner.step("mapping", batch)
                along.append(dict(surrogate=name, step=step, fab=_average_bits(model, complexities)))
            rows += measured.rows(name)
        finally:
            model.load_state_dict(before)
    return {"steps": along, "rows": rows}


class _Measured:
    """Patches with the full-precision output of each, on which a model is measured in one state after the other."""

    def __init__(self, model: QuantizedSR, chosen: Sequence[Patch]) -> None:
        self.model, self.chosen = model, chosen
        self.batches = [batch_of(model, [patch.low]) for patch in chosen]
        with model.full_precision():
            self.full = [output(model, batch)[0] for batch in self.batches]

    def rows(self, name: str) -> list[dict]:
        """Return a row a patch: errors on Y to ground truth, of full precision too, and to full precision; FAB."""
        border, found = self.model.descriptor.scale, []
        for patch, batch, full in zip(self.chosen, self.batches, self.full):
            image = output(self.model, batch)[0]
            row = dict(surrogate=name, dataset=patch.dataset, patch=patch.name)
            row |= dict(fab=_average_bits(self.model, self.model.complexity(batch)))
            row |= dict(fp=squared_error(image, full, border))
            row |= dict(truth=squared_error(np.rint(image), patch.high, border))
            found.append(row | dict(full=squared_error(np.rint(full), patch.high, border)))
        return found


def _average_bits(model: QuantizedSR, complexities: Tensor) -> float:
    factors = model.image2bit(complexities).detach().tolist()
    return float(np.mean(expected_average_bits(list(model.layers.values()), factors)))
