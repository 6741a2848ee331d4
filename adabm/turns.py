"""One picture at a time: what a model or an engine keeps while it computes, such as bits and memory, is that of one picture."""

import threading
from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

from .quantization.model import QuantizedSR

_guard = threading.Lock()
# Beside the models, not in them: a lock can be neither copied nor saved.
_locks: WeakKeyDictionary[object, AbstractContextManager] = WeakKeyDictionary()
_shared = threading.RLock()


def turn(engine: object) -> AbstractContextManager:
    """Return the lock inside whose ``with`` block a model or an engine computes, while other threads wait.

    Args:
        engine: a :class:`QuantizedSR`, or an engine (:class:`adabm.engines.protocol.Engine`).

    Engines that show the same ``model`` have one lock, since they may compute with it.
    """
    model = engine if isinstance(engine, QuantizedSR) else getattr(engine, "model", None)
    with _guard:
        try:
            return _locks.setdefault(model if isinstance(model, QuantizedSR) else engine, threading.RLock())
        except TypeError:  # an engine that has no hash or takes no weak reference
            return _shared
