"""Load a user's Python file, which registers steps, observers, engines and the like."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from .errors import ConfigError


def load_file(path: str | Path) -> ModuleType:
    """Execute a Python file, once in this process, and return its module.

    Raises:
        ConfigError: it is missing, or raises.
    """
    return _load(Path(path).expanduser().resolve())


@cache
def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: no such Python file")
    name = f"adabm_user_{path.stem}_{abs(hash(str(path))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything
        del sys.modules[name]
        raise ConfigError(f"{path}: cannot be loaded ({type(error).__name__}: {error})") from None
    return module
