"""Step ``allocate_by_gradient``: bits of weights and activations by the gradient of the loss with respect to them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ..errors import ConfigError, DataError
from ..quantization.bit_rule import counts_in_average
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count, NotNegative, require
from .losses import distillation_losses
from .step import CLIPPING, DECISIONS, RANGES, SEARCHED, TRAINING, Step, step
from .teacher import Teacher
from .workspace import Workspace

MOST_BITS = 16  # of a layer; base bits of so many and more, full precision among them, stay


@step("allocate_by_gradient")
@dataclass(frozen=True)
class AllocateByGradient(Step):
    """Give a bit to the quarter of the layers whose bits lower the loss most, and take one from the quarter where least.

    The loss is that of fine-tuning, on the quantized model with all layers at base bits; its gradient with respect to the bits
    of a layer goes through the number of steps of its grid. The means of bits stay at the base, of activations over the layers
    that count in the FAB, of weights over those of them with weights. Bits of 16 and more stay, so that nothing is done at W16A16.

    Source: Kim et al., "Gradient Knows Best: Mixed-Precision Quantization via Gradient-Guided Bit Allocation for
    Super-Resolution", CVPR 2026 (GBA), as public notes of the paper describe it. Layers are ranked by the mean gradient, the
    greatest (signed) first; ranks become offsets from -1 to 1 at even distances, rounded. Assumed: that the offsets stay zero
    while gradients are collected (the notes name a learning rate, too, but ranks replace whatever it would do); the structure
    loss is that of ``tune``; exactly half an offset is rounded to zero; layers at fixed bits keep theirs.

    Attributes:
        weights, activations: whose bits are chosen.
        batches, batch_size, patch_size: random LR patches on which gradients are collected; ``patch_size`` None: as in
            calibration.
        structure_weight: weight of the structure loss.
    """

    needs = frozenset({RANGES})
    precedes = frozenset({CLIPPING, DECISIONS, SEARCHED, TRAINING})

    weights: bool = True
    activations: bool = True
    batches: Count = 100
    batch_size: Count = 2
    patch_size: Count | None = None
    structure_weight: NotNegative = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.weights or self.activations, "activations", False, "true where weights is false, else nothing is done"
        )

    def check(self, config) -> None:
        """Refuse bits of which none can be taken, and weights whose steps do not depend on bits."""
        mapping = config.step("map_bits")
        mapped = 0 if mapping is None else mapping.reach
        for wanted, name, others in ((self.weights, "weight_bits", 0), (self.activations, "activation_bits", mapped)):
            bits, least = getattr(config, name), 2 + others
            told = f"{least} or more with allocate_by_gradient{' and map_bits' if others else ''}, which may take a bit away"
            require(not wanted or bits >= least, name, bits, told)
        calibrate = config.step("calibrate")
        if self.weights and calibrate is not None and calibrate.granularity != "tensor":
            raise ConfigError(
                "allocate_by_gradient: the steps of weights by channel do not depend on bits; set calibrate.granularity to "
                "tensor, or allocate_by_gradient.weights to false"
            )
        for other in ("allocate_bits", "split_ranges", "choose_levels"):
            if config.step(other) is not None:
                raise ConfigError(f"allocate_by_gradient: does not go with {other}; leave one of them out")

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Collect the gradients and set the bits of the layers that count in the FAB."""
        counted = [layer for layer in model.layers.values() if counts_in_average(layer)]
        attributes = {"activation_bits": self.activations, "weight_bits": self.weights}
        probed = {
            name: [layer for layer in counted if (getattr(layer, name) or MOST_BITS) < MOST_BITS]
            for name, wanted in attributes.items()
            if wanted
        }
        places = [(layer, name) for name, layers in probed.items() for layer in layers]
        if not places:
            return
        batches = islice(workspace.random(self.batch_size, self.patch_size), self.batches)
        gradients = iter(self._gradients(model, places, batches).tolist())
        for name, layers in probed.items():
            offsets = offsets_by_rank([next(gradients) for _ in layers])
            for layer, offset in zip(layers, offsets):
                setattr(layer, name, getattr(layer, name) + offset)

    def _gradients(
        self, model: QuantizedSR, places: Sequence[tuple[QuantizedLayer, str]], batches: Iterator[Tensor]
    ) -> Tensor:
        """Return the sum over the batches of the derivative of the loss with respect to the bits at each place."""
        teacher = Teacher(model, blocks=self.structure_weight > 0)
        total = torch.zeros(len(places), dtype=torch.float64)
        for images in batches:
            target = teacher(images)
            with _probes(model, places) as probes, torch.enable_grad():
                output = model.infer(images, blocks=teacher.blocks)
                losses = distillation_losses(output, target, model.descriptor, 0.0, self.structure_weight, 0.0)
                found = torch.autograd.grad(losses.pixel + losses.structure, probes, allow_unused=True)
            total += torch.tensor([0.0 if one is None else float(one) for one in found], dtype=torch.float64)
        if not total.isfinite().all():
            layer = next(layer for (layer, _), one in zip(places, total.tolist()) if not math.isfinite(one))
            raise DataError(
                f"allocate_by_gradient: the gradient of the bits of {layer.name!r} is NaN or infinite, so that no order of the layers "
                "follows from it; look for pictures of extreme values, or leave the step out"
            )
        return total


@contextmanager
def _probes(model: QuantizedSR, places: Sequence[tuple[QuantizedLayer, str]]) -> Iterator[list[Tensor]]:
    """Let bits be (1, 1, 1, 1) tensors with gradients, of the same values."""
    before = [getattr(layer, name) for layer, name in places]
    probes = [torch.full((1, 1, 1, 1), float(bits), device=model.device, requires_grad=True) for bits in before]
    try:
        for (layer, name), probe in zip(places, probes):
            setattr(layer, name, probe)
        yield probes
    finally:
        for (layer, name), bits in zip(places, before):
            setattr(layer, name, bits)


def offsets_by_rank(gradients: Sequence[float]) -> list[int]:
    """Return the offsets -1, 0 or 1 of layers, the least gradient getting most; their sum is 0.

    >>> offsets_by_rank([-3.0, 0.5, -1.0, 0.0])
    [1, -1, 0, 0]
    """
    last = len(gradients) - 1
    order = sorted(range(len(gradients)), key=lambda index: -gradients[index])
    offsets = [0] * len(gradients)
    for rank, index in enumerate(order):
        offsets[index] = round(2 * rank / last - 1) if last else 0
    return offsets
