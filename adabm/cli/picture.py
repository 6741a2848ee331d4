"""Upscale one picture of any layout: gray or colour, with or without alpha, 8 or 16 bits."""

from collections.abc import Callable

import cv2
import numpy as np

from ..engines import Engine
from ..engines.context import Context, context_of
from ..engines.seamless import in_tiles, seamless_tiles
from ..errors import NetworkError

_GRAY = np.array([0.299, 0.587, 0.114], np.float32)


class Contexts:
    """The context of an engine's tiles, found when the first picture is large enough for them.

    Args:
        overlap: see :func:`adabm.engines.context.context_of`.
        note: called once with what the context lacks, if tiles cannot come out as the whole picture.
    """

    def __init__(self, engine: Engine, overlap: int | None, note: Callable[[str], None]) -> None:
        self._engine, self._overlap, self._note = engine, overlap, note
        self._found: Context | None = None
        self._noted = False

    def of(self, picture: np.ndarray, tile: int | None, bits_per: str) -> Context | None:
        """Return the context for the tiles of a picture; None if it is computed as a whole."""
        if not in_tiles(picture, tile):
            return None
        if self._found is None:
            self._found = context_of(self._engine, self._overlap, tile)
        if bits_per == "picture" and self._found.takes_in(*picture.shape[:2], tile):
            return None
        if not self._found.exact and not self._noted:
            self._note(f"warning: {self._found.shortage}")
            self._noted = True
        return self._found


def upscale_picture(
    engine: Engine,
    picture: np.ndarray,
    tile: int | None,
    overlap: int | Context | None,
    bits_per: str = "picture",
    on_tile: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, float]:
    """Upscale a picture and keep its layout.

    Gray runs as RGB of three equal channels and comes back as luma. The network does not see alpha:
    it is enlarged bicubically, because its hard edges are no photograph. The result is written tile
    by tile in the picture's own type, so that memory holds no floating-point copy of it.

    Args:
        picture: (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
        tile, overlap, bits_per: see :func:`adabm.engines.seamless.seamless_tiles`.
        on_tile: called with the input pixels done after each tile, e.g. to show progress.

    Returns:
        The picture, ``scale`` times larger, and its FAB (mean over the tiles).

    Raises:
        NetworkError: the network's output is not finite.
    """
    scale, largest = engine.scale, np.iinfo(picture.dtype).max
    height, width = picture.shape[:2]
    colour = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]
    if picture.dtype != np.uint8:
        colour = colour.astype(np.float32) * np.float32(255 / largest)
    result = np.empty((height * scale, width * scale, *picture.shape[2:]), picture.dtype)
    bits = []
    for part in seamless_tiles(engine, colour, tile, overlap, bits_per):
        pixels = part.pixels @ _GRAY if picture.ndim == 2 else part.pixels
        if not np.isfinite(pixels).all():
            raise NetworkError(
                "the network's output has NaN or infinite values; was the checkpoint made by a run that diverged?"
            )
        pixels = np.clip(np.round(pixels * np.float32(largest / 255)), 0, largest)
        place = part.place(scale) if picture.ndim == 2 else (*part.place(scale), slice(3))
        result[place] = pixels
        bits.append(part.feature_average_bits)
        if on_tile is not None:
            on_tile(part.height * part.width)
    if picture.ndim == 3 and picture.shape[2] == 4:
        alpha = np.ascontiguousarray(picture[..., 3])
        result[..., 3] = cv2.resize(alpha, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    return result, float(np.mean(bits))
