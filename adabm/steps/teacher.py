"""What a student is compared with during fine-tuning: the full-precision network on the same batch."""

from hashlib import sha256

import torch
from torch import Tensor

from ..quantization.model import QuantizedSR, SROutput


class Teacher:
    """Run the full-precision network of a model on batches.

    Args:
        blocks: whether the outputs of its blocks are asked for.
        keep: compute each image once and keep what came out: batches from a pool repeat their images. The memory is that
            of the outputs of all images, with ``blocks`` that of the features of all blocks too.
    """

    def __init__(self, model: QuantizedSR, blocks: bool = True, keep: bool = False) -> None:
        self.model, self.blocks = model, blocks
        self._kept: dict[bytes, SROutput] | None = {} if keep else None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> SROutput:
        """Return the outputs for images (N, C, H, W) in the network's value range, without gradients."""
        if self._kept is None:
            return self._computed(images)
        outputs = [self._remembered(image) for image in images.split(1)]
        blocks = tuple(torch.cat(features) for features in zip(*(output.blocks for output in outputs)))
        bits = torch.cat([output.feature_average_bits for output in outputs])
        return SROutput(torch.cat([output.image for output in outputs]), bits, {}, blocks)

    def _remembered(self, image: Tensor) -> SROutput:
        values = image.cpu().flatten().clone(memory_format=torch.contiguous_format)  # of one pixel strides may be any
        name = sha256(values.view(torch.uint8).numpy()).digest()
        if name not in self._kept:
            self._kept[name] = self._computed(image)
        return self._kept[name]

    def _computed(self, images: Tensor) -> SROutput:
        with self.model.full_precision():
            return self.model.infer(images, blocks=self.blocks)
