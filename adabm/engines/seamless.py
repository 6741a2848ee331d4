"""Upscale large pictures in tiles that come out as in the whole picture."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from ..errors import ConfigError, EngineError, ImageError
from ..pictures.picture import check_array
from ..quantization.model import QuantizedSR
from ..support.surroundings import as_usual, usual_surroundings
from ..turns import turn
from ..validation import Count, Whole, check_all
from .attributes import sound_engine
from .context import Context, context_of
from .deciding import decided_by
from .protocol import Engine, EngineOutput
from .tiles import Upscaled, UpscaledTile, assembled, upscaled_tiles
from .watched import upscaled

BITS_PER = ("picture", "tile")


@as_usual
def upscale(
    model: QuantizedSR | Engine,
    image: np.ndarray,
    tile: int | None = None,
    overlap: int | None = None,
    bits_per: str = "picture",
) -> Upscaled:
    """Upscale a picture, whole or in tiles of at most ``tile`` pixels a side.

    Several threads may do so with one model or engine, which then computes one tile at a time. The whole result is held in
    float32; :func:`seamless_tiles` needs memory for one tile alone. The literature's patches,
    without context, are those of :func:`adabm.engines.tiles.upscale`, as ``adabm.evaluate(model, pictures, tile=96)`` takes.

    Args:
        model: an engine; or a calibrated model, or one inside ``model.full_precision()``.
        image: (H, W, C) of values 0 to 255, C the network's input channels.
        tile: largest side of the tiles in input pixels, without their context; None for the whole picture at once, as it is
            computed, too, where it has no more pixels than a tile with its context.
        overlap: input pixels of context computed around each tile and cut off again; by default as many as the network
            needs, see :func:`adabm.engines.context.context_of`.
        bits_per: ``"picture"``: the whole picture decides the bits of all its tiles; ``"tile"``: each tile its own.

    Raises:
        ImageError: no such picture: other axes or channels, empty, of another type than uint8 and floating point, with NaN
            or infinite values, outside of 0 to 255, or floating point from 0 to 1 alone.
        ConfigError: see :func:`seamless_tiles`; or an ``overlap`` or bits of each tile without a ``tile``.
        EngineError: see :func:`seamless_tiles`.
    """
    _check(tile, overlap, bits_per)
    if tile is None and (overlap or bits_per == "tile"):
        given = f"overlap = {overlap}" if overlap else f"bits_per = {bits_per!r}"
        raise ConfigError(f"{given}: has no effect on the whole picture; give tile, too, or leave it out")
    engine = sound_engine(model)
    check_picture(image, engine.channels)
    return assembled(seamless_tiles(engine, image, tile, overlap, bits_per), image, engine.scale)


def seamless_tiles(
    model: QuantizedSR | Engine,
    image: np.ndarray,
    tile: int | None = None,
    overlap: int | Context | None = None,
    bits_per: str = "picture",
) -> Iterator[UpscaledTile]:
    """Upscale a picture and yield it tile by tile, row after row; between tiles the model is free for other pictures.

    Where the tiles only come near to the whole picture, a warning tells.

    Args:
        model, image, tile, bits_per: see :func:`upscale`.
        overlap: likewise, or the context, where it is known.

    Raises:
        ConfigError: a tile of less than 8 pixels, a negative overlap, or another ``bits_per``.
        EngineError: no engine, or one that tells of itself what none can; its output is not ``scale`` times as large as its
            input, or not finite.
    """
    _check(tile, overlap, bits_per)
    engine = sound_engine(model)
    height, width = image.shape[:2]
    context = Context(0)
    if in_tiles(image, tile):
        with usual_surroundings():
            context = overlap if isinstance(overlap, Context) else context_of(engine, overlap, tile)
        if bits_per == "picture" and context.takes_in(height, width, tile):
            tile = None
        elif context is not overlap and not context.exact:  # who knows the context knows that
            told = context.shortage.replace("--overlap ", "overlap=").replace("--tile 0", "tile=None")
            warnings.warn(told, stacklevel=2)
    rows, columns = _even_spans(height, tile), _even_spans(width, tile)
    deciding = nullcontext
    if bits_per == "picture" and in_tiles(image, tile):
        with usual_surroundings():
            deciding = decided_by(engine, image)
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        (above, below), (before, after) = context.around((top, bottom), (left, right), height, width)
        with turn(engine), usual_surroundings(), deciding():
            whole = next(upscaled_tiles(_Checked(engine), image[above:below, before:after]))
        inner = replace(whole, top=top - above, left=left - before, height=bottom - top, width=right - left)
        yield replace(inner, top=top, left=left, pixels=whole.pixels[inner.place(engine.scale)])


def _check(tile: int | None, overlap: int | Context | None, bits_per: str) -> None:
    check_all(tile=(tile, Count | None), overlap=(overlap, Whole | Context | None), bits_per=(bits_per, str))
    if tile is not None and tile < 8:
        raise ConfigError(f"tile = {tile}: must be at least 8 pixels")
    if bits_per not in BITS_PER:
        raise ConfigError(f"bits_per = {bits_per!r}: must be 'picture' or 'tile'")


class _Checked:
    """An engine whose output is refused where cutting it to size would hide what is wrong with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        output = upscaled(self._engine, pictures)
        found, expected = output.images.shape[1:3], tuple(side * self.scale for side in pictures.shape[1:3])
        if found != expected:
            raise EngineError(
                f"{self.name}: makes {found[1]}x{found[0]} pixels of {pictures.shape[2]}x{pictures.shape[1]}, "
                f"not {self.scale} times as many a side"
            )
        if not np.isfinite(output.images).all():
            raise EngineError(
                f"{self.name}: the output has NaN or infinite values; the network overflows on this picture"
            )
        return output


def _even_spans(length: int, tile: int | None) -> Iterator[tuple[int, int]]:
    """Cut ``length`` into as few spans of at most ``tile`` as possible, of sides that differ by 1 at most."""
    count = 1 if tile is None else -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    yield from itertools.pairwise(edges)


def check_picture(image: np.ndarray, channels: int) -> None:
    """Refuse what is no (H, W, ``channels``) picture of values 0 to 255; see :func:`upscale`.

    Raises:
        ImageError: with the remedy.
    """
    check_array(image, "the picture")
    if image.ndim != 3 or image.shape[2] != channels or not image.size:
        raise ImageError(f"the picture has shape {image.shape}; expected (H, W, {channels})")
    if image.dtype not in (np.uint8, np.float16, np.float32, np.float64):
        raise ImageError(f"the picture is of type {image.dtype}; convert it to uint8, or to floating point of 0 to 255")
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("the picture has NaN or infinite values")
    if low < 0 or high > 255 or (image.dtype != np.uint8 and 0 < high <= 1):
        raise ImageError(f"the picture spans {low:g} to {high:g}; its values must be 0 to 255 (multiply 0 to 1 by 255)")


def in_tiles(image: np.ndarray, tile: int | None) -> bool:
    """Whether a picture is larger than a tile of at most ``tile`` pixels a side."""
    return tile is not None and max(image.shape[:2]) > tile
