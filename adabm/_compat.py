"""Import BasicSR and spandrel beside current torch and torchvision (see :mod:`adabm._torchvision`), when asked for."""

import importlib
import warnings
from types import ModuleType

from ._torchvision import install


def basicsr_module(name: str) -> ModuleType:
    """Import ``basicsr.<name>``, e.g. ``basicsr_module("archs.edsr_arch")``."""
    return _imported(f"basicsr.{name}")


def spandrel() -> ModuleType:
    """Import ``spandrel``."""
    return _imported("spandrel")


def _imported(name: str) -> ModuleType:
    install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside these libraries, none of the user's doing
        return importlib.import_module(name)
