"""Check the nested parameters of a question's notebook: neither a misspelt key nor a value of another kind is ignored."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated

from annotated_types import Len, Predicate

from ...errors import ConfigError
from ...suggestions import suggestion
from ...validation import Count, Whole, check, shown

Names = Annotated[Collection[str], "a list of names"]
_Counts = Annotated[list[Count], "a list of whole numbers >= 1"]
_Names = Annotated[list[str], "a list of names"]
Seeds = Annotated[list[Whole], Len(1), "a list of whole numbers, not empty"]
# of a question, where one that is there twice would count twice
_Different = Annotated[
    list[Whole],
    Len(1),
    Predicate(lambda seeds: len(set(seeds)) == len(seeds)),
    "a list of different whole numbers, not empty",
]
# By key, the same in every question that does not say otherwise.
_KINDS = {
    "bits": _Counts,
    "changes": Annotated[dict[str, object], "settings by name, such as {tune.rounds: 3}"],
    "method": str,
    "percentiles": Annotated[list[int | float], "a list of numbers"],
    "preset": str,
    "run": bool,
    "seeds": _Different,
    "series": _Names,
    "sizes": Annotated[list[Count], Len(1), "a list of whole numbers >= 1, not empty"],
    "starts": _Names,
    "steps": _Counts,
    "strategies": _Names,
    "weight_bits": Count,
}


def check_keys(
    what: str,
    given: Mapping,
    required: Collection[str],
    optional: Collection[str] = (),
    kinds: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Refuse unknown and missing keys of a parameter that is a mapping, and values of another kind than all questions have there.

    Args:
        kinds: of values, by key, where this question has another.

    Raises:
        ConfigError: naming ``what``, the key, and a close match or what its value must be.
    """
    known, known_kinds = [*required, *optional], _KINDS | dict(kinds)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} = {shown(given)}: must have the keys {', '.join(known)}")
    for key in given:
        if key not in known:
            raise ConfigError(f"{what}: unknown key {shown(key)}; {suggestion(key, known)}")
    for key in required:
        if key not in given:
            raise ConfigError(f"{what}: {key!r} is missing; it has {', '.join(known)}")
    for key in given:
        if key in known_kinds:
            check(f"{what}: {key}", given[key], known_kinds[key])


def check_choices(what: str, given: Collection[str], known: Collection[str]) -> None:
    """Refuse names that are none of the known ones.

    Raises:
        ConfigError: naming ``what``, the name, and a close match.
    """
    for name in check(what, given, Names):
        if name not in known:
            raise ConfigError(f"{what}: unknown {shown(name)}; {suggestion(name, known)}")
