"""Decide the bits of a picture once, for all of its tiles."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import numpy as np
import torch

from ..pictures.padding import padded
from ..pictures.tensors import to_batch
from ..quantization.model import QuantizedSR
from ..turns import turn
from .context import minimum_size
from .protocol import Engine
from .simulated import SimulatedEngine

Deciding = Callable[[], AbstractContextManager[None]]


def decided_by(engine: Engine, picture: np.ndarray) -> Deciding:
    """Return what gives a context manager, any number of times, inside which ``engine`` has the bits of the whole ``picture``.

    It is to be entered for as long as a tile is computed, in the engine's :func:`turn`: between tiles the engine decides as
    always, for whoever else asks it.

    An engine of another kind does so by a method ``deciding_on(picture)`` that returns such a context manager, which is
    entered once, and asked for again for the next tile; or, where deciding takes long, by ``decided_by(picture)``, which
    decides and returns what this function does. One without either goes on deciding for what it is given.

    Args:
        picture: (H, W, C) of values 0 to 255.
    """
    if hasattr(engine, "decided_by"):
        return engine.decided_by(picture)
    if hasattr(engine, "deciding_on"):
        return partial(engine.deciding_on, picture)
    if isinstance(engine, SimulatedEngine) and engine.model.image2bit is not None:
        whole = padded(picture, engine.size_multiple, minimum_size(engine))
        with turn(engine):
            return partial(factor_given, engine.model, _factor(engine.model, whole))
    return nullcontext


@contextmanager
def factor_given(model: QuantizedSR, factor: torch.Tensor) -> Iterator[None]:
    """Give all pictures inside the ``with`` block the same (1,) factor, whatever the model's image mapping would."""
    hook = model.image2bit.register_forward_hook(lambda _module, _inputs, out: factor.expand_as(out))
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def _factor(model: QuantizedSR, picture: np.ndarray) -> torch.Tensor:
    batch = to_batch(picture[None], model.descriptor.value_range, next(model.parameters()))
    return model.image2bit(model.complexity(batch))
