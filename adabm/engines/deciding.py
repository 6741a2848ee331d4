"""Decide the bits of a picture once, for all of its tiles."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from ..pictures.padding import padded
from ..pictures.tensors import to_batch
from .context import minimum_size
from .protocol import Engine
from .simulated import SimulatedEngine


@contextmanager
def decided_by(engine: Engine, picture: np.ndarray) -> Iterator[None]:
    """Give all that ``engine`` upscales inside the ``with`` block the bits of the whole ``picture``.

    An engine of another kind does so by a method ``deciding_on(picture)`` that returns a context manager; one without
    it goes on deciding for what it is given.

    Args:
        picture: (H, W, C) of values 0 to 255.
    """
    with ExitStack() as stack:
        if hasattr(engine, "deciding_on"):
            stack.enter_context(engine.deciding_on(picture))
        elif isinstance(engine, SimulatedEngine) and engine.model.image2bit is not None:
            factor = _factor(engine, padded(picture, engine.size_multiple, minimum_size(engine)))
            hook = engine.model.image2bit.register_forward_hook(lambda _module, _inputs, out: factor.expand_as(out))
            stack.callback(hook.remove)
        yield


@torch.no_grad()
def _factor(engine: SimulatedEngine, picture: np.ndarray) -> torch.Tensor:
    model = engine.model
    batch = to_batch(picture[None], model.descriptor.value_range, next(model.parameters()))
    return model.image2bit(model.complexity(batch))
