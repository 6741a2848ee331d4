"""Step ``reconstruct``: rounding of weights learned layer by layer or block by block."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.tunable import tunables
from ..validation import Count, NotNegative, Positive, Share
from .decisions import DecidingStep, bias_of, can_decide
from .soft_rounding import SoftRounding
from .step import DECISIONS, step
from .units import Sample, Unit, copied, observe, units
from .workspace import Workspace

_WARM_UP = 0.2  # of the iterations, in which nothing drives weights to codes
_LEAST_ADDED = 0.01  # of a unit's error is taken to come from its weights
_BETA = (20.0, 2.0)  # from the first such iteration to the last


@step("reconstruct")
@dataclass(frozen=True)
class Reconstruct(DecidingStep):
    """Learn whether each weight is rounded up or down, and activation ranges, so that a unit gives its full-precision output.

    A unit gets the input that the units before it, already rounded, give. Layers at fixed bits are rounded to the nearest.

    Source: by layer, M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, sections
    3.2 and 3.3; by block, Y. Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction",
    ICLR 2021, section 3.2; ``drop``, X. Wei et al., "QDrop: Randomly Dropping Quantization for Extremely Low-bit
    Post-Training Quantization", ICLR 2022, section 3.3. Deviations: squared error without Fisher weights, relative to what
    rounding to the nearest adds; hundreds of iterations in place of ten thousands, with larger rates; one picture an iteration;
    activation ranges are learned with the rounding, not behind it.

    Attributes:
        unit: ``block``: the network's blocks and the layers outside of them; ``layer``: each layer.
        iterations: Adam's steps for each unit.
        drop: probability that a value of a quantized input counts as in full precision while learning.
        lr_rounding: learning rate of the variables of rounding.
        lr_ranges: of activation ranges, in units of each range's width; 0: they stay.
        regularization: weight of the term that drives weights to codes.
        pixels: of the low-resolution patches, together; at least one patch is taken.
        patch_size: in LR pixels; None: as in calibration.
    """

    precedes = frozenset({DECISIONS})

    unit: Literal["layer", "block"] = "block"
    iterations: Count = 200
    drop: Share = 0.0
    lr_rounding: Positive = 0.02
    lr_ranges: NotNegative = 0.0001
    regularization: NotNegative = 0.5
    pixels: Count = 60_000
    patch_size: Count | None = None

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Reconstruct unit after unit."""
        images = workspace.some(self.pixels, self.patch_size).split(1)
        generator = torch.Generator().manual_seed(workspace.seed)
        for unit in units(model, self.unit == "block"):
            if samples := observe(model, unit, images):
                _reconstruct(self, model, unit, samples, generator)


def _reconstruct(
    settings: Reconstruct, model: QuantizedSR, unit: Unit, samples: Sequence[Sample], generator: torch.Generator
) -> None:
    soft = {layer: SoftRounding(layer) for layer in unit.layers if can_decide(layer)}
    ranges = [found for layer in unit.layers for _, found in tunables(layer) if found.group == "activation"]
    nearest = _mean_error(model, unit, samples)
    if not nearest > 0 or not soft:
        return
    groups = [dict(params=[rounding.variable for rounding in soft.values()], lr=settings.lr_rounding)]
    if settings.lr_ranges > 0:
        groups += [dict(params=list(found.parameters), lr=settings.lr_ranges * found.width) for found in ranges]
    optimizer = torch.optim.Adam(groups)
    warm = round(settings.iterations * _WARM_UP)
    with _learning(unit, soft, optimizer, settings.drop, generator):
        added = max(nearest - _mean_error(model, unit, samples), _LEAST_ADDED * nearest)  # by rounding the weights
        for iteration in range(settings.iterations):
            sample = samples[int(torch.randint(len(samples), (), generator=generator))]
            loss = _error(model, unit, _mixed(sample, settings.drop, generator)) / added
            if iteration >= warm:
                progress = (iteration - warm) / (settings.iterations - warm)
                beta = _BETA[0] + (_BETA[1] - _BETA[0]) * progress
                undecided = torch.stack([rounding.undecided(beta) for rounding in soft.values()]).mean()
                loss = loss + settings.regularization * undecided
            if not torch.isfinite(loss):
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for found in ranges:
                    found.keep_valid(found.width)
    for layer, rounding in soft.items():
        layer.weight_quantizer.decide(rounding.codes(), rounding.step, bias_of(layer))


@torch.no_grad()
def _mean_error(model: QuantizedSR, unit: Unit, samples: Sequence[Sample]) -> float:
    return float(torch.stack([_error(model, unit, sample) for sample in samples]).mean())


def _error(model: QuantizedSR, unit: Unit, sample: Sample) -> Tensor:
    """Return the mean squared distance of the unit's output from that in full precision."""
    context = model.context
    before = context.images, context.bits
    context.images, context.bits = 1, {}
    try:
        output = unit.module(*copied(sample.rounded), **copied(sample.named))
    finally:
        context.images, context.bits = before
    return (output - sample.target).float().square().mean()


def _mixed(sample: Sample, drop: float, generator: torch.Generator) -> Sample:
    """Return the sample with a share of its input values as in full precision."""
    if drop == 0:
        return sample

    def mixed(rounded: object, full: object) -> object:
        values = isinstance(rounded, Tensor) and rounded.is_floating_point()
        return _dropped(rounded, full, drop, generator) if values else rounded

    arguments = tuple(map(mixed, sample.rounded, sample.full))
    named = {name: mixed(rounded, sample.named_full[name]) for name, rounded in sample.named.items()}
    return replace(sample, rounded=arguments, named=named)


def _dropped(rounded: Tensor, full: Tensor, drop: float, generator: torch.Generator) -> Tensor:
    return torch.where(torch.rand(rounded.shape, generator=generator).to(rounded.device) < drop, full, rounded)


class _Dropping(nn.Module):
    """An activation quantizer that leaves a share of the values as they are."""

    def __init__(self, quantizer: nn.Module, drop: float, generator: torch.Generator) -> None:
        super().__init__()
        self.quantizer, self.drop, self.generator = quantizer, drop, generator

    def forward(self, x: Tensor, bits: Tensor | float) -> Tensor:
        return _dropped(self.quantizer(x, bits), x, self.drop, self.generator)


@contextmanager
def _learning(
    unit: Unit,
    soft: dict[WeightedLayer, SoftRounding],
    optimizer: torch.optim.Optimizer,
    drop: float,
    generator: torch.Generator,
) -> Iterator[None]:
    """Exchange the quantizers of a unit, and ask for the gradients that are needed."""
    weights = {layer: layer.weight_quantizer for layer in soft}
    activations: dict[QuantizedLayer, nn.Module] = {layer: layer.activation for layer in unit.layers if drop > 0}
    learned = [(p, p.requires_grad) for group in optimizer.param_groups for p in group["params"]]
    try:
        for layer, rounding in soft.items():
            layer.weight_quantizer = rounding
        for layer, quantizer in activations.items():
            layer.activation = _Dropping(quantizer, drop, generator)
        for parameter, _ in learned:
            parameter.requires_grad_(True)
        yield
    finally:
        for layer, quantizer in weights.items():
            layer.weight_quantizer = quantizer
        for layer, quantizer in activations.items():
            layer.activation = quantizer
        for parameter, before in learned:
            parameter.requires_grad_(before)
            parameter.grad = None
