"""What a part of a plan may say, checked before any file is looked at."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Len, Predicate

from ...errors import ConfigError
from ...full_precision import FULL_PRECISION
from ...validation import annotations, check, require
from .effort import Effort
from .options import Seeds, check_keys

_Names = Annotated[list[str], "a list of names"]
_Tile = Annotated[int, Predicate(lambda side: side == 0 or side >= 8)]
_KINDS = {
    "backbone": str,
    "sets": Annotated[list[str], Len(1), "a list of names, not empty"],
    "settings": _Names,
    "methods": _Names,
    "data": str,
    "calibration": str,
    "engine": str,
    "seeds": Seeds,
    "imports": _Names,
    "tile": Annotated[_Tile | None, "at least 8 LR pixels, or 0 for whole pictures"],
    "run": bool,
    **annotations(Effort),
}
_REQUIRED = ("backbone", "sets", "settings", "methods")


def check_part(part: Mapping) -> None:
    """Check the keys of a part and the kinds of their values; :func:`adabm.study.read_plan` tells what they mean.

    Raises:
        ConfigError: naming the key, its value and what it must be.
    """
    check_keys("a part", part, _REQUIRED, [key for key in _KINDS if key not in _REQUIRED], {"seeds": Seeds})
    for key, value in part.items():
        check(key, value, _KINDS[key])
    methods, settings = part["methods"], part["settings"]
    require(bool(settings) == bool(methods), "settings", settings, "empty where methods is, and only there")
    require(FULL_PRECISION not in methods, "methods", methods, f"without {FULL_PRECISION!r}, which is always measured")
    if "data" not in part:
        _check_without_data(part)


def is_path(name: str) -> bool:
    """Whether a set is named by its path instead of by its name in ``data``."""
    return "/" in name or name == "~"


def place(root: Path, path: str) -> Path:
    """Return where a path of a plan leads, which no shell has expanded: ``~``, absolute, or relative to ``root``."""
    return root / os.path.expanduser(path)


def _check_without_data(part: Mapping) -> None:
    for name in part["sets"]:
        if not is_path(name):
            raise ConfigError(
                f"'data' is missing, the folder that holds {name!r}; give it, or the path of the set with a slash, such as './{name}'"
            )
    if part["methods"] and "calibration" not in part:
        raise ConfigError("'data' is missing, and 'calibration' too; give one of them, for the calibration pictures")
