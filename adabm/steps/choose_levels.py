"""Step ``choose_levels``: subset quantization of normalized channels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.bit_rule import Policy
from ..quantization.channel_ranges import SubsetQuantizer, midpoints
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count, Pixels
from .step import DECISIONS, RANGES, TRAINING, Step, step
from .work_share import small_side
from .workspace import Workspace

# Steps that set ranges of values or change bits, neither of which levels follow.
_OTHERS = ("map_bits", "clip", "search_bounds", "clip_outliers", "split_ranges", "allocate_bits", "round_weights")
_WORDS = ((0, 1, 5), (0, 2, 6), (0, 3, 7), (0, 4, 8))  # a word is 0 or 2 to the power of one of these, negated
_SETTLED = 1e-3  # how far centres move at most in the last iteration, as the released code has it


@step("choose_levels")
@dataclass(frozen=True)
class ChooseLevels(Step):
    """Normalize each channel of each picture, and round it to levels of its own, chosen from a universal set.

    Levels are the members of the set that are nearest to the centres of clusters of the channel's normalized values, of
    several clusterings those of least squared error. One centre is zero: behind a ReLU zero, else the mean of the channel.

    Source: Y. Zhong et al., "Distribution-Flexible Subset Quantization for Post-Quantizing Super-Resolution Networks", 2023
    (arXiv 2305.05888), with the universal set of the released code: sums of four words, each 0 or a power of two. Deviations:
    clusterings begin between quantiles and even distances instead of at random; they see some values of each channel; layers
    at fixed bits and operands of products keep uniform grids. No integer engine takes it: the levels of a channel are no
    multiples of one step.

    Attributes:
        pixels: of the low-resolution patches that are looked at, together; at least one patch is taken.
        values: of each channel that are clustered, at most.
        starts, iterations: of the clusterings of a channel, and of each of them at most.
    """

    needs = frozenset({RANGES})
    precedes = frozenset({DECISIONS, TRAINING})

    pixels: Pixels = 40_000
    values: Count = 8192
    starts: Count = 5
    iterations: Count = 100

    def check(self, config) -> None:
        """Refuse steps whose ranges or bits levels do not follow."""
        for other in _OTHERS:
            if config.step(other) is not None:
                raise ConfigError(f"choose_levels: does not go with {other}; leave one of them out")

    def install(self, model: QuantizedSR) -> None:
        """Exchange the quantizers of all layers with weights but those at fixed bits."""
        universal = universal_set()
        for layer in model.layers.values():
            if not isinstance(layer, WeightedLayer) or layer.policy is Policy.FIXED:
                continue
            if layer.activation_bits < FULL_PRECISION_BITS:
                count = min(2**layer.activation_bits, len(universal))
                places = torch.linspace(0, len(universal) - 1, count).round().long()
                layer.activation = SubsetQuantizer(layer, universal[places]).to(layer.weight.device)

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Choose the levels of each layer on its full-precision input."""
        small = min(workspace.patch_size, small_side(model))
        images = workspace.some(self.pixels, small)
        universal = universal_set()

        def choose(layer: QuantizedLayer, x: Tensor) -> None:
            quantizer = layer.activation
            if isinstance(quantizer, SubsetQuantizer) and quantizer.levels.shape[1] < len(universal):
                rows = quantizer.rows(quantizer.normalized(quantizer.apart(x.float()))[0])
                every = -(-rows.shape[1] // self.values) | 1  # odd, since rows of pictures have even lengths
                found = chosen_levels(rows[:, ::every], quantizer.levels.shape[1], universal.to(x.device), self)
                quantizer.levels.copy_(found)

        with torch.no_grad(), model.full_precision(), model.visiting(choose):
            model.infer(images)


def universal_set() -> Tensor:
    """Return what levels are chosen from, ascending from -1 to 1."""
    words = [torch.tensor([0.0, *(2.0**-power for power in powers)]) for powers in _WORDS]
    sums = torch.cartesian_prod(*words).sum(1) / len(words)
    return torch.cat([sums, -sums]).unique()


def chosen_levels(rows: Tensor, count: int, universal: Tensor, settings: ChooseLevels) -> Tensor:
    """Return the levels (C, count) for the values of each channel (C, n), ascending; equal ones where fewer are needed.

    Args:
        universal: (m,) what they are chosen from, ascending.
    """
    values = rows.double().sort(1).values
    clusters = _Clusters(values)
    best, least = None, None
    for start in torch.linspace(0, 1, settings.starts).tolist():
        centres, zero = _with_zero(_between(values, count - 1, start))
        for _ in range(settings.iterations):
            moved = clusters.means(centres).scatter(1, zero, 0.0)
            settled = (moved - centres).abs().amax() < _SETTLED
            centres = moved
            if settled:
                break
        levels = universal[torch.searchsorted((universal[1:] + universal[:-1]) / 2, centres.float())].to(values)
        errors = clusters.errors(levels)
        if best is None:
            best, least = levels, errors
        best, least = torch.where(errors < least, levels, best), torch.minimum(errors, least)
    return best.to(rows.dtype)


def _between(values: Tensor, count: int, share: float) -> Tensor:
    """Return ``count`` values a row, from quantiles (share 0) to even distances (1), of sorted values (C, n)."""
    places = (torch.arange(count, dtype=torch.float64, device=values.device) + 0.5) / count
    quantiles = values[:, (places * (values.shape[1] - 1)).round().long()]
    even = values[:, :1] + (values[:, -1:] - values[:, :1]) * places
    return quantiles * (1 - share) + even * share


def _with_zero(centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return ascending centres with a zero among them, and its place (C, 1)."""
    zero = (centres < 0).sum(1, keepdim=True)
    return torch.cat([centres, torch.zeros_like(centres[:, :1])], 1).sort(1).values, zero


class _Clusters:
    """Sums over the values that are nearest to each of some centres, of sorted values (C, n), by differences of running sums."""

    def __init__(self, values: Tensor) -> None:
        self.values = values.contiguous()
        ones = torch.ones_like(values)
        self._sums = [F.pad(part.cumsum(1), (1, 0)) for part in (ones, values, values.square())]

    def means(self, centres: Tensor) -> Tensor:
        """Return the mean of each cluster; a centre without values stays."""
        count, total, _ = self._parts(centres)
        return torch.where(count > 0, total / count.clamp_min(1), centres)

    def errors(self, levels: Tensor) -> Tensor:
        """Return the squared error of rounding to the nearest level, (C, 1)."""
        count, total, squares = self._parts(levels)
        return (squares - 2 * levels * total + levels.square() * count).sum(1, keepdim=True)

    def _parts(self, centres: Tensor) -> list[Tensor]:
        ends = torch.searchsorted(self.values, midpoints(centres), right=True)
        ends = torch.cat([torch.zeros_like(ends[:, :1]), ends, torch.full_like(ends[:, :1], self.values.shape[1])], 1)
        return [sums.gather(1, ends).diff(dim=1) for sums in self._sums]
