"""Files of the user's own that parameters of a study name, with all that these import: a table depends on them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...engines.simulated import SIMULATED
from ...errors import ConfigError
from ...own_functions import is_own
from ...recipes import read_recipe
from ...sampling import STRATEGIES
from .fingerprint import NEUTRAL, definition_root, package


def named_files(parameters: Mapping, root: Path) -> list[Path]:
    """Return the recipe files and Python files that parameters name, and the user's Python files that these import or load.

    They are the methods, engines, imports and sampling strategies of plans and of questions, wherever among the values they
    stand.

    Args:
        root: what their paths are relative to.
    """
    found: dict[Path, None] = {}
    for text in texts(parameters):
        file = _of_strategy(text) or root / os.path.expanduser(_path(text))
        if file.suffix in (".yaml", ".yml", ".py") and file.is_file():
            found |= dict.fromkeys([file, *_imported(file)])
    return sorted(_different([*found, *_reached(found)]))


def names_engine(parameters: Mapping) -> bool:
    """Whether a part of a plan runs its models by another engine than the simulation."""
    return any(part.get("engine", SIMULATED) != SIMULATED for part in _mappings(parameters))


def _of_strategy(name: str) -> Path | None:
    """The file of a strategy of the user's own; none where it stands in a cell of the notebook, whose code is told anyway."""
    choose = STRATEGIES[name].choose if name in STRATEGIES else None
    if choose is None or not is_own(choose):
        return None
    try:
        return Path(definition_root(choose))
    except ConfigError:
        return None


def _imported(recipe: Path) -> Sequence[Path]:
    """The Python files that a recipe file imports; none of a file that is no recipe."""
    if recipe.suffix == ".py":
        return ()
    try:
        return read_recipe(recipe).files
    except ConfigError:
        return ()


def _reached(files: Mapping[Path, None]) -> Iterator[Path]:
    roots = [str(file.resolve()) for file in files if file.suffix == ".py"]
    for reached in package().users_files(roots, NEUTRAL).values():
        yield from map(Path, reached)


def _different(files: Sequence[Path]) -> list[Path]:
    """Each file once, by the first of its paths."""
    by_place: dict[Path, Path] = {}
    for file in files:
        by_place.setdefault(file.resolve(), Path(os.path.abspath(file)))
    return list(by_place.values())


def _path(text: str) -> str:
    """The file of ``engine.py:name``."""
    file, colon, name = text.rpartition(":")
    return file if colon and file.endswith(".py") and "/" not in name else text


def texts(value: object) -> Iterator[str]:
    """Yield all texts among parameters, wherever they stand; no keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def _mappings(value: object) -> Iterator[Mapping]:
    if isinstance(value, Mapping):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _mappings(inner)
