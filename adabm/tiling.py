"""Upscale pictures of any size, whole or tile by tile."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError
from .model import QuantizedSR


@dataclass(frozen=True)
class Upscaled:
    """An upscaled picture.

    Attributes:
        image: (H*scale, W*scale, C) float32, 0 to 255, neither rounded nor clamped.
        feature_average_bits: mean over the tiles.
        layer_bits: activation bits of each quantized layer, mean over the tiles.
        tile_bits: FAB of each tile with its place in the input, ``(top, left, height, width, bits)``.
    """

    image: np.ndarray
    feature_average_bits: float
    layer_bits: dict[str, float]
    tile_bits: list[tuple[int, int, int, int, float]]


def to_tensor(image: np.ndarray, model: QuantizedSR) -> Tensor:
    """Turn an (H, W, C) picture of values 0 to 255 into a (1, C, H, W) tensor where the model lives."""
    parameter = next(model.parameters())
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(parameter.device, parameter.dtype)
    return x * (model.descriptor.value_range / 255.0)


@torch.no_grad()
def upscale(model: QuantizedSR, image: np.ndarray, tile: int | None = None, overlap: int = 0) -> Upscaled:
    """Upscale a picture; each tile takes its own image-wise bit decision.

    Args:
        image: (H, W, C) of values 0 to 255, C the network's input channels.
        tile: side of the tiles in input pixels; None for the whole picture at once. Every tile is
            at least this large where the picture is: remainders join the last tile.
        overlap: input pixels of context computed around each tile and cut off again. The literature's
            patch protocol (96x96) has none; to hide seams use about 16.
    """
    height, width = image.shape[:2]
    if tile is not None and tile < 8:
        raise ConfigError(f"tile = {tile}: must be at least 8 pixels")
    if overlap < 0:
        raise ConfigError(f"overlap = {overlap}: must not be negative")
    scale = model.descriptor.scale
    result = np.empty((height * scale, width * scale, image.shape[2]), np.float32)
    tile_bits, layer_sums, tiles = [], {}, 0
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            above, before = min(overlap, top), min(overlap, left)
            crop = image[top - above : bottom + overlap, left - before : right + overlap]
            out = model.infer(to_tensor(crop, model))
            pixels = out.image[0].float().mul(255.0 / model.descriptor.value_range).permute(1, 2, 0).cpu().numpy()
            inner = np.s_[above * scale :, before * scale :]
            shape = np.s_[: (bottom - top) * scale, : (right - left) * scale]
            result[top * scale : bottom * scale, left * scale : right * scale] = pixels[inner][shape]
            tile_bits.append((top, left, bottom - top, right - left, float(out.feature_average_bits[0])))
            for name, bits in out.layer_bits.items():
                layer_sums[name] = layer_sums.get(name, 0.0) + float(bits[0])
            tiles += 1
    average = float(np.mean([bits for *_, bits in tile_bits]))
    return Upscaled(result, average, {name: total / tiles for name, total in layer_sums.items()}, tile_bits)


def _spans(length: int, tile: int | None) -> Iterator[tuple[int, int]]:
    """Cut ``length`` into spans of ``tile``, the last of which takes the remainder as well."""
    if tile is None or length <= tile:
        yield 0, length
        return
    starts = list(range(0, length - tile + 1, tile))
    yield from zip(starts, [*starts[1:], length])


def round_to_uint8(image: np.ndarray) -> np.ndarray:
    """Clamp to 0..255 and round: the 8-bit picture that is shown and evaluated."""
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
