"""Values of settings and arguments, checked by pydantic against annotations and refused in one line.

An annotation is the whole rule: ``Annotated[float, Ge(0), Lt(1)]`` takes 0.5 and 0, and neither ``True``, ``"0.5"`` nor
NaN. A text in it replaces the words that :func:`rule` would find.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from .errors import ConfigError

_LARGEST = 1e30  # of numbers, in size
Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
LayerBits = Annotated[int, Ge(1), Le(16)]
Pixels = Annotated[int, Ge(1), Le(10**8)]  # that are looked at together, or places of a layer's output
File = Annotated[str | Path, "the path of a file"]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}
_LONGEST = 120  # characters of a value in an error


class Checked:
    """Base of dataclasses whose fields are checked against their annotations on construction.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Patches(Checked):
    ...     size: Count = 96
    >>> Patches(size=0)
    Traceback (most recent call last):
    ...
    adabm.errors.ConfigError: size = 0: must be a whole number >= 1
    """

    def __post_init__(self) -> None:
        for name, kind in annotations(type(self)).items():
            object.__setattr__(self, name, check(name, getattr(self, name), kind))


@cache
def annotations(cls: type) -> Mapping[str, object]:
    """Return the fields of a dataclass that its constructor takes, with their annotations."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def check(name: str, value: object, kind: object) -> object:
    """Return ``value`` if the annotation ``kind`` allows it.

    Numbers stay as they were given, 4 where a float is asked for too: settings enter keys and files by their text. NumPy's
    numbers become Python's, and a list, as YAML and JSON have them, a tuple where that is asked for.

    Raises:
        ConfigError: naming ``name``, the value and what is allowed.

    >>> check("ema", 1, Share)
    Traceback (most recent call last):
    ...
    adabm.errors.ConfigError: ema = 1: must be a number in [0, 1)
    """
    given = value.item() if isinstance(value, np.generic) else value
    if isinstance(given, int) and given.bit_length() > 63:  # neither torch nor a file could hold it
        raise ConfigError(f"{name} = {shown(value)}: must be {rule(kind)}, of 63 bits at most")
    if isinstance(given, float) and _LARGEST < abs(given) < math.inf:  # optimizers could not hold a multiple of it
        raise ConfigError(f"{name} = {shown(value)}: must be {rule(kind)}, of {_LARGEST:g} at most")
    if isinstance(given, list) and tuple in map(origin, alternatives(kind)):
        given = tuple(given)
    try:
        _adapter(kind).validate_python(given)
    except ValidationError as error:
        cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):
            raise cause from None
        raise ConfigError(f"{name} = {shown(value)}: must be {rule(kind)}") from None
    return given


def check_all(**arguments: tuple[object, object]) -> None:
    """Check arguments, each given as its value and its annotation, such as ``check_all(seed=(seed, Whole))``."""
    for name, (value, kind) in arguments.items():
        check(name, value, kind)


def one_of(known: Mapping[str, object]) -> AfterValidator:
    """For annotations of names: an unknown one is refused as ``known[name]`` does, with a close match."""

    def named(name: str) -> str:
        known[name]
        return name

    return AfterValidator(named)


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Raise :class:`ConfigError` telling the rule that ``value`` breaks, unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{name} = {shown(value)}: must be {rule}")


def shown(value: object) -> str:
    """Return a value for an error: its ``repr`` in one line of limited length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of more digits than Python converts, or whatever a foreign class does
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def rule(kind: object) -> str:
    """Return what an annotation allows, in words.

    >>> rule(Annotated[float, Ge(0), Lt(50)])
    'a number in [0, 50)'
    >>> rule(Count | None)
    'a whole number >= 1, or null'
    """
    kinds = alternatives(kind)
    words = " or ".join(_words(one) for one in kinds if one is not types.NoneType)
    return words if types.NoneType not in kinds else f"{words}, or null" if words else "null"


def alternatives(kind: object) -> tuple[object, ...]:
    """Return the annotations that a value may follow: the one given, or the members of a union."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def origin(kind: object) -> object:
    """Return the type behind an annotation: ``int`` of ``Count``, ``tuple`` of ``tuple[str, ...]``."""
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    return typing.get_origin(kind) or kind


def _words(kind: object) -> str:
    marks = kind.__metadata__ if typing.get_origin(kind) is Annotated else ()
    if text := next((mark for mark in marks if isinstance(mark, str)), None):
        return text
    if origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    base = origin(kind)
    named = _WORDS.get(base) or (
        "a list" if base in (tuple, list) else f"{getattr(base, '__name__', base)}, as it is annotated"
    )
    return " ".join([named, *filter(None, [_bounds(marks)])])


def _bounds(marks: tuple[object, ...]) -> str:
    low = next(((mark, "[", mark.ge) for mark in marks if isinstance(mark, Ge)), None)
    low = low or next(((mark, "(", mark.gt) for mark in marks if isinstance(mark, Gt)), None)
    high = next(((mark, "]", mark.le) for mark in marks if isinstance(mark, Le)), None)
    high = high or next(((mark, ")", mark.lt) for mark in marks if isinstance(mark, Lt)), None)
    if low and high:
        return f"in {low[1]}{low[2]}, {high[2]}{high[1]}"
    if low:
        return f"{'>=' if low[1] == '[' else '>'} {low[2]}"
    return f"{'<=' if high[1] == ']' else '<'} {high[2]}" if high else ""


@cache
def _adapter(kind: object) -> TypeAdapter:
    try:
        return TypeAdapter(kind, config=_STRICT)
    except PydanticUserError:  # a model or a dataclass, which brings its own configuration
        return TypeAdapter(kind)
