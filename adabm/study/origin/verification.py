"""Do result tables still fit what their provenance says? Each table is compared with the repository as it is now."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from ... import __version__
from ...errors import DataError, TableError
from ...support.files import real
from ..plan.root import find_root
from .file_hashes import sha256
from .findings import AGAIN, NOTE, PROBLEM, WARNING, Finding, Hashed, Judged
from .fingerprint import code_hash
from .history import tell_definitions
from .manifest import MANIFEST, read_manifest
from .named_recipes import find_other_recipes
from .provenance import (
    OUTSIDE,
    code_of,
    notebook_code_hash,
    provenance_path,
    read_block_values,
    table_id,
)
from .published import Published, committed_below, verify_files, verify_pages
from .reading import read_provenance, used_parameters
from .runs_of_table import DERIVED_FROM, MEASURED_BY, runs_by_line, told_by_line
from .table_changes import tell_changes

_SUFFIX = ".provenance.json"


@dataclass(frozen=True)
class Verdict(Judged):
    """What was found about a table; it is verified unless there is a problem."""

    table: Path
    id: str
    version: str | None
    findings: tuple[Finding, ...] = ()


def verify_results(folders: Sequence[Path] = ()) -> list[Verdict]:
    """Verify every table below the folders (default: ``results`` of the repository), sorted by path.

    Raises:
        DataError: a folder is missing or holds no table, or no repository is around it.
    """
    folders = [Path(folder) for folder in folders] or [find_root() / "results"]
    verdicts: dict[Path, Verdict] = {}
    hashed = cache(_hashed)  # many tables share their inputs
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: is no folder of results; run the pipeline, or name the folder that it wrote")
        root = _root_of(folder)
        tables = {
            *folder.rglob("*.csv"),
            *(path.with_name(path.name.removesuffix(_SUFFIX) + ".csv") for path in folder.rglob(f"*{_SUFFIX}")),
        }
        if not tables:
            raise DataError(f"{folder}: holds no table (.csv); run the pipeline, or name the folder that it wrote")
        verdicts |= {real(table): verify_table(table, root, hashed) for table in tables}
    return [verdicts[path] for path in sorted(verdicts)]


def verify_published(folders: Sequence[Path] = (), regenerated: bool = False) -> list[Published]:
    """Verify all published files of the profiles to which the folders belong, and the pages that show parts of them.

    Args:
        regenerated: a manifest that differs from the committed one is a warning only.
    """
    folders = [Path(folder) for folder in folders] or [find_root() / "results"]
    roots: dict[Path, list[Path]] = {}
    for folder in folders:
        roots.setdefault(_root_of(folder), []).append(folder)
    found = []
    for root, below in roots.items():
        records = sorted(path for folder in below for path in folder.rglob(f"*{_SUFFIX}"))
        # a profile that lost all its records is still told of by its manifest, or by the committed one
        manifests = sorted({path for f in below for path in (*f.rglob(MANIFEST), *committed_below(f, root, MANIFEST))})
        profiles = dict.fromkeys([real(p).parents[1] for p in records] + [real(p).parent for p in manifests])
        found += [verify_files(profile, root, below, _hashed, regenerated) for profile in profiles] + verify_pages(
            root, below
        )
    return found


def _hashed(path: Path) -> str | None:
    try:
        return sha256(path)
    except (OSError, ValueError):  # that of what cannot be read is none
        return None


def verify_table(table: Path, root: Path, hashed: Hashed = _hashed) -> Verdict:
    """Compare a table and the repository ``root`` with the table's provenance."""
    try:
        record = read_provenance(provenance_path(table))
    except TableError as error:
        return Verdict(table, table_id(table), None, (Finding("provenance", PROBLEM, str(error), AGAIN),))
    manifest = _manifest_of(table)
    findings = [
        *_table(table, record, hashed, root, manifest),
        *_runs(table, record, hashed),
        *_code(record, code_of(real(table).parent.name), root, manifest),
        *_notebook(root, record),
        *_parameters(root, record),
        *find_other_recipes(record),
        *_inputs(root, record, hashed),
        *_circumstances(record),
    ]
    return Verdict(table, table_id(table), record["version"], tuple(findings))


def _manifest_of(table: Path) -> dict | None:
    try:
        return read_manifest(real(table).parents[1])
    except DataError:  # told of the profile
        return None


def _table(table: Path, record: Mapping, hashed: Hashed, root: Path, manifest: dict | None) -> list[Finding]:
    if not table.is_file():
        return [Finding("table", PROBLEM, "the table is missing, its provenance is there", AGAIN)]
    found = []
    if hashed(table) != record["table_sha256"]:
        name = real(table).relative_to(real(table).parents[1]).as_posix()
        published = manifest is not None and manifest["files"].get(name) == record["table_sha256"]
        sums = manifest["tables"].get(name) if published else None
        cells = tell_changes(table, root, record["table_sha256"], sums)
        found.append(
            Finding(
                "table",
                PROBLEM,
                "the table was changed after it was written" + (f": {cells}" if cells else ""),
                f"restore it (git checkout), or {AGAIN}",
            )
        )
    if record["version"] != f"{record['adabm_version']}+{record['table_sha256'][:8]}":
        found.append(
            Finding(
                "provenance",
                PROBLEM,
                f"its version {record['version']} is not that of its hash",
                f"restore the provenance (git checkout), or {AGAIN}",
            )
        )
    if record.get("table") != table_id(table):
        found.append(
            Finding(
                "table",
                PROBLEM,
                f"the provenance is that of {record.get('table')}, not of {table_id(table)}",
                f"restore both files, or {AGAIN}",
            )
        )
    return found


