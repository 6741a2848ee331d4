"""One thread at a time: what a pass shares with its layers, such as the bits of its images, is that of one pass."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import NetworkError


class OneThread:
    """Refuses a second thread while one is inside; a copy of it is a new one, with nobody inside."""

    def __init__(self) -> None:
        self._inside: dict[str, int] = {}

    def check(self) -> None:
        """Raise :class:`NetworkError` if another thread is inside."""
        if self._inside.get("thread", threading.get_ident()) != threading.get_ident():
            raise NetworkError(
                "two threads use one model at once, which would mix up the bits of their images; give each a copy.deepcopy(model), "
                "or call adabm.upscale, which lets them take turns"
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside as long as the ``with`` block runs; the thread that is may come in again.

        Raises:
            NetworkError: another thread is.
        """
        first = "thread" not in self._inside
        self._inside.setdefault("thread", threading.get_ident())  # in one step: of two threads one comes first
        self.check()
        try:
            yield
        finally:
            if first:
                self._inside.clear()

    def __reduce__(self) -> tuple:
        return OneThread, ()
