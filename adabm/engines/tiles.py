"""Upscale pictures of any size, whole or tile by tile."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, EngineError, ImageError
from ..pictures.padding import padded
from ..pictures.picture import check_array
from ..quantization.model import QuantizedSR
from .protocol import Engine
from .simulated import as_engine


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


@dataclass(frozen=True)
class UpscaledTile:
    """One tile of an upscaled picture; places and sizes are in input pixels.

    Attributes:
        pixels: (height*scale, width*scale, C) float32, 0 to 255, neither rounded nor clamped.
        layer_bits: activation bits of each quantized layer.
    """

    top: int
    left: int
    height: int
    width: int
    pixels: np.ndarray
    feature_average_bits: float
    layer_bits: dict[str, float]

    def place(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the upscaled picture that the tile covers."""
        rows = slice(self.top * scale, (self.top + self.height) * scale)
        return rows, slice(self.left * scale, (self.left + self.width) * scale)


def upscale(model: QuantizedSR | Engine, image: np.ndarray, tile: int | None = None, overlap: int = 0) -> Upscaled:
    """Upscale a picture; each tile takes its own image-wise bit decision.

    The whole result is held in float32; :func:`upscaled_tiles` needs memory for one tile alone.

    Args:
        model: an engine; or a calibrated model, or one inside ``model.full_precision()``.
        image: (H, W, C) of values 0 to 255, C the network's input channels.
        tile: side of the tiles in input pixels; None for the whole picture at once. Every tile is
            at least this large where the picture is: remainders join the last tile.
        overlap: input pixels of context computed around each tile and cut off again. The literature's
            patch protocol (96x96) has none; to hide seams use about 16.
    """
    engine = as_engine(model)
    return assembled(upscaled_tiles(engine, image, tile, overlap), image, engine.scale)


def assembled(tiles: Iterable[UpscaledTile], image: np.ndarray, scale: int) -> Upscaled:
    """Put the tiles of a picture together, at least one, as they come."""
    result: np.ndarray | None = None
    tile_bits, layer_sums = [], {}
    for part in tiles:
        if result is None:
            result = np.empty((image.shape[0] * scale, image.shape[1] * scale, part.pixels.shape[2]), np.float32)
        result[part.place(scale)] = part.pixels
        tile_bits.append((part.top, part.left, part.height, part.width, part.feature_average_bits))
        for name, bits in part.layer_bits.items():
            layer_sums[name] = layer_sums.get(name, 0.0) + bits
    average = float(np.mean([bits for *_, bits in tile_bits]))
    return Upscaled(result, average, {name: total / len(tile_bits) for name, total in layer_sums.items()}, tile_bits)


def upscaled_tiles(
    model: QuantizedSR | Engine, image: np.ndarray, tile: int | None = None, overlap: int = 0
) -> Iterator[UpscaledTile]:
    """Upscale a picture and yield it tile by tile, row after row.

    Args:
        model, image, tile, overlap: see :func:`upscale`.

    Raises:
        ConfigError: a tile of less than 8 pixels or a negative overlap.
        EngineError: the engine's output is not ``scale`` times as large as its input.
    """
    if tile is not None and tile < 8:
        raise ConfigError(f"tile = {tile}: must be at least 8 pixels")
    if overlap < 0:
        raise ConfigError(f"overlap = {overlap}: must not be negative")
    engine = as_engine(model)
    height, width = image.shape[:2]
    scale = engine.scale
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            above, before = min(overlap, top), min(overlap, left)
            crop = image[top - above : bottom + overlap, left - before : right + overlap]
            out = engine.upscale(padded(crop, engine.size_multiple, getattr(engine, "minimum_size", 1))[None])
            pixels = out.images[0][above * scale :, before * scale :]
            pixels = pixels[: (bottom - top) * scale, : (right - left) * scale]
            if pixels.shape[:2] != ((bottom - top) * scale, (right - left) * scale):
                raise EngineError(
                    f"{engine.name}: makes {out.images.shape[2]}x{out.images.shape[1]} pixels of "
                    f"{crop.shape[1]}x{crop.shape[0]}, not {scale} times as many a side"
                )
            layer_bits = {name: float(bits[0]) for name, bits in out.layer_bits.items()}
            yield UpscaledTile(
                top, left, bottom - top, right - left, pixels, float(out.feature_average_bits[0]), layer_bits
            )


def _spans(length: int, tile: int | None) -> Iterator[tuple[int, int]]:
    """Cut ``length`` into spans of ``tile``, the last of which takes the remainder as well."""
    if tile is None or length <= tile:
        yield 0, length
        return
    starts = list(range(0, length - tile + 1, tile))
    yield from zip(starts, [*starts[1:], length])


def round_to_uint8(image: np.ndarray) -> np.ndarray:
    """Clamp to 0..255 and round: the 8-bit picture that is shown and evaluated.

    Raises:
        ImageError: no array of numbers, a masked one, or NaN, which no picture can show.
    """
    check_array(image, "the picture")
    if image.dtype.kind not in "buif":
        raise ImageError(f"the picture is of type {image.dtype}; give whole numbers or floating point")
    if np.isnan(image).any():
        raise ImageError("the picture has NaN values")
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
