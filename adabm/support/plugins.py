"""Import a user's own Python files, which register engines, steps and the like."""

import hashlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from ..errors import ConfigError
from ..validation import File, check, shown

_PREFIX = "adabm_user_"  # begins the names of their modules
# Not the user's: this package, Python's own modules and installed ones.
_OTHERS = (Path(__file__).parents[1], *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")))
_INSTALLED = {"site-packages", "dist-packages"}

_contents: dict[Path, str] = {}  # sha256 of each user's file as it was when this process loaded it, or first counted it
_loaded_by: dict[Path, set[Path]] = {}  # the files that were loaded while a file was imported


def load_file(path: str | Path) -> ModuleType:
    """Import a Python file and return its module, the same one each time in this process.

    Args:
        path: ``~`` is the user's folder. Relative to the working directory.

    Raises:
        ConfigError: no path, no such file, no regular one, or it raises an error; in one line with the place.
    """
    check("path", path, File)
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError
    except ValueError:  # neither is half a letter a name
        raise ConfigError(f"{shown(str(path))}: no such file") from None
    path = Path(os.path.expanduser(path)).resolve()
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is a pipe, device or socket" if path.exists() else None
        raise ConfigError(f"{path}: no such file" if found is None else f"{path}: {found}; name a Python file")
    if path.suffix != ".py":
        raise ConfigError(f"{path}: is no Python file; its name must end in .py")
    if (importing := _importing()) is not None:
        _loaded_by.setdefault(importing, set()).add(path)
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    before = {*sys.modules}
    sys.modules[name] = module  # before it runs: dataclasses and pickle look their module up
    try:
        content = path.read_bytes()
        # not from a .pyc, which is that of an earlier content where both have one size and one second
        exec(spec.loader.source_to_code(content, str(path)), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        _loaded_by.pop(path, None)
        if isinstance(error, (Exception, SystemExit)):
            raise ConfigError(f"{path}{_place(error, path)}: cannot be imported: {_told(error)}") from error
        raise
    finally:  # what a file imported that failed stays imported
        for helper in _files({*sys.modules} - before - {name}):
            _contents.setdefault(helper, hashlib.sha256(helper.read_bytes()).hexdigest())
    _contents[path] = hashlib.sha256(content).hexdigest()
    return module


def loaded_by(path: Path) -> set[Path]:
    """Return the files that :func:`load_file` loaded while a user's file was imported, by whatever path it gave."""
    return _loaded_by.get(path, set())


def unedited(path: Path) -> bytes:
    """Return what a user's file holds, which is what this process loaded of it.

    Raises:
        ConfigError: it was edited since, so that what is computed and what the file says are two things; or it is gone.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise ConfigError(f"{path}: no such file; its code cannot be read") from None
    digest = hashlib.sha256(content).hexdigest()
    if _contents.setdefault(path, digest) != digest:
        raise ConfigError(f"{path}: was edited after it was loaded; start the program (or the notebook's kernel) anew")
    return content


def is_users(path: Path) -> bool:
    """Whether a file or folder is neither this package's, nor Python's, nor that of an installed package."""
    return _INSTALLED.isdisjoint(path.parts) and not any(path.is_relative_to(folder) for folder in _OTHERS)


def place_in_user_file(error: BaseException) -> str | None:
    """Return where in a user's own file an error was raised or passed last, as ``FILE:LINE``; None: in none of them."""
    files = {getattr(module, "__file__", None) for name, module in [*sys.modules.items()] if name.startswith(_PREFIX)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _importing() -> Path | None:
    """The file whose import is under way; None in a program or notebook itself, whose calls come before or after any key."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") in ("__main__", "__mp_main__"):
        return None
    return Path(frame.f_code.co_filename).resolve()


def _files(modules: set[str]) -> list[Path]:
    """The user's files among those of modules."""
    found = [getattr(sys.modules.get(name), "__dict__", {}).get("__file__") for name in modules]
    files = [Path(file).resolve() for file in found if isinstance(file, str) and file.endswith(".py")]
    return [file for file in files if is_users(file) and file.is_file()]


def _place(error: BaseException, path: Path) -> str:
    """The line of the file that failed, as ``:12``, where it is known."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.filename == str(path) else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _told(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"
