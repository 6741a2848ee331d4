"""Tell why a network of unknown sides fails on a picture: it takes multiples of a number alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ..errors import AdabmError, EngineError, out_of_memory
from ..networks.untouched import is_untouched
from ..pictures.padding import fitting_side
from ..quantization.model import QuantizedSR
from .protocol import Engine

_MULTIPLES = (2, 3, 4, 6, 8, 12, 16, 32, 64)
_LEAST = 17  # pixels
_EVEN = 48  # pixels, a multiple of many numbers


@contextmanager
def telling_sides(engine: Engine, pictures: np.ndarray) -> Iterator[None]:
    """Raise an error in one line in place of a network's own inside the ``with`` block, which tells where sides of ``pictures`` are why.

    Args:
        pictures: (N, H, W, C).

    Raises:
        EngineError: with the number that sides must be multiples of, and how to tell it; or with what the network or, of an exported one,
            its library raised.
    """
    try:
        yield
    except (AdabmError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        model = getattr(engine, "model", None)
        size = f"{pictures.shape[2]}x{pictures.shape[1]}"
        told = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
        if not isinstance(model, QuantizedSR) or engine.size_multiple > 1 or (multiple := _multiple(model)) is None:
            if getattr(engine, "card", None) is not None:  # a library's own error; another engine may compute it
                raise EngineError(
                    f"{engine.name}: cannot compute a picture of {size} ({told}); take another engine, such as simulated"
                ) from error
            if not isinstance(model, QuantizedSR) or out_of_memory(error):
                raise
            raise EngineError(f"{model.descriptor.name}: its forward fails on a picture of {size} ({told})") from error
        raise EngineError(
            f"{model.descriptor.name}: fails on a picture of {size}; it takes sides that are multiples of {multiple}. Quantize it "
            f"with dataclasses.replace(adabm.describe(network), size_multiple={multiple}) as its descriptor; "
            "pictures are filled up then"
        ) from error


def check_sides(model: QuantizedSR) -> None:
    """Refuse a network that does not take all sides that its descriptor tells: a library may compute anything of others.

    Raises:
        EngineError: with the number that it takes multiples of, and how to tell it.
    """
    told = model.descriptor.size_multiple
    side = fitting_side(_EVEN, told, model.descriptor.minimum_size)
    if is_untouched(model.network) or not _takes(model, side) or _takes(model, side + told):
        return
    multiple = next((n for n in _MULTIPLES if n % told == 0 and n > told and _takes(model, side + n)), None)
    taken = "other sides" if multiple is None else f"sides that are multiples of {multiple}"
    raise EngineError(
        f"{model.descriptor.name}: fails on a picture of {side + told}x{side + told}, but takes {side}x{side}: it takes {taken}, where its "
        f"descriptor tells multiples of {told}. Quantize it with dataclasses.replace(adabm.describe(network), size_multiple="
        f"{multiple or '...'}) as its descriptor; pictures are filled up then"
    )


def _multiple(model: QuantizedSR) -> int | None:
    """The least number whose odd multiples a network takes; None where it takes any, or none of those that are tried."""
    found = next((n for n in (1, *_MULTIPLES) if _takes(model, n * (-(-_LEAST // n) | 1))), None)
    return None if found == 1 else found


def _takes(model: QuantizedSR, side: int) -> bool:
    like = next(model.parameters())
    picture = torch.zeros(1, model.descriptor.channels, side, side, dtype=like.dtype, device=like.device)
    try:
        with model.full_precision(), torch.no_grad():
            model(picture)
    except Exception:  # whatever foreign code raises
        return False
    return True
