"""Options of networks, which the command line and weight files give: checked before foreign code takes them."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from annotated_types import Gt
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..errors import ConfigError, NetworkError
from ..validation import check, shown

_RULES = {"img_range": Annotated[float, Gt(0)], "res_scale": float}  # of BasicSR's networks, which divide by the first
_FOLDED = 64  # a network in training may have this many values for each that a file holds: reparameterized ones fold


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


@contextmanager
def room_for(values: int) -> Iterator[None]:
    """Stop building a network that grows far beyond the ``values`` that its weight file holds.

    Options of a damaged file could ask for more memory and time than a machine has.

    Raises:
        NetworkError: from the constructor.
    """
    left = _FOLDED * values + 100_000

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise NetworkError(f"the options ask for a network far larger than the {values} numbers of the file")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
