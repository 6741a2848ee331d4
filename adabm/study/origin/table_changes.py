"""Which cells of a table are not those that were published: against an earlier version in git, or sums of rows and columns."""

import csv
import hashlib
import io
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...support.files import read_bytes, real

_SHOWN = 3  # changed cells that are told one by one
_VERSIONS = 20  # of a file's history that are looked at


def sums_of(data: bytes) -> dict[str, object]:
    """Return short sums of a table's rows, in order, and of its columns, by name; they find a changed cell without the old table."""
    header, rows = _parsed(data)
    columns = {name: _sum([row[at] if at < len(row) else "" for row in rows]) for at, name in enumerate(header)}
    return {"columns": columns, "rows": [_sum(row) for row in rows]}


def tell_changes(path: Path, root: Path, sha256: str, sums: Mapping | None = None) -> str:
    """Tell which cells differ from the version of a table (.csv) that has this sha256, for example ``row 3, column fab: 4.1 was 4.0``.

    Args:
        root: of the repository, whose git history is searched for that version.
        sums: what :func:`sums_of` gave of it; used where git has no such version.

    Returns:
        "" where neither is known, or the table cannot be read.
    """
    try:
        now, then = read_bytes(path), _version_with(path, root, sha256)
        if then is not None:
            return _listed(_against_version(_parsed(now), _parsed(then)))
        return _listed(_against_sums(_parsed(now), sums)) if sums is not None else ""
    except (OSError, UnicodeDecodeError, csv.Error, StopIteration, KeyError, TypeError, AttributeError, IndexError):
        return ""


def _parsed(data: bytes) -> tuple[list[str], list[list[str]]]:
    lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    return next(lines), list(lines)


def _sum(cells: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()[:8]


def _version_with(path: Path, root: Path, sha256: str) -> bytes | None:
    """The file's content in the commit that has it with this hash, or None."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, check=True).stdout

    try:
        name = real(path).relative_to(real(root)).as_posix()
        commits = git("log", f"-n{_VERSIONS}", "--format=%H", "--", name).decode().split()
        versions = (git("show", f"{commit}:./{name}") for commit in commits)
        return next((data for data in versions if hashlib.sha256(data).hexdigest() == sha256), None)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def _against_version(now: tuple, then: tuple) -> list[str]:
    (header, rows), (before, rows_before) = now, then
    found = _shape(header, before, len(rows), len(rows_before))
    for number, (row, earlier) in enumerate(zip(rows, rows_before), 1):
        cells = zip(header, row, earlier) if header == before else ()
        found += [
            f"row {number}, column {name}: {value or 'empty'} was {old or 'empty'}"
            for name, value, old in cells
            if value != old
        ]
    return found


def _against_sums(now: tuple, sums: Mapping) -> list[str]:
    header, rows = now
    found = _shape(header, list(sums["columns"]), len(rows), len(sums["rows"]))
    if found:
        return found
    changed = [at for at, name in enumerate(header) if _sum([row[at] for row in rows]) != sums["columns"][name]]
    numbers = [n for n, (row, expected) in enumerate(zip(rows, sums["rows"]), 1) if _sum(row) != expected]
    return [f"row {n}, column {header[at]}: {rows[n - 1][at] or 'empty'} is new" for n in numbers for at in changed]


def _shape(header: list[str], before: list[str], rows: int, rows_before: int) -> list[str]:
    found = [f"column {name} is new" for name in header if name not in before]
    found += [f"column {name} is gone" for name in before if name not in header]
    if not found and header != before:
        found.append("the columns have another order")
    return found + ([f"{rows} rows were {rows_before}"] if rows != rows_before else [])


def _listed(found: Sequence[str]) -> str:
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
