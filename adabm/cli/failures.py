"""Tell failures that a user can mend from defects of the program."""

import errno

from ..errors import AdabmError
from ..process import FULL, of_the_system

_FATAL = (*FULL, errno.EROFS)


def explain(error: BaseException) -> str | None:
    """Return one line for an expected failure, or None for a defect."""
    if isinstance(error, AdabmError):
        return str(error)
    if _out_of_memory(error):
        return "out of memory; use a smaller --tile, --patch-size or network"
    return of_the_system(error)


def ends_the_run(error: BaseException) -> bool:
    """Whether the next of several inputs would fail for the same reason: a full or read-only disk."""
    return isinstance(error, OSError) and error.errno in _FATAL


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    text = str(error)  # torch raises RuntimeError and subclasses that depend on its version
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
