"""What the commands print: results and chatter on standard output, the rest on standard error."""

import json
import math
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Self

from ..support.process import naming_standard_output, tell


class Console:
    """Print as ``--json`` and ``--quiet`` ask for.

    With ``json`` standard output holds one JSON document and nothing else.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet

    def say(self, text: str) -> None:
        """Print what is good to know, unless quiet."""
        if not (self.json or self.quiet):
            _print(text)

    def result(self, text: str) -> None:
        """Print what the command was run for."""
        if not self.json:
            _print(text)

    def note(self, text: str) -> None:
        """Print a warning or an error that does not end the run, on standard error."""
        tell(f"adabm: {text}")

    def document(self, value: object) -> None:
        """Print the JSON document, if asked for; numbers that JSON lacks become null."""
        if self.json:
            _print(json.dumps(_finite(value), indent=2, allow_nan=False))

    def stage(self, text: str) -> None:
        """Tell on standard error what begins now, where no bar shows it: in a log, behind a pipe."""
        if not (self.json or self.quiet or sys.stderr.isatty()):
            self.note(text)

    def progress(self, steps: int | Collection, what: str, *, lines: bool = False):
        """Return a tqdm bar on standard error; over a number of steps, or to iterate over a collection.

        Where nobody watches it is silent or, with ``lines``, tells now and then in a line how far it is.
        """
        from tqdm import tqdm

        silent, watched = self.json or self.quiet, sys.stderr.isatty()
        items, total = (None, steps) if isinstance(steps, int) else (steps, len(steps))
        if lines and not silent and not watched:
            return _Lines(self, items, total, what)
        return tqdm(
            items,
            total=total,
            desc=what,
            file=sys.stderr,
            disable=silent or not watched,
            leave=False,
            dynamic_ncols=True,
        )


class _Lines:
    """What a bar is used for, as a line now and then: after a twentieth of the steps, at least ten, or half a minute."""

    def __init__(self, console: Console, items: Collection | None, total: int, what: str) -> None:
        self._console, self._items, self._total, self._what = console, items, total, what
        self._every, self._told = max(10, math.ceil(total / 20)), time.monotonic()
        self._done, self._postfix = 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator:
        for item in self._items:
            yield item
            self.update()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Say this behind the next line; ``refresh`` as tqdm takes it."""
        self._postfix = f" ({text})"

    def update(self, steps: int = 1) -> None:
        """Count steps as done."""
        self._done += steps
        if self._done // self._every > (self._done - steps) // self._every or time.monotonic() - self._told > 30:
            self._console.note(f"{self._what}: {self._done} of {self._total}{self._postfix}")
            self._told = time.monotonic()


def _print(text: str) -> None:
    with naming_standard_output():
        print(text, flush=True)


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return aligned plain text; None is shown as a dash."""
    from tabulate import tabulate

    cells = [["-" if cell is None else cell for cell in row] for row in rows]
    return tabulate(cells, header, tablefmt="simple", disable_numparse=True)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
