"""Measure what a question's published tables lack of what its parameters ask for now, and that alone.

``python -m pipelines.stages.extend sampling --params profiles/paper/params.yaml`` compares the block ``sampling`` with the
parameters that the published table was measured with. Networks that are new there or are asked something else, of an evaluation the cells (a
seed of a method at a setting, on a set), are measured as the stage would measure them. The tables are then joined, and the provenance tells
which run measured which lines. What both runs measured, full precision above all, must be equal to the last
digit. Figures and conclusion are told anew, see :mod:`pipelines.stages.from_tables`.

Refused are tables that do not count as those of the present code (carry them over first), parameters on which all lines depend,
and questions with other tables than rows of measured models.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from adabm.errors import AdabmError, ConfigError, TableError
from adabm.study import read_study_table, summarize, with_published
from adabm.study.origin.findings import PROBLEM
from adabm.study.origin.named_recipes import RECIPES
from adabm.study.origin.provenance import provenance_path
from adabm.study.origin.reading import read_provenance, used_parameters
from adabm.study.origin.verification import verify_table
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain

from .joining import Lines, has_order, join, measured_keys, write_derived, write_joined
from .lacking import Lacking, lacking
from .notebook_parameters import read_block
from .run_notebook import ROOT, NotebookFailed, run_notebook
from .sums import write_sums

_SUMMARY = "evaluation_summary"  # which follows from the means
_EVALUATION = ("evaluation", "evaluation_pictures", _SUMMARY)


def extend(notebook: Path, params: Path, block: str) -> Lacking:
    """Measure what the tables of a question lack, and join it to them; figures and conclusion are as they were.

    Returns:
        What was lacking, and now is there.

    Raises:
        ConfigError, TableError: the tables cannot be extended by this block; nothing was measured.
        NotebookFailed: measuring failed; what was completed is in the cache.
    """
    values = read_block(params, block)
    folder = ROOT / values["results"] / block
    tables, used = _tables(folder)
    found = lacking(values, used, ROOT)
    first = tables[0]
    if not found.new and has_order(first, found.keys, found.wanted):
        return found
    joined: dict[Path, Lines] = {}
    with tempfile.TemporaryDirectory(prefix="extend-") as scratch:
        measured = Path(scratch) / folder.parent.name
        if found.new:
            run_notebook(notebook, measured / notebook.name, found.block | {"results": str(measured)}, params, block)
        wanted = found.wanted
        for path in (path for path in tables if path.stem != _SUMMARY):
            joined[path] = join(
                path, measured / block / path.name if found.new else None, found.keys, wanted, found.new
            )
            if path == first:  # single pictures have those of what was measured alone
                wanted = tuple(keys for keys in wanted if keys in measured_keys(joined[first], found.keys))
    for path, lines in joined.items():
        _tell_processors(path, lines)
        write_joined(path, lines, values, found.seeds)
    if (summary := folder / f"{_SUMMARY}.csv") in tables:
        means = folder / "evaluation.csv"
        write_derived(summary, _summary(means, values), means, values, found.seeds)
    return found


def _tell_processors(path: Path, lines: Lines) -> None:
    """Say so where lines come from processors with other instructions, which may give other last digits."""
    kinds = sorted({str(run.get("torch_capability")) for run in lines.runs})
    if len(kinds) > 1:
        print(f"{path.name}: its lines were measured with {' and '.join(kinds)}; see Determinism in docs/study.md")


def _summary(means: Path, values: Mapping) -> pd.DataFrame:
    """Return the summary of an evaluation's means, as its notebook computes it."""
    table = pd.read_csv(means, dtype=dict.fromkeys(("backbone", "dataset", "method", "setting", "status"), str))
    return with_published(summarize(table), pd.read_csv(ROOT / "data" / "published.csv"), values["same_as"])


def _tables(folder: Path) -> tuple[list[Path], dict[str, object]]:
    """Return the tables of a question, the one that tells what was measured first, and with which parameters all of them were.

    Raises:
        TableError: one does not count as one of the present code, or cannot be extended.
    """
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        raise TableError(f"{folder}: has no published table to extend; run the stage (dvc repro)")
    used = []
    for path in tables:
        problems = [f for f in verify_table(path, ROOT).findings if f.severity == PROBLEM and f.kind != "parameters"]
        if problems:
            raise TableError(
                f"{path}: {problems[0].what}; {problems[0].remedy}, or carry it over before it is extended"
            )
        record = read_provenance(provenance_path(path))
        if RECIPES not in record:
            raise TableError(f"{path}: does not tell what its recipes listed; carry it over before it is extended")
        if path.stem not in _EVALUATION:
            read_study_table(path)
        used.append(used_parameters(record))
        if used[-1] != used[0]:
            raise TableError(
                f"{path}: was measured with other parameters than {tables[0].name}; restore both (git checkout)"
            )
    return tables, used[0]


def _notebook(params: Path, block: str) -> Path:
    """Return the notebook that a profile asks a question with.

    Raises:
        ConfigError: it does not ask it.
    """
    questions = read_block(params, "questions")
    if block not in questions:
        raise ConfigError(f"{params}: asks no question {block!r}; it asks {', '.join(questions)}")
    return ROOT / "notebooks" / f"{questions[block]['notebook']}.ipynb"


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("block", help="the question and its block of parameters, such as sampling")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="file of parameters (params.yaml)")
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        notebook = _notebook(options.params, options.block)
        found = extend(notebook, options.params, options.block)
        values = read_block(options.params, options.block)
        results = ROOT / values["results"]
        run_notebook(
            notebook, results / options.block / notebook.name, values, options.params, options.block, from_tables=True
        )
        write_sums(results / options.block, results / "sums" / f"{options.block}.sha256")
    except (AdabmError, NotebookFailed, OSError) as error:
        print(f"extend: {plain(error)}", file=sys.stderr)
        return 1
    what = "networks" if len(found.keys) == 1 else "cells"
    told = f"{len(found.new)} of {len(found.wanted)} {what} measured" if found.new else "nothing was lacking"
    print(f"{options.block}: {told}, figures and conclusion told anew ({time.monotonic() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("extend", main, "the published tables are as they were, what was completed is in the cache"))
