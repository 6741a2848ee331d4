"""Step ``round_weights``: weights and biases in closed form, layer by layer, against the full-precision network."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional as F

from ..quantization.bit_rule import bits_without_image
from ..quantization.channel_weights import CHANNEL_OBSERVERS
from ..quantization.domains import channel_affine
from ..quantization.layers import QuantizedConv2d, QuantizedLayer, WeightedLayer, in_domain
from ..quantization.model import QuantizedSR
from ..quantization.observers import observe_activation
from ..validation import Count, Pixels, one_of
from .decisions import DecidingStep, can_decide
from .rounding import ROUNDING_RULES, least_squares, ridged
from .step import DECISIONS, step
from .two_streams import run_two_streams
from .work_share import small_side, work_share
from .workspace import Workspace


@step("round_weights")
@dataclass(frozen=True)
class RoundWeights(DecidingStep):
    """Solve each layer for the input that the quantized layers before it give.

    In one pass over some patches each layer gets, in turn: its activation range for the quantized input; weights and bias
    of least squares against its full-precision output, to which the error is added that the quantized stream has at the
    skips which join it, so that it is repaired; steps of the weights; and rounding.

    Attributes:
        by: of :data:`adabm.steps.rounding.ROUNDING_RULES`.
        ridge: what moving a weight costs in least squares, in units of the mean square of the inputs; 0: no least squares.
        repair: make up for the error of the residual stream.
        ranges: set activation ranges anew, by the observer of ``calibrate``.
        pixels: of the low-resolution patches, together; at least one patch is taken.
        rows: places of a layer's output that least squares and rounding look at. Networks of more than 4 million
            multiplications for a pixel get proportionally fewer pixels and rows, but enough rows for least squares.
        patch_size: in LR pixels; None: as in calibration, in such networks 48 at most.
    """

    precedes = frozenset({DECISIONS})

    by: Annotated[str, one_of(ROUNDING_RULES)] = "gptq"
    ridge: Annotated[float, Ge(0), Le(1e6)] = 1.0
    repair: bool = True
    ranges: bool = True
    pixels: Pixels = 100_000
    rows: Pixels = 16_000
    patch_size: Count | None = None

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Solve all layers in one pass of both streams."""
        share, size = work_share(model), self.patch_size
        if share < 1 and size is None:
            size = min(workspace.patch_size, small_side(model))
        images = workspace.some(round(self.pixels * share), size)
        run_two_streams(model, images, _Rounding(self, model, workspace.seed, share), self.repair)


class _Rounding:
    """Makes one layer after the other ready; called as :data:`adabm.steps.two_streams.Solver` says."""

    def __init__(self, settings: RoundWeights, model: QuantizedSR, seed: int, share: float) -> None:
        self.settings, self.share, self.calibrate = settings, share, model.config.step("calibrate")
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, layer: QuantizedLayer, full: Tensor, x: Tensor, target: Tensor, errors: list[Tensor]) -> None:
        bits = bits_without_image(layer)
        if self.settings.ranges:
            seen = in_domain(layer.activation, x)
            layer.activation.set_range(
                *observe_activation(seen, self.calibrate.activation, bits, self.calibrate.percentile)
            )
        if not can_decide(layer):
            return
        for error in errors:
            target = target + error
        quantized, affine = layer.activation(x, bits), channel_affine(layer)
        inputs, targets = self._rows(layer, quantized if affine is None else affine.scaled(quantized), target)
        weight = layer.weight_to_quantize.flatten(1).float()
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.float()
        layer.weight_quantizer.decide(*self._decided(layer, weight, bias, inputs, targets))

    def _decided(
        self, layer: WeightedLayer, weight: Tensor, bias: Tensor, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes (O, K), steps (O, 1) and bias (O,), of each group of a convolution on its own.

        Args:
            inputs: (groups, n, K) of each group.
            targets: (n, O).
        """
        settings, rows = self.settings, len(targets)
        found = []
        for group, own, old, wanted in zip(
            inputs, weight.chunk(len(inputs)), bias.chunk(len(inputs)), targets.chunk(len(inputs), 1)
        ):
            group = torch.cat([group, group.new_ones(rows, 1)], 1)
            gram = group.T @ group / rows
            squares = settings.ridge > 0 and rows >= 2 * group.shape[1]
            gram = ridged(gram, settings.ridge if squares else _DAMPING)
            if squares:
                own, old = least_squares(own, old, group, wanted, gram)
            step = CHANNEL_OBSERVERS[self.calibrate.weight](own, layer.weight_bits)
            codes, new = ROUNDING_RULES[settings.by](own, old, gram, step, layer.weight_bits)
            found.append((codes, step, new))
        return tuple(torch.cat(parts) for parts in zip(*found))

    def _rows(self, layer: WeightedLayer, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a layer multiplies at random places of its output, (groups, n, K), and the output there, (n, O)."""
        if not isinstance(layer, QuantizedConv2d):
            x, target = x.flatten(0, -2), target.flatten(0, -2)
            rows = self._places(len(x), layer).to(x.device)
            return x[rows].float()[None], target[rows].float()
        count, _, height, width = target.shape
        rows = self._places(count * height * width, layer).to(x.device)
        image, top, left = rows // (height * width), rows // width % height, rows % width
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode).permute(0, 2, 3, 1)
        offsets = [torch.arange(k, device=x.device) * d for k, d in zip(layer.kernel_size, layer.dilation)]
        down, right = (grid.flatten() for grid in torch.meshgrid(*offsets, indexing="ij"))
        taken = padded[
            image[:, None], top[:, None] * layer.stride[0] + down, left[:, None] * layer.stride[1] + right
        ]  # (n, positions of the kernel, C)
        by_group = taken.transpose(1, 2).float().unflatten(1, (layer.groups, -1)).flatten(2)
        return by_group.transpose(0, 1), target.permute(0, 2, 3, 1).flatten(0, 2)[rows].float()

    def _places(self, count: int, layer: WeightedLayer) -> Tensor:
        columns = layer.weight[0].numel() + 1
        rows = min(self.settings.rows, max(round(self.settings.rows * self.share), 2 * columns))
        if count <= rows:
            return torch.arange(count)
        return torch.randint(count, (rows,), generator=self.generator)


_DAMPING = 0.01  # raises the diagonal for rounding where no least squares went before
