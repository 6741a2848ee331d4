"""The libraries that integer engines run on, which are an extra of the package."""

import importlib
from types import ModuleType

from ...errors import EngineError, out_of_memory

EXTRA = "engines"


def library(name: str) -> ModuleType:
    """Import a library of the extra, now that it is needed.

    Raises:
        EngineError: it is not installed; naming the remedy.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if out_of_memory(error):
            raise
        raise EngineError(
            f"{name} cannot be imported ({error}); integer engines need it: pip install 'adabm[{EXTRA}]'"
        ) from None
