"""Import a user's own Python files, which register engines, steps and the like."""

import hashlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from .errors import ConfigError
from .validation import File, check, shown

_PREFIX = "adabm_user_"  # begins the names of their modules


def load_file(path: str | Path) -> ModuleType:
    """Import a Python file and return its module, the same one each time in this process.

    Args:
        path: ``~`` is the user's folder. Relative to the working directory.

    Raises:
        ConfigError: no path, no such file, or it raises an error; in one line with the place.
    """
    check("path", path, File)
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError
    except ValueError:  # neither is half a letter a name
        raise ConfigError(f"{shown(str(path))}: no such file") from None
    path = Path(os.path.expanduser(path)).resolve()
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.suffix != ".py":
        raise ConfigError(f"{path}: is no Python file; its name must end in .py")
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (Exception, SystemExit)):
            raise ConfigError(f"{path}{_place(error, path)}: cannot be imported: {_told(error)}") from error
        raise
    return module


def place_in_user_file(error: BaseException) -> str | None:
    """Return where in a user's own file an error was raised or passed last, as ``FILE:LINE``; None: in none of them."""
    files = {getattr(module, "__file__", None) for name, module in [*sys.modules.items()] if name.startswith(_PREFIX)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _place(error: BaseException, path: Path) -> str:
    """The line of the file that failed, as ``:12``, where it is known."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.filename == str(path) else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _told(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"
