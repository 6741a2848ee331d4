"""An engine's upscaling, watched: it gets pictures of its own, and what it tells has to be of them."""

from collections.abc import Iterator

import numpy as np

from ..errors import EngineError
from ..full_precision import FULL_PRECISION_BITS
from .failing import telling_sides
from .protocol import Engine, EngineOutput


def upscaled(engine: Engine, pictures: np.ndarray) -> EngineOutput:
    """Have an engine upscale a copy of (N, H, W, C) pictures, so that one that changes its argument changes nobody else's.

    Raises:
        EngineError: the output has another number of pictures or channels, or bits that are not those of N pictures.
    """
    with telling_sides(engine, pictures):
        output = engine.upscale(pictures.copy())
    found, count = np.shape(output.images), len(pictures)
    if len(found) != 4 or (found[0], found[3]) != (count, pictures.shape[3]):
        raise EngineError(
            f"{engine.name}: makes pictures of shape {tuple(found)} of {pictures.shape}; let it return (N, scale*H, scale*W, C)"
        )
    for what, bits in _bits(output):
        bits = np.asarray(bits, dtype=float)
        if bits.shape != (count,) or not ((bits > 0) & (bits <= FULL_PRECISION_BITS)).all():
            raise EngineError(
                f"{engine.name}: tells {what} of {bits.tolist()!s:.60}; let it return one number a picture, of which there are "
                f"{count}, above 0 and at most {FULL_PRECISION_BITS}"
            )
    return output


def _bits(output: EngineOutput) -> Iterator[tuple[str, np.ndarray]]:
    yield "feature average bits", output.feature_average_bits
    for name, bits in output.layer_bits.items():
        yield f"bits of {name!r}", bits
