"""Options of networks, which the command line and weight files give: checked before foreign code takes them."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

from annotated_types import Gt

from ..errors import ConfigError, NetworkError
from ..validation import check, shown

_RULES = {"img_range": Annotated[float, Gt(0)], "res_scale": float}  # of BasicSR's networks, which divide by the first


def check_options(network: str, options: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse what constructors would take without a word: NaN, infinity, true for a number or a number for true.

    Raises:
        NetworkError: naming the option and its value.
    """
    for name, value in options.items():
        default = defaults.get(name)
        kind = _RULES.get(name) or next((k for k in (bool, int, float, str) if type(default) is k), object)
        try:
            if name in _RULES or not isinstance(value, (list, tuple)):
                check(name, value, float if kind is int else kind)
            if not all(map(math.isfinite, _numbers(value))):
                raise ConfigError(f"{name} = {shown(value)}: must be finite")
        except ConfigError as error:
            raise NetworkError(f"{network}: {error}") from None


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value
