"""Check the nested parameters of a question's notebook: a misspelt key must not be ignored."""

from collections.abc import Collection, Mapping
from typing import Annotated

from ...errors import ConfigError
from ...suggestions import suggestion
from ...validation import check, shown

Names = Annotated[Collection[str], "a list of names"]


def check_keys(what: str, given: Mapping, required: Collection[str], optional: Collection[str] = ()) -> None:
    """Refuse unknown and missing keys of a parameter that is a mapping.

    Raises:
        ConfigError: naming ``what``, the key, and a close match.
    """
    known = [*required, *optional]
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} = {shown(given)}: must have the keys {', '.join(known)}")
    for key in given:
        if key not in known:
            raise ConfigError(f"{what}: unknown key {shown(key)}; {suggestion(key, known)}")
    for key in required:
        if key not in given:
            raise ConfigError(f"{what}: {key!r} is missing; it has {', '.join(known)}")


def check_choices(what: str, given: Collection[str], known: Collection[str]) -> None:
    """Refuse names that are none of the known ones.

    Raises:
        ConfigError: naming ``what``, the name, and a close match.
    """
    for name in check(what, given, Names):
        if name not in known:
            raise ConfigError(f"{what}: unknown {shown(name)}; {suggestion(name, known)}")
