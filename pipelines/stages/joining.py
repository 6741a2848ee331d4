"""Tables of two runs made into one: the lines of the published table that its parameters still ask for, and those of a run of what it lacks."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adabm.errors import TableError
from adabm.study.origin.named_recipes import RECIPES, named_recipes, recipe_hashes
from adabm.study.origin.provenance import provenance_path, table_id, table_version
from adabm.study.origin.reading import check_unchanged, read_provenance
from adabm.study.origin.runs_of_table import DERIVED_FROM, MEASURED_BY, runs_by_line, told_by_line
from adabm.study.running.runs import MEASURED
from adabm.study.tables.writing import write_table
from adabm.support.files import file_sha256, write_atomically

_REMEDY = "restore it (git checkout), or run the whole stage (dvc repro)"
_EQUAL = ("packages", "device", "threads_per_run", "notebook_code_sha256")  # of both runs


@dataclass(frozen=True)
class Lines:
    """The lines of a table as text, with its provenance and, of each line, the run that measured it."""

    table: pd.DataFrame
    record: dict
    runs: Sequence[dict[str, object]]

    @classmethod
    def read(cls, path: Path) -> "Lines":
        """Read a table.

        Raises:
            TableError: it, or its provenance, is missing, damaged or was changed.
        """
        record = check_unchanged(path, _REMEDY)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        try:
            return cls(table, record, runs_by_line(record, len(table)))
        except TableError as error:
            raise TableError(f"{path}: {error}; {_REMEDY}") from None


def join(
    published: Path, measured: Path | None, keys: Sequence[str], wanted: Sequence[tuple], new: Collection[tuple]
) -> Lines:
    """Return the lines of a published table and of one that was measured since.

    Args:
        measured: None where nothing is new: lines are left out or stand in another order.
        keys: columns that tell which lines belong together.
        wanted: the values of these columns in the order that the lines get.
        new: those of them that are taken from the measured table. It may have others too, such as full precision, which are then compared.

    Raises:
        TableError: the runs had other code, libraries, recipes or inputs, what both measured differs, or what is wanted is in neither.
    """
    before = Lines.read(published)
    since = before if measured is None else Lines.read(measured)
    check_alike(published, before.record, since.record)
    if list(before.table) != list(since.table):
        raise TableError(f"{published}: has other columns than what was measured now; {_REMEDY}")
    of = [_by_keys(lines.table, keys) for lines in (before, since)]
    for group in (of[0].keys() & of[1].keys()) - {*new}:
        one, other = (lines.table.loc[found[group]] for lines, found in zip((before, since), of))
        if one.to_numpy().tolist() != other.to_numpy().tolist():
            what = ", ".join(group)
            raise TableError(f"{published}: {what} came out otherwise than in the published table; {_REMEDY}")
    tables, runs = [], []
    for group in wanted:
        lines, found = ((before, of[0]), (since, of[1]))[group in new]
        if group not in found:
            raise TableError(f"{published}: {', '.join(group)} was not measured; {_REMEDY}")
        tables.append(lines.table.loc[found[group]])
        runs += [lines.runs[index] for index in found[group]]
    return Lines(pd.concat(tables), since.record | {"inputs_sha256": _inputs(before.record, since.record)}, runs)


def has_order(path: Path, keys: Sequence[str], wanted: Sequence[tuple]) -> bool:
    """Whether a table has the wanted lines, no others, and in their order."""
    return [*_by_keys(Lines.read(path).table, keys)] == [*dict.fromkeys(wanted)]


def measured_keys(lines: Lines, keys: Sequence[str]) -> set[tuple]:
    """Return the keys of the lines that tell of something measured."""
    return {*_by_keys(lines.table[lines.table["status"] == MEASURED].reset_index(drop=True), keys)}


def _by_keys(table: pd.DataFrame, keys: Sequence[str]) -> dict[tuple, list[int]]:
    found: dict[tuple, list[int]] = {}
    for index, group in enumerate(table[list(keys)].itertuples(index=False, name=None)):
        found.setdefault(group, []).append(index)
    return found


def check_alike(path: Path, before: Mapping, since: Mapping) -> None:
    """Refuse runs whose lines do not belong into one table.

    Raises:
        TableError: naming what differs, and the remedy.
    """
    for name in _EQUAL:
        if before.get(name) != since.get(name):
            raise TableError(f"{path}: was measured with other {name}; {_REMEDY}")
    for what in ("code_sha256", RECIPES):  # of which one may tell more than the other
        one, other = before.get(what, {}), since.get(what, {})
        if others := sorted(name for name in one.keys() & other.keys() if one[name] != other[name]):
            raise TableError(f"{path}: was measured with other {what} of {', '.join(others)}; {_REMEDY}")
    _inputs(before, since)
    if since["git_dirty"] is not False:
        raise TableError(
            f"{path}: what it lacks was measured with changes that were not committed; commit, and run it again"
        )


def _inputs(before: Mapping, since: Mapping) -> dict[str, str]:
    one, other = before["inputs_sha256"], since["inputs_sha256"]
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            raise TableError(f"its input {name} changed since; {_REMEDY}")
    return dict(sorted((one | other).items()))


def write_joined(path: Path, lines: Lines, block_values: Mapping, seeds: Sequence[int]) -> None:
    """Write a joined table and its provenance, which tells the run of each line.

    Args:
        block_values: the block of parameters that asks for all of it.
        seeds: of all its models.
    """
    _write(path, lines.table, lines.record | {MEASURED_BY: told_by_line(lines.runs)}, block_values, seeds)


def write_derived(path: Path, table: pd.DataFrame, source: Path, block_values: Mapping, seeds: Sequence[int]) -> None:
    """Write a table that was computed from a joined one, ``source``; its provenance is that of the source, which it names."""
    record = read_provenance(provenance_path(source))
    told = {"table": table_id(path), DERIVED_FROM: {table_id(source): record.pop("table_sha256")}}
    record.pop(MEASURED_BY)
    _write(path, table, record | told, block_values, seeds)


def _write(path: Path, table: pd.DataFrame, record: Mapping, block_values: Mapping, seeds: Sequence[int]) -> None:
    write_table(table, path)
    digest = file_sha256(path)
    parameters = {name: block_values.get(name, value) for name, value in record["parameters"].items()}
    record = record | {
        "table_sha256": digest,
        "version": table_version(digest),
        "parameters": parameters,
        RECIPES: recipe_hashes(named_recipes(parameters, study="study" in record["code_sha256"])),
        "seed": sorted(seeds),
        "block_values": block_values,
    }
    write_atomically(provenance_path(path), (json.dumps(record, indent=2, default=str) + "\n").encode())