def _code(record: Mapping, groups: Mapping[str, tuple[str, ...]], root: Path, manifest: dict | None) -> list[Finding]:
    """A Python of another minor version writes other syntax trees, and so other hashes of the same code."""
    if record["python"].split(".")[:2] != platform.python_version().split(".")[:2]:
        what = f"its code was not compared: it ran on Python {record['python']}, this is {platform.python_version()}"
        return [Finding("code", NOTE, what, "verify with the same Python")]
    found, commit = _carried_over(record), record["git_commit"]
    for name, then in record["code_sha256"].items():
        torch_version = str(record["packages"].get("torch"))
        if name not in groups or then != code_hash(*groups[name], torch_version=torch_version):
            states = [manifest] if manifest is not None else []
            told = tell_definitions(groups[name], then, states, root, commit) if name in groups else ""
            found.append(
                Finding(
                    "code",
                    PROBLEM,
                    f"the code of {name} changed since" + (f": {told}" if told else ""),
                    f"{AGAIN}, or look at the table's commit" + (f" {commit[:10]}" if commit else ""),
                )
            )
    return found


def _carried_over(record: Mapping) -> list[Finding]:
    """Tell why the table counts as one of the present code although an earlier one wrote it."""
    told, texts = record.get("carried_over"), []
    while told is not None:
        differing = ", ".join(f"{number} of {group}" for group, number in told.get("differing", {}).items())
        text = f"from the code of commit {told['from_commit'][:10]}: {told['reason']}"
        texts.append(text + (f" (definitions that differ: {differing})" if differing else ""))
        told = told.get("earlier")
    return [Finding("code", NOTE, f"it was carried over {'; before that '.join(texts)}")] if texts else []


def _runs(table: Path, record: Mapping, hashed: Hashed) -> list[Finding]:
    """Tell which run measured which lines of a joined table, and whether what was computed from one fits it."""
    for name, digest in record.get(DERIVED_FROM, {}).items():
        if hashed(table.with_name(f"{name.rpartition('/')[2]}.csv")) != digest:
            return [Finding("runs", PROBLEM, f"{name}, which it was computed from, is another by now", AGAIN)]
    if MEASURED_BY not in record:
        return []
    try:
        lines = len(pd.read_csv(table, dtype=str, keep_default_na=False))
        runs = told_by_line(runs_by_line(record, lines))
    except TableError as error:
        return [Finding("provenance", PROBLEM, str(error), f"restore the provenance (git checkout), or {AGAIN}")]
    except (OSError, ValueError):  # told of the table
        return []
    texts = [
        f"lines {run['lines']} by the run of {run['date'][:10]} at commit {str(run['git_commit'])[:10]} ({run['cpu']}, {run['torch_capability']})"
        for run in runs
    ]
    return [Finding("runs", NOTE, f"several runs measured it: {'; '.join(texts)}")]


def _notebook(root: Path, record: Mapping) -> list[Finding]:
    name = record.get("notebook")
    if not isinstance(name, str):
        return []
    try:
        changed = notebook_code_hash(root / name) != record.get("notebook_code_sha256")
    except TableError:
        return [Finding("notebook", PROBLEM, f"its notebook {name} is missing or damaged", "restore it (git checkout)")]
    return [Finding("notebook", PROBLEM, f"the code of {name} changed since", AGAIN)] if changed else []


def _parameters(root: Path, record: Mapping) -> list[Finding]:
    """Compare the block as it is now with what it was, where the run did not replace it, and with what the run used."""
    name, block = record.get("params_file"), str(record.get("block"))
    if not isinstance(name, str):
        if "study" not in record["code_sha256"]:
            return []
        what = "it was not written by a stage of the pipeline: its parameters and notebook were not compared"
        return [Finding("parameters", WARNING, what, "run the stage (dvc repro)")]
    try:
        now = read_block_values(root / name, block)
    except TableError:
        return [Finding("parameters", PROBLEM, f"{name} has no block {block!r} any more", "restore it (git checkout)")]
    used = used_parameters(record)
    now = json.loads(json.dumps(now, default=str))  # as JSON kept the others: names as text
    differing = sorted(key for key in {*used, *now} if key not in used or key not in now or used[key] != now[key])
    if not differing:
        return []
    return [
        Finding(
            "parameters",
            PROBLEM,
            f"its parameters are not those of {name}, block {block!r}: {', '.join(differing)}",
            f"restore {name}, or {AGAIN}",
        )
    ]


def _inputs(root: Path, record: Mapping, hashed) -> list[Finding]:
    found = []
    for name, digest in record["inputs_sha256"].items():
        path = root / name
        if name.split("/")[0] == OUTSIDE:
            found.append(Finding("input", NOTE, f"input {name} is outside the repository and was not compared"))
        elif not path.exists():
            found.append(
                Finding("input", PROBLEM, f"input {name} is missing", "run the stage that prepares it (dvc repro)")
            )
        elif hashed(path) != digest:
            found.append(Finding("input", PROBLEM, f"input {name} changed since", f"restore it, or {AGAIN}"))
    return found


def _circumstances(record: Mapping) -> list[Finding]:
    found = []
    for name, then, now in (
        ("torch", record["packages"].get("torch"), torch.__version__),
        ("adabm", record["adabm_version"], __version__),
    ):
        if then != now:
            found.append(Finding("version", NOTE, f"it was made with {name} {then}, this is {now}"))
    if record["git_dirty"]:
        found.append(
            Finding(
                "uncommitted",
                WARNING,
                "it was made from changes that were not committed; the commit alone does not tell the code",
                f"commit, and {AGAIN}",
            )
        )
    return found


def _root_of(folder: Path) -> Path:
    """The repository around a folder of results, else the one around the working directory."""
    try:
        return find_root(folder)
    except DataError:
        return find_root()
