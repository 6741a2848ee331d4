"""Tell failures that a user can mend from defects of the program."""

import errno

from ..errors import AdabmError, out_of_memory
from ..support.process import FULL, of_the_system

_FATAL = (*FULL, errno.EROFS)


def explain(error: BaseException) -> str | None:
    """Return one line for an expected failure, or None for a defect."""
    if isinstance(error, AdabmError):
        return str(error)
    if out_of_memory(error):
        return "out of memory; use a smaller --tile, --patch-size or network"
    return of_the_system(error)


def ends_the_run(error: BaseException) -> bool:
    """Whether the next of several inputs would fail for the same reason: a full or read-only disk."""
    return isinstance(error, OSError) and error.errno in _FATAL
