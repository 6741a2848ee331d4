"""An engine's upscaling, watched: it gets pictures of its own, and what it tells has to be of them."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

import numpy as np

from ..errors import EngineError
from ..full_precision import FULL_PRECISION_BITS
from .failing import telling_sides
from .protocol import Engine, EngineOutput


def upscaled(engine: Engine, pictures: np.ndarray) -> EngineOutput:
    """Have an engine upscale a copy of (N, H, W, C) pictures, so that one that changes its argument changes nobody else's.

    Raises:
        EngineError: the output is none, has no numbers or another number of pictures or channels, or bits that are not
            those of N pictures.
    """
    with telling_sides(engine, pictures):
        output = engine.upscale(pictures.copy())
    lacking = [part.name for part in fields(EngineOutput) if not hasattr(output, part.name)]
    if lacking or not isinstance(output.layer_bits, Mapping):
        told = f"without {', '.join(lacking)}" if lacking else "whose layer_bits are no mapping of names"
        raise EngineError(
            f"{engine.name}: returns a {type(output).__name__} {told}; let it return adabm.engines.EngineOutput"
        )
    images, count = _numbers(output.images), len(pictures)
    if images is None:
        raise EngineError(
            f"{engine.name}: makes pictures that are no array of numbers; let it return (N, scale*H, scale*W, C)"
        )
    found = images.shape
    if len(found) != 4 or (found[0], found[3]) != (count, pictures.shape[3]):
        raise EngineError(
            f"{engine.name}: makes pictures of shape {tuple(found)} of {pictures.shape}; let it return (N, scale*H, scale*W, C)"
        )
    for what, bits in _bits(output):
        numbers = _numbers(bits)
        if numbers is None or numbers.shape != (count,) or not ((numbers > 0) & (numbers <= FULL_PRECISION_BITS)).all():
            raise EngineError(
                f"{engine.name}: tells {what} of {_shown(bits)}; let it return one number a picture, of which there are "
                f"{count}, above 0 and at most {FULL_PRECISION_BITS}"
            )
    return output


def _numbers(values: object) -> np.ndarray | None:
    """Return an array of real numbers; None where the values are none, text or ragged."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # the last: a tensor with gradients
        return None
    return array if array.dtype.kind in "fiu" else None


def _shown(bits: object) -> str:
    return f"{bits.tolist() if isinstance(bits, np.ndarray) else bits!s:.60}"


def _bits(output: EngineOutput) -> Iterator[tuple[str, object]]:
    yield "feature average bits", output.feature_average_bits
    for name, bits in output.layer_bits.items():
        yield f"bits of {name!r}", bits
