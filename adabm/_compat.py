"""Import BasicSR and spandrel beside current torch and torchvision (see :mod:`adabm._torchvision`), when asked for."""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
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
    with warnings.catch_warnings(), _compiler_on_demand():
        warnings.simplefilter("ignore")  # deprecations inside these libraries, none of the user's doing
        return importlib.import_module(name)


@contextlib.contextmanager
def _compiler_on_demand() -> Iterator[None]:
    """Keep torchvision from importing torch's compiler, half of the time of all imports.

    It asks for one function of it, which only an operator calls that no super-resolution network has.
    """
    name = "torch._dynamo.utils"
    if name in sys.modules:
        yield
        return
    stand_in = ModuleType(name)

    def real(attribute: str) -> object:
        if attribute.startswith("__"):  # asked of every module, such as its file
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.is_compile_supported = lambda device: real("is_compile_supported")(device)
    stand_in.__getattr__ = real  # whatever else a version asks for
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
