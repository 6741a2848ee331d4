"""What an unknown name was probably meant to be."""

import difflib
from collections.abc import Iterable


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of an error message: a close match, or all names there are.

    >>> suggestion("adabn", ["adabm", "minmax"])
    "did you mean 'adabm'?"
    >>> suggestion("lsq", ["adabm", "minmax"])
    'known are adabm, minmax'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, 1) if isinstance(name, str) else []
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
