"""Step ``refine``: what was decided, trained against the full-precision network and kept where held-out pictures gain."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..quantization.channel_weights import ChannelWeightQuantizer, straight_through_codes
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..quantization.tunable import ROUNDING, Tunable, tunables
from ..validation import Count, NotNegative, Whole
from .native_types import has_bfloat16
from .step import DECISIONS, RANGES, TRAINING, Step, step
from .teacher import Teacher
from .tuning_settings import COMPUTING
from .work_share import small_side
from .workspace import TuningStep, Workspace

_WARM_UP = 10  # steps over which the learning rates rise
_LEAST_RATE = 0.02  # share of them that is left at the end
_HELD_OUT = 8  # one picture of so many gives the patches that are held out


@step("refine")
@dataclass(frozen=True)
class Refine(Step):
    """Train the ranges, steps, codes and biases of all layers together, so that the output is that in full precision.

    Steps of Adam on the mean PSNR of patches against the full-precision network, straight through all rounding, with rates that
    rise and then fall along a cosine. One picture of eight is held out: at first and every so many steps that PSNR is measured
    on patches of those, and the best state stays. So on them refining never makes a model worse.

    Attributes:
        steps: of Adam.
        batch_size, patch_size: LR patches of a step; ``patch_size`` None: as in calibration, but 48 at most.
        pool: so many patches take turns; the full-precision network's outputs for them are computed once and kept.
        held_out: patches on which the PSNR is measured.
        every: steps between two measurements.
        lr_ranges: learning rate of activation ranges, in units of each range's width.
        lr_steps: of the steps of weights, in units of their mean.
        lr_rounding: of the values of codes, in units of 2^bits, the number of codes.
        lr_bias: of biases, in units of their mean magnitude.
        convolutions: as in :class:`adabm.steps.tuning_settings.TuningSettings`, but ``bfloat16`` where the device has it alone: else
            in the features' type, which is then faster and no less exact. What is held out is measured in the network's own type.
    """

    needs = frozenset({RANGES})
    provides = frozenset({DECISIONS, TRAINING})  # codes too, which a step that decides anew would throw away

    steps: Whole = 200
    batch_size: Count = 2
    patch_size: Count | None = None
    pool: Count = 160
    held_out: Count = 16
    every: Count = 40
    lr_ranges: NotNegative = 0.002
    lr_steps: NotNegative = 0.01
    lr_rounding: NotNegative = 0.0012
    lr_bias: NotNegative = 0.02
    convolutions: Literal["float32", "bfloat16"] = "bfloat16"

    @property
    def total_steps(self) -> int:
        """Steps that are taken."""
        return self.steps

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Take all steps, and go back to the best state."""
        trained = list(_trainable(model))
        if self.steps == 0 or not trained:
            return
        size = self.patch_size or min(workspace.patch_size, small_side(model))
        kept, others = _held_out(workspace)
        teacher = Teacher(model, blocks=False, keep=True)
        best = _Best(model, [found for _, found in trained], next(kept.random(self.held_out, size)), teacher)
        groups = [
            dict(params=list(found.parameters), rate=rate)
            for layer, found in trained
            if (rate := self._rate(layer, found)) > 0
        ]
        if groups:
            with _learning(groups):
                self._train(groups, best, others.random(self.batch_size, size, self.pool), workspace)
        best.restore()

    def _rate(self, layer: QuantizedLayer, found: Tunable) -> float:
        """Return the learning rate in the parameters' own units."""
        rates = {
            "activation": self.lr_ranges * found.width,
            "weight": self.lr_steps * found.width,
            "rounding": self.lr_rounding * 2.0 ** (layer.weight_bits or 0),
            "bias": self.lr_bias * found.width,
        }
        return rates.get(found.rate, 0.0)

    def _train(self, groups: list[dict], best: "_Best", batches: Iterator[Tensor], workspace: Workspace) -> None:
        model, optimizer = best.model, torch.optim.Adam(groups, eps=1e-12)
        computing = COMPUTING[self.convolutions] if has_bfloat16(model.device) else None
        for index in range(self.steps):
            images = next(batches)
            target = best.teacher(images).image
            with model.computing(computing):
                output = model.infer(images)
            loss = _log_error(output.image, target)
            if not torch.isfinite(loss):
                return
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * _share(index, self.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            best.keep_valid()
            distance = (output.image.detach() - target).abs().mean() * (255.0 / model.descriptor.value_range)
            bits = float(output.feature_average_bits.detach().mean())
            workspace.tuning.append(TuningStep(index // self.every, "all", float(distance), 0.0, 0.0, bits))
            if workspace.on_step is not None:
                workspace.on_step(workspace.tuning[-1])
            if (index + 1) % self.every == 0 or index + 1 == self.steps:
                best.measure()


class _Best:
    """Keeps parameters as they were when the error on held-out patches was least."""

    def __init__(self, model: QuantizedSR, trained: Sequence[Tunable], patches: Tensor, teacher: Teacher) -> None:
        self.model, self.trained, self.teacher = model, trained, teacher
        self._patches = patches.split(1)
        self._parameters = [parameter for found in trained for parameter in found.parameters]
        self._least, self._kept = math.inf, self._values()
        self.measure()

    @torch.no_grad()
    def measure(self) -> None:
        """Measure the error, and keep the parameters if it is the least so far."""
        errors = [_log_error(self.model(patch), self.teacher(patch).image) for patch in self._patches]
        error = float(torch.stack(errors).mean())
        if error < self._least:
            self._least, self._kept = error, self._values()

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to what was kept; values of codes become the codes that they stand for."""
        for parameter, value in zip(self._parameters, self._kept):
            parameter.copy_(value)
        for layer in self.model.layers.values():
            quantizer = getattr(layer, "weight_quantizer", None)
            if isinstance(quantizer, ChannelWeightQuantizer) and quantizer.is_decided:
                quantizer.latent.copy_(straight_through_codes(quantizer.latent, layer.weight_bits))

    @torch.no_grad()
    def keep_valid(self) -> None:
        """Put parameters back where their modules can work."""
        for found in self.trained:
            if found.keep_valid is not None:
                found.keep_valid(found.width)

    def _values(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._parameters]


def _trainable(model: QuantizedSR) -> Iterator[tuple[QuantizedLayer, Tunable]]:
    """Yield what layers declare: ranges, steps, decided codes and biases; bits stay as they are."""
    for layer in model.layers.values():
        for _, found in tunables(layer):
            if found.group in ("activation", "weight", ROUNDING):
                yield layer, found


def _held_out(workspace: Workspace) -> tuple[Workspace, Workspace]:
    """Return the workspace with the pictures that are held out, and with the others; with all of them where there is but one."""
    images = range(len(workspace.images))
    parts = [i for i in images if i % _HELD_OUT == 0], [i for i in images if i % _HELD_OUT]
    return tuple(replace(workspace, images=[workspace.images[i] for i in part or images]) for part in parts)


def _share(index: int, steps: int) -> float:
    """Return the share of the learning rates that a step has."""
    rising, falling = min(1.0, (index + 1) / _WARM_UP), 0.5 * (1 + math.cos(math.pi * index / steps))
    return rising * (_LEAST_RATE + (1 - _LEAST_RATE) * falling)


def _log_error(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean over the images of the logarithm of their mean squared errors: their mean PSNR but for its sign and unit.

    Busy and flat patches count alike, in a unit that does not depend on the network's value range.
    """
    errors = (image.float() - target.float()).square().flatten(1).mean(1)
    return errors.clamp_min(torch.finfo(errors.dtype).tiny).log().mean()


@contextmanager
def _learning(groups: Sequence[dict]) -> Iterator[None]:
    """Ask for the gradients that are needed."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None
