"""The bit rule: at how many bits a layer computes an image, and the average that is reported (method section 4).

A bit-width is *decided* here (:func:`bits_for`), as the base plus the factors of :mod:`adabm.quantization.bit_mapping`;
*used* in the forward of :mod:`adabm.quantization.layers`; *counted* here as the feature average bits that are reported
(:func:`feature_average_bits`), and as BitOPs and size by :mod:`adabm.engines.cost`. The step ``map_bits`` sets what the
mappings decide with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from ..networks import Role
from .bit_mapping import Image2Bit, Layer2Bit


class Policy(str, Enum):
    """How a layer's activation bits are chosen."""

    ADAPTIVE = "adaptive"  # base bits + image factor + layer factor
    BASE = "base"  # base bits
    FIXED = "fixed"  # fixed bits, usually 8


class BitRuled(Protocol):
    """A layer as the rule sees it: its base bits, policy and layer factor, if it has one."""

    policy: Policy
    activation_bits: int
    layer2bit: Layer2Bit | None


def policy_of(role: Role, fully_quantized: bool) -> Policy | None:
    """Return how what has this role is quantized (table of :class:`Role`); None: it stays in full precision."""
    if role is Role.BODY or (role is Role.AFTER_BODY and fully_quantized):
        return Policy.ADAPTIVE
    if role is Role.FUSION:
        return Policy.BASE
    if role in (Role.FIRST, Role.UPSAMPLER, Role.LAST) and fully_quantized:
        return Policy.FIXED
    return None


def bits_for(layer: BitRuled, image_factor: Tensor | None) -> Tensor | float:
    """Return base bits + image factor + layer factor, the last two for adaptive layers alone.

    Args:
        image_factor: (N, 1, 1, 1) factors of the images, or None without image mapping.

    Returns:
        A number, or a (N, 1, 1, 1) or (1, 1, 1, 1) tensor with the gradients of both mappings.
    """
    bits: Tensor | float = layer.activation_bits
    if layer.policy is Policy.ADAPTIVE:
        if image_factor is not None:
            bits = bits + image_factor
        if layer.layer2bit is not None:
            bits = bits + layer.layer2bit().view(1, 1, 1, 1)
    return bits


def layer_factor(layer: BitRuled) -> int | None:
    """Return the whole number of bits that the layer mapping adds; None for a layer without a factor."""
    return int(layer.layer2bit.hard.item()) if layer.layer2bit is not None else None


def bits_without_image(layer: BitRuled) -> int:
    """Return the bits of an image of factor 0: those that bit-aware clipping optimizes for (method section 5)."""
    return layer.activation_bits + (layer_factor(layer) or 0)


@dataclass(frozen=True)
class BitRange:
    """Activation bits that a layer can take: its base, its factor, and the least and most over images."""

    base: int
    layer_factor: int | None
    least: int
    most: int


def bit_range(layer: BitRuled, image_reach: int) -> BitRange:
    """Return the bits that ``layer`` can take where an image's factor reaches ``image_reach`` bits up and down."""
    middle = bits_without_image(layer)
    reach = image_reach if layer.policy is Policy.ADAPTIVE else 0
    return BitRange(layer.activation_bits, layer_factor(layer), middle - reach, middle + reach)


def least_bits(layer: BitRuled, image2bit: Image2Bit | None) -> int:
    """Return the least activation bits that ``layer`` gets for any image.

    Args:
        image2bit: of its model.
    """
    return bit_range(layer, 0 if image2bit is None else image2bit.reach).least


def counts_in_average(layer: BitRuled) -> bool:
    """Whether a layer enters the feature average bits: all quantized ones but those at fixed bits (method section 1)."""
    return layer.policy is not Policy.FIXED


def feature_average_bits(layer_bits: Mapping[str, Tensor], layers: Mapping[str, BitRuled], images: Tensor) -> Tensor:
    """Return the FAB of each image, (N,): the mean of the bits used by the layers that count; 32 where none does.

    Args:
        layer_bits: (N,) bits of each layer of one pass, by name.
        layers: the quantized layers by name.
        images: (N, ...) the images of the pass.
    """
    counted = [bits for name, bits in layer_bits.items() if counts_in_average(layers[name])]
    return torch.stack(counted).mean(0) if counted else images.new_full((images.shape[0],), float(FULL_PRECISION_BITS))


def expected_average_bits(layers: Sequence[BitRuled], image_factors: Sequence[float]) -> list[float]:
    """Return the FAB of images of the given factors, as a pass over them would, without running the network."""
    counted = [layer for layer in layers if counts_in_average(layer)]
    if not counted:
        return [float(FULL_PRECISION_BITS)] * len(image_factors)
    fixed = sum(bits_without_image(layer) for layer in counted) / len(counted)
    share = sum(layer.policy is Policy.ADAPTIVE for layer in counted) / len(counted)
    return [fixed + share * factor for factor in image_factors]
