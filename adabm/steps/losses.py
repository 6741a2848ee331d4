"""Losses of fine-tuning against the full-precision network (method section 6; paper eq. 10-12)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks import NetworkDescriptor
from ..quantization.model import SROutput


@dataclass(frozen=True)
class Losses:
    """Weighted loss terms of one step; scalars that carry gradients.

    Attributes:
        pixel: mean |SR_q - SR_fp| on the 0-255 scale.
        structure: distance of normalized block outputs.
        bit: penalty on a FAB above the target.
    """

    pixel: Tensor
    structure: Tensor
    bit: Tensor


def distillation_losses(
    student: SROutput,
    teacher: SROutput,
    descriptor: NetworkDescriptor,
    target_bits: float,
    structure_weight: float,
    bit_weight: float,
) -> Losses:
    """Compare a quantized pass with the full-precision pass on the same batch."""
    pixel = (_wide(student.image) - _wide(teacher.image)).abs().mean() * (255.0 / descriptor.value_range)
    distances = [
        _distance(_normalized(q, descriptor), _normalized(t, descriptor))
        for q, t in zip(student.blocks, teacher.blocks)
    ]
    structure = pixel.new_zeros(()) if not distances else torch.stack(distances).mean() * structure_weight
    excess = student.feature_average_bits.mean() - target_bits
    # maximum, not clamp: at a FAB of exactly the target it passes half the gradient, as released
    excess = torch.maximum(excess, torch.zeros_like(excess))
    return Losses(pixel, structure, excess * bit_weight)


def _normalized(features: Tensor, descriptor: NetworkDescriptor) -> Tensor:
    """Divide by the norm over the whole batch tensor; the released RDN divides by C*H*W as well."""
    features = _wide(features)
    norm = features.norm()
    normalized = features / torch.where(norm > 0, norm, 1.0)  # black pictures in a network without biases
    return normalized / features[0].numel() if descriptor.block_feature_size_normalized else normalized


def _wide(x: Tensor) -> Tensor:
    """Return half precision as float32, in which sums over a picture fit, and anything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the images of the L2 distance, divided by the number of images once more.

    The released code averages over (block, image) pairs and divides by the batch size on top.
    """
    return (student - teacher).flatten(1).norm(dim=1).mean() / student.shape[0]
