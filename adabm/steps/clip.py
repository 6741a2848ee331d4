"""Step ``clip``: bit-aware clipping shrinks each layer's range for the bits it will use (method section 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..quantization.bit_rule import Policy, bits_without_image
from ..quantization.layers import QuantizedLayer
from ..quantization.model import IsModel, QuantizedSR
from ..quantization.observers import best_shrink
from ..validation import Count, Share, check_all
from .calibration_pass import check_batch
from .step import CLIPPING, RANGES, TRAINING, Step, step
from .workspace import Workspace

CANDIDATES = 100


@step("clip")
@dataclass(frozen=True)
class Clip(Step):
    """Move activation ranges towards their best shrunk form on the first fine-tuning batch.

    Attributes:
        share: of the calibrated range that is kept.
        batch_size, patch_size: of that batch, in pictures and LR pixels; ``patch_size`` None: as in calibration.
    """

    needs = frozenset({RANGES})
    provides = frozenset({CLIPPING})
    precedes = frozenset({TRAINING})

    share: Share = 0.5
    batch_size: Count = 2
    patch_size: Count | None = None

    def install(self, model: QuantizedSR) -> None:
        """Note that ranges are still to be clipped."""
        model.clipped = False

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Clip on the batch that fine-tuning would see first."""
        clip_ranges(model, next(workspace.random(self.batch_size, self.patch_size)), self.share)


@torch.no_grad()
def clip_ranges(model: QuantizedSR, images: Tensor, share: float = 0.5) -> None:
    """Move each range half-way towards its best shrunk form, layer by layer in one quantized pass.

    The best of 100 shrink factors has the least mean squared error at the base bits plus the hard
    layer factor; the image factor is not included. Each layer sees what the layers before it, already
    clipped, produce. Layers at fixed bits keep their range. Calibrating again undoes it.

    Args:
        images: (N, C, H, W) batch in the network's value range; the recipe's first fine-tuning batch.
        share: of the calibrated range that is kept.

    Raises:
        ConfigError, DataError: an argument that is none of these.
    """
    check_all(model=(model, IsModel), share=(share, Share))
    check_batch(images, model.descriptor)

    def clip(layer: QuantizedLayer, x: Tensor) -> None:
        if layer.policy is Policy.FIXED:
            return
        lower, upper = layer.activation.lower, layer.activation.upper
        best_lower, best_upper = best_shrink(x, lower, upper, bits_without_image(layer), CANDIDATES)
        layer.activation.set_range(lower * share + best_lower * (1 - share), upper * share + best_upper * (1 - share))

    with model.visiting(clip):
        model.infer(images)
    model.clipped = True
