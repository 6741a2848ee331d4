"""A table whose lines several runs measured: which lines are of which run."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from ...errors import TableError

MEASURED_BY = "measured_by"  # key of a provenance; without it one run, the one it tells of, measured the table
DERIVED_FROM = "derived_from"  # another: sha256, by name, of the joined table beside it that a table was computed from
# what is told of each run, as its provenance has it
_TOLD = ("version", "git_commit", "date", "cpu", "torch_capability", "python")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def run_of(record: Mapping) -> dict[str, object]:
    """Return what a joined table keeps of the provenance of a run that measured some of its lines."""
    told = {name: record[name] for name in _TOLD if name in record}
    return told | {name: record[name] for name in ("carried_over",) if name in record}


def runs_by_line(record: Mapping, lines: int) -> list[dict[str, object]]:
    """Return for each line of a table, the header not counted, the run that measured it.

    Raises:
        TableError: a line is none's, or of two runs.
    """
    told = record.get(MEASURED_BY)
    if told is None:
        return [run_of(record)] * lines
    found: list[dict[str, object] | None] = [None] * lines
    for run in told:
        for number in numbers(run["lines"]):
            if not 1 <= number <= lines:
                raise TableError(f"its provenance tells of line {number}, and it has {lines}")
            if found[number - 1] is not None:
                raise TableError(f"its provenance has line {number} measured by two runs")
            found[number - 1] = {name: value for name, value in run.items() if name != "lines"}
    if None in found:
        raise TableError(f"its provenance does not tell which run measured line {found.index(None) + 1}")
    return found


def told_by_line(runs: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return the runs of a table's lines, each once, with the numbers of its ``lines``, counted from 1."""
    of_run: list[tuple[dict[str, object], list[int]]] = []
    for number, run in enumerate(runs, 1):
        known = next((lines for other, lines in of_run if other == run), None)
        if known is None:
            of_run.append((run, known := []))
        known.append(number)
    return [run | {"lines": spans(lines)} for run, lines in of_run]


def spans(lines: Collection[int]) -> str:
    """Write numbers as ``1-8, 12``."""
    found: list[list[int]] = []
    for number in sorted(lines):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def numbers(text: str) -> Iterator[int]:
    """Return the numbers that :func:`spans` wrote.

    Raises:
        TableError: it did not.
    """
    for part in text.split(", "):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise TableError(f"its provenance names lines {text!r}, expected such as '1-8, 12'")
        yield from range(int(match[1]), int(match[2] or match[1]) + 1)
