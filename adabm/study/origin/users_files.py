"""Which other files of the user's one of them depends on: what it imports, and what it loads by :func:`adabm.load_file`."""

import os
import sys
from pathlib import Path

from ...support.plugins import is_users, loaded_by
from .source import Source


def imported_files(file: Path, name: str, relative: int = 0, inner: str = "") -> set[str]:
    """Return the files behind an import, each package's ``__init__`` on the way among them.

    They are looked for beside the file and, unless the import is relative, in the user's folders of ``sys.path``.

    Args:
        name: dotted, of the module; "" in ``from . import x``.
        relative: the number of dots before it.
        inner: what is imported from it, perhaps a module itself.
    """
    own = [file.parent, *file.parent.parents][max(relative - 1, 0)]
    folders = [own] if relative else [own, *_search_path()]
    return {str(found.resolve()) for folder in folders for found in _below(folder, name, inner)}


def loaded_files(file: Path, source: Source) -> set[str]:
    """Return the files that a file has loaded by :func:`adabm.load_file` while it was imported, or loads by a literal path or name."""
    literal = [Path(os.path.expanduser(text)) for text in source.literals("load_file") if text.endswith(".py")]
    loaded = {str(path.resolve()) for path in (*literal, *loaded_by(file)) if path.is_file()}
    return loaded.union(*(imported_files(file, name) for name in source.literals("import_module", "__import__")))


def _below(folder: Path, name: str, inner: str) -> list[Path]:
    parts = list(filter(None, name.split(".")))
    base = folder.joinpath(*parts)
    packages = [folder.joinpath(*parts[:length]) for length in range(0 if not parts else 1, len(parts) + 1)]
    modules = [base, *([base / inner] if inner else [])]
    files = [package / "__init__.py" for package in (*packages, *modules)]
    files += [module.with_name(f"{module.name}.py") for module in modules]
    return [file for file in files if file.is_file()]


def _search_path() -> list[Path]:
    folders = [Path(entry or os.curdir).resolve() for entry in sys.path]
    return [folder for folder in folders if folder.is_dir() and is_users(folder)]
