"""Options of networks, which the command line and weight files give: checked before foreign code takes them."""

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from ..errors import ConfigError, NetworkError
from ..validation import Count, check, shown

LARGEST_SCALE = 64
_RULES = {"img_range": Annotated[float, Gt(0)], "res_scale": float}  # of BasicSR's networks, which divide by the first
_FACTOR = Annotated[int, Ge(1), Le(LARGEST_SCALE)]


def check_options(network: str, options: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse what constructors would take without a word: NaN, infinity, true for a number or a number for true.

    Raises:
        NetworkError: naming the option and its value.
    """
    for name, value in options.items():
        default = defaults.get(name)
        kind = _counted(name, default) or _RULES.get(name)
        kind = kind or next((k for k in (bool, int, float, str) if type(default) is k), object)
        try:
            if kind in (_FACTOR, Count) or name in _RULES or not isinstance(value, (list, tuple)):
                check(name, value, float if kind is int else kind)
            if not all(map(math.isfinite, _numbers(value))):
                raise ConfigError(f"{name} = {shown(value)}: must be finite")
        except ConfigError as error:
            raise NetworkError(f"{network}: {error}") from None


def plain(value: object) -> object:
    """Return an option as a weight file can hold it: numbers and arrays of NumPy, also inside lists, as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def _counted(name: str, default: object) -> object | None:
    """The rule of what counts something: a factor of enlargement, or a number of blocks or channels."""
    if type(default) is not int and default is not inspect.Parameter.empty:
        return None
    return _FACTOR if name in ("upscale", "scale") else Count if name.startswith("num_") else None


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value
