"""What a part of a plan may say, checked before any file is looked at."""

import os
from collections.abc import Mapping
from pathlib import Path

from ...errors import ConfigError
from ...full_precision import FULL_PRECISION
from ...suggestions import suggestion

_TEXTS, _LISTS = ("backbone", "data", "calibration", "engine"), ("sets", "settings", "methods", "seeds", "imports")
_KEYS = (*_TEXTS, *_LISTS, "tile", "run")
_REQUIRED = ("backbone", "sets", "settings", "methods")


def check_part(part: Mapping) -> None:
    """Check the keys of a part and the kinds of their values; :func:`adabm.study.read_plan` tells what they mean.

    Raises:
        ConfigError: naming the key, its value and what it must be.
    """
    if not isinstance(part, Mapping):
        raise ConfigError(f"{part!r} is no mapping of {', '.join(_REQUIRED)}")
    for key in part:
        if key not in _KEYS:
            raise ConfigError(f"unknown key {key!r}; {suggestion(key, _KEYS)}")
    for key in _REQUIRED:
        if key not in part:
            raise ConfigError(f"{key!r} is missing")
    for key in _TEXTS:
        _require(isinstance(part.get(key, ""), str), part, key, "text")
    for key in _LISTS:
        values = part.get(key, [])
        _require(isinstance(values, list), part, key, "a list")
        if key == "seeds":
            _require(all(type(seed) is int and seed >= 0 for seed in values), part, key, "a list of whole numbers")
        else:
            _require(all(isinstance(value, str) for value in values), part, key, "a list of names")
        _require(key not in ("sets", "seeds") or key not in part or len(values) > 0, part, key, "not empty")
    _require(
        bool(part["settings"]) == bool(part["methods"]), part, "settings", "empty where methods is, and only there"
    )
    _require(
        FULL_PRECISION not in part["methods"], part, "methods", f"without {FULL_PRECISION!r}, which is always measured"
    )
    tile = part.get("tile")
    _require(
        tile is None or (type(tile) is int and (tile == 0 or tile >= 8)),
        part,
        "tile",
        "at least 8 LR pixels, or 0 for whole pictures",
    )
    _require(isinstance(part.get("run", True), bool), part, "run", "true or false")
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


def _require(condition: bool, part: Mapping, key: str, rule: str) -> None:
    if not condition:
        raise ConfigError(f"{key} = {part[key]!r}: must be {rule}")
