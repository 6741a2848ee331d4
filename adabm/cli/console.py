"""What the commands print: results and chatter on standard output, the rest on standard error."""

import json
import math
import sys
from collections.abc import Collection, Sequence


class Console:
    """Print as ``--json`` and ``--quiet`` ask for.

    With ``json`` standard output holds one JSON document and nothing else.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet

    def say(self, text: str) -> None:
        """Print what is good to know, unless quiet."""
        if not (self.json or self.quiet):
            print(text, flush=True)

    def result(self, text: str) -> None:
        """Print what the command was run for."""
        if not self.json:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Print a warning or an error that does not end the run, on standard error."""
        print(f"adabm: {text}", file=sys.stderr, flush=True)

    def document(self, value: object) -> None:
        """Print the JSON document, if asked for; numbers that JSON lacks become null."""
        if self.json:
            print(json.dumps(_finite(value), indent=2, allow_nan=False), flush=True)

    def progress(self, steps: int | Collection, what: str):
        """Return a tqdm bar on standard error, silent where nobody watches; over a number of steps, or to iterate over a collection."""
        from tqdm import tqdm

        silent = self.json or self.quiet or not sys.stderr.isatty()
        items, total = (None, steps) if isinstance(steps, int) else (steps, len(steps))
        return tqdm(items, total=total, desc=what, file=sys.stderr, disable=silent, leave=False, dynamic_ncols=True)


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
