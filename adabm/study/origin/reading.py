"""Read what was written on where a table comes from."""

import json
from collections.abc import Mapping
from pathlib import Path

from ...errors import TableError
from ...support.files import file_sha256, read_text
from .named_recipes import RECIPES
from .provenance import provenance_path
from .runs_of_table import DERIVED_FROM, MEASURED_BY

_KINDS: dict[str, type | tuple] = {
    "table_sha256": str,
    "version": str,
    "code_sha256": dict,
    "inputs_sha256": dict,
    "packages": dict,
    "parameters": dict,
    "python": str,
    "adabm_version": str,
    "git_dirty": (bool, type(None)),
    "git_commit": (str, type(None)),
}
_CARRIED_OVER = {"from_commit": str, "reason": str}


def read_provenance(path: Path) -> dict:
    """Read what :func:`adabm.study.write_provenance` wrote.

    Raises:
        TableError: it is missing, damaged or of an older version; told of the table, such as "has no provenance".
    """
    if not path.is_file():
        raise TableError(f"has no provenance ({path.name})")
    try:
        record = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(f"its provenance is damaged ({error})") from None
    if not isinstance(record, dict):
        raise TableError("its provenance is damaged (no JSON object)")
    if "table_sha256" not in record and "inputs_sha256" in record:
        raise TableError("its provenance was written by an older version, which recorded no hash of the table")
    wrong = [*_wrong(record, _KINDS)]
    wrong += [RECIPES] * (not isinstance(record.get(RECIPES, {}), dict))
    for name in ("code_sha256", "inputs_sha256", RECIPES):
        digests = record.get(name)
        if isinstance(digests, dict) and not all(isinstance(digest, str) for digest in digests.values()):
            wrong.append(f"a sha256 of {name}")
    told = record.get("carried_over")
    while told is not None:
        wrong += _wrong_carried_over(told)
        told = told.get("earlier") if isinstance(told, dict) else None
    wrong += _wrong_runs(record.get(MEASURED_BY, []))
    wrong += [DERIVED_FROM] * (not isinstance(record.get(DERIVED_FROM, {}), dict))
    if wrong:
        raise TableError(f"its provenance is damaged ({', '.join(wrong)} missing or of the wrong kind)")
    return record


def check_unchanged(table: Path, remedy: str) -> dict:
    """Compare a table with its provenance, and return that.

    Raises:
        TableError: the provenance is missing or damaged, or the table was changed; with the remedy.
    """
    try:
        record = read_provenance(provenance_path(table))
    except TableError as error:
        raise TableError(f"{table}: {error}; {remedy}") from None
    if file_sha256(table) != record["table_sha256"]:
        raise TableError(f"{table}: was changed after it was written; {remedy}")
    return record


def used_parameters(record: Mapping) -> dict[str, object]:
    """Return the parameters of its block that a table was measured with: those of the file, or what the run replaced them by."""
    then, effort = record.get("block_values"), record["parameters"].get("effort")
    used = dict(then) if isinstance(then, dict) else {}
    for given in (record["parameters"], effort if isinstance(effort, dict) else {}):
        used |= {key: value for key, value in given.items() if key in used}
    return used


def _wrong(record: dict, kinds: dict[str, type | tuple]) -> list[str]:
    return [name for name, kind in kinds.items() if name not in record or not isinstance(record[name], kind)]


def _wrong_runs(told: object) -> list[str]:
    kinds = dict.fromkeys(("lines", "version", "date", "cpu", "torch_capability", "git_commit"), str)
    if not isinstance(told, list):
        return [MEASURED_BY]
    return [
        f"{MEASURED_BY}.{name}" for run in told for name in (_wrong(run, kinds) if isinstance(run, dict) else kinds)
    ]


def _wrong_carried_over(told: object) -> list[str]:
    if not isinstance(told, dict):
        return ["carried_over"]
    differing = told.get("differing", {})
    listed = isinstance(differing, dict) and all(isinstance(number, int) for number in differing.values())
    return [f"carried_over.{name}" for name in _wrong(told, _CARRIED_OVER)] + (
        [] if listed else ["carried_over.differing"]
    )
