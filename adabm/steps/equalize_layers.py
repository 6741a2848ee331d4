"""Step ``equalize_layers``: cross-layer equalization of weight ranges."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from ..quantization.domains import channel_affine, install_channel_affine
from ..quantization.layers import QuantizedConv2d
from ..quantization.model import QuantizedSR
from .decisions import check_channels
from .shift_channels import layers_with_channels
from .step import DECISIONS, RANGES, Step, step
from .workspace import Workspace

_SWEEPS, _SETTLED = 20, 1e-3


@step("equalize_layers")
@dataclass(frozen=True)
class EqualizeLayers(Step):
    """Scale the channels between two convolutions so that the weights on both sides have equal ranges.

    A pair is a convolution whose output goes through a ReLU, leaky or with a slope of each channel, to the next; where a
    network has none, nothing is done. The scales stand in the domain of the second one's input. In the first one they
    change nothing, since its weights have a step of each output channel.

    Source: M. Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", ICCV 2019, section
    4.1 (equation 11). Deviation: high biases are not absorbed.
    """

    precedes = frozenset({RANGES, DECISIONS})
    changes_network = True

    def check(self, config) -> None:
        """Refuse weights by tensor, in which the first convolution would have to change."""
        check_channels(self.name, config)

    def install(self, model: QuantizedSR) -> None:
        """Give the layers domains that change nothing yet."""
        for layer in layers_with_channels(model):
            install_channel_affine(layer)

    @torch.no_grad()
    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Find the pairs in a pass over one patch, and scales that settle."""
        pairs = list(homogeneous_pairs(model, next(workspace.calibration())[:1]))
        pairs = [(first, second) for first, second in pairs if channel_affine(second) is not None]
        ranges = {layer.name: layer.weight.detach().abs().float().amax((2, 3)) for pair in pairs for layer in pair}
        scales = {second.name: torch.ones_like(ranges[second.name][0]) for _, second in pairs}
        for _ in range(_SWEEPS):
            most = 0.0
            for first, second in pairs:
                scale = _balance(ranges[first.name].amax(1), ranges[second.name].amax(0))
                ranges[first.name] /= scale[:, None]
                ranges[second.name] *= scale
                scales[second.name] *= scale
                most = max(most, float(scale.log().abs().max()))
            if most < _SETTLED:
                break
        for _, second in pairs:
            affine = channel_affine(second)
            affine.scale.mul_(scales[second.name].view_as(affine.scale))


def _balance(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the scales (C,) by which rows are divided and columns multiplied; 1 for channels of which one has no weight."""
    return (rows / columns).sqrt().where((rows > 0) & (columns > 0), torch.ones_like(rows))


@torch.no_grad()
def homogeneous_pairs(model: QuantizedSR, images: Tensor) -> Iterator[tuple[QuantizedConv2d, QuantizedConv2d]]:
    """Yield the convolutions that follow each other with nothing but a kind of ReLU between them.

    Args:
        images: (N, C, H, W) in the network's value range: where an output is positive there, the next input equals it.
    """
    last: list[tuple[QuantizedConv2d, Tensor]] = []
    found: list[tuple[QuantizedConv2d, QuantizedConv2d]] = []

    def keep(layer: QuantizedConv2d, _: object, output: Tensor) -> None:
        last[:] = [(layer, output.clone())]  # a ReLU in place would change it

    def compare(layer: QuantizedConv2d, arguments: tuple, named: dict) -> None:
        (before, output), (x,) = last[0] if last else (None, None), (*arguments, *named.values())
        if before is None or before.groups != 1 or layer.groups != 1 or x.shape != output.shape:
            return
        if torch.equal(x.clamp_min(0), output.clamp_min(0)) and not torch.equal(x, output):
            found.append((before, layer))

    with ExitStack() as hooks, model.full_precision():
        for layer in model.layers.values():
            if isinstance(layer, QuantizedConv2d):
                hooks.callback(layer.register_forward_pre_hook(compare, with_kwargs=True).remove)
                hooks.callback(layer.register_forward_hook(keep).remove)
        model.infer(images)
    yield from dict.fromkeys(found)
