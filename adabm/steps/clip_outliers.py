"""Step ``clip_outliers``: density-based dual clipping of activations."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ..quantization.bit_rule import bits_without_image
from ..quantization.bounds import histogram
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count, Share
from .step import CLIPPING, DECISIONS, RANGES, SEARCHED, TRAINING, Step, Watcher, step
from .workspace import CalibrationRecord

_MANY_BITS = 8


@step("clip_outliers")
@dataclass(frozen=True)
class ClipOutliers(Step):
    """Cut the sparser end off each activation range, bin by bin, until a share of the values is left outside.

    Long tails are thus cut at whichever end they are.

    Source: Z. Tu et al., "Toward Accurate Post-Training Quantization for Image Super Resolution", CVPR 2023, section 3.2
    (DBDC). Deviations: it stops before the share is exceeded; bounds are means over the calibration batches.

    Attributes:
        outliers: share of the values outside, of layers of less than 8 bits.
        outliers_8_bits: of 8 bits and more.
        bins: of the histogram from the least to the greatest value.
        patches: how many of the calibration patches it looks at; None: all.
    """

    needs = frozenset({RANGES})
    provides = frozenset({SEARCHED})
    precedes = frozenset({CLIPPING, DECISIONS, TRAINING})
    at_layer_bits = True

    outliers: Share = 5e-4
    outliers_8_bits: Share = 1e-5
    bins: Annotated[int, Ge(2)] = 2048
    patches: Count | None = None

    def watch(self, model: QuantizedSR) -> Watcher:
        """Clip each layer's input in each batch."""
        return _Clipped(self, model)


class _Clipped(Watcher):
    def __init__(self, settings: ClipOutliers, model: QuantizedSR) -> None:
        self.settings, self.model, self.patches = settings, model, settings.patches
        self.found: dict[str, list[Tensor]] = {}

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        many = bits_without_image(layer) >= _MANY_BITS
        share = self.settings.outliers_8_bits if many else self.settings.outliers
        self.found.setdefault(layer.name, []).append(clipped(x, share, self.settings.bins))

    def finish(self, record: CalibrationRecord) -> None:
        for name, bounds in self.found.items():
            lower, upper = torch.stack(bounds).mean(0).split(1)
            self.model.layers[name].activation.set_range(lower, upper)


@torch.no_grad()
def clipped(x: Tensor, share: float, bins: int) -> Tensor:
    """Return the bounds (lower, upper), (2,), outside of which at most ``share`` of the values lies."""
    least, greatest = torch.aminmax(x.float())
    if least == greatest:
        return torch.stack([least, greatest])
    counts = histogram(x.float(), bins, float(least), float(greatest)).tolist()
    first, last, spare = 0, bins - 1, share * sum(counts)
    while first < last:
        sparser = min(counts[first], counts[last])
        if sparser > spare:
            break
        spare -= sparser
        if counts[first] < counts[last]:
            first += 1
        else:
            last -= 1
    width = (greatest - least) / bins
    return torch.stack([least + width * first, least + width * (last + 1)])
