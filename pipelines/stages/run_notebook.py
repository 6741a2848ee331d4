"""Run one notebook as a stage of the pipeline: checked parameters in, reproducible bytes out.

``python -m pipelines.stages.run_notebook notebooks/x.ipynb OUT.ipynb --params params.yaml --block x``
gives the keys of block ``x`` to the cell of the notebook that is tagged ``parameters``; ``-p name
value`` adds or replaces one. Names and types are checked before anything runs: see
:mod:`pipelines.stages.notebook_parameters`.

The notebook runs in the interpreter of this command, in the root of the repository. The executed
copy holds no time, path or random identifier: a deterministic notebook gives the same bytes twice.
``--sums FILE`` lists, once it has run, the sha256 of each file in the folder of ``OUT.ipynb``.
``--from-tables`` measures nothing: figures and conclusion are told anew from the published tables, see
:mod:`pipelines.stages.from_tables`.
Exit status: 1 if a cell fails (the copy is kept as ``OUT.failed.ipynb``), 2 if the parameters
do not fit, 130 if interrupted; ``OUT.ipynb`` is written on success alone.
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from adabm import errors
from adabm.errors import ConfigError
from adabm.study.origin.provenance import notebook_code_hash
from adabm.support.arguments import Parser
from adabm.support.files import write_atomically
from adabm.support.process import FULL, as_command, plain

from .canonical_notebook import canonical
from .from_tables import check_measured_with, told_from_tables
from .notebook_kernel import OwnKernel, kernel_environment
from .notebook_parameters import (
    check_parameters,
    declared_parameters,
    optional_collections,
    parse_overrides,
    read_block,
    read_executor,
)
from .sums import write_sums

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK_LINES = 20


class NotebookFailed(Exception):
    """A cell raised, or the kernel died; the message holds the cell and the end of its traceback."""


def run_notebook(
    source: Path,
    out: Path,
    given: dict[str, Any],
    params: Path | None = None,
    block: str | None = None,
    from_tables: bool = False,
) -> tuple[str, ...]:
    """Execute ``source`` with the parameters ``given`` and write the canonical copy to ``out``.

    ``params`` and ``block`` tell where the parameters come from; the provenance of the notebook's tables names them.
    ``from_tables`` measures nothing; see :mod:`pipelines.stages.from_tables`.

    Returns:
        What the notebook measures and no table holds: what needs it was left out.

    Raises:
        ConfigError: the parameters do not fit the notebook, or it cannot be told from tables; no cell has run.
        NotebookFailed: a cell failed; the copy up to there is ``out`` with suffix ``.failed.ipynb``.
    """
    notebook = read_notebook(source)
    values = check_parameters(
        declared_parameters(notebook, str(source)),
        given,
        str(source),
        complete=block is not None,
        optional=optional_collections(notebook, str(source)),
    )
    lacking: tuple[str, ...] = ()
    if from_tables:
        folder = _question_folder(source, values)
        check_measured_with(values, ROOT / folder, str(source))
        told = told_from_tables(notebook, str(source), folder)
        notebook, lacking = told.notebook, told.lacking
    failed = out.with_suffix(".failed.ipynb")
    if source.resolve() in (out.resolve(), failed.resolve()):
        raise ConfigError(f"{source}: would be overwritten or deleted, as {out} is written; name another output")
    with (
        tempfile.TemporaryDirectory(prefix="run_notebook-") as scratch,
        kernel_environment(
            scratch,
            _stage(source, params, block, given),
            read_executor(params) if params and block else None,
            from_tables,
        ),
        OwnKernel.ended() as kernel,
    ):
        working_copy = Path(scratch) / "notebook.ipynb"
        try:
            executed = papermill.execute_notebook(
                notebook,
                working_copy,
                values,
                kernel_name="python3",
                language="python",
                cwd=ROOT,
                progress_bar=False,
                kernel_manager_class=kernel,
                stderr_file=sys.stderr,
            )  # progress bars of the cells, as they move
            _check_complete(executed)
        except (PapermillExecutionError, DeadKernelError) as error:
            description = _describe(error, read_notebook(working_copy), source)
            raise NotebookFailed(f"{description}\n\n{_kept(working_copy, failed)}") from None
        except RuntimeError as error:  # of jupyter_client
            raise NotebookFailed(f"{source}: no cell ran, its kernel did not start: {error}") from None
    write_atomically(out, (nbformat.writes(canonical(executed)) + "\n").encode())
    failed.unlink(missing_ok=True)
    return lacking


def _question_folder(source: Path, values: dict[str, Any]) -> str:
    """Where the notebook ``08_complexity.ipynb`` publishes: ``complexity`` in the folder that its parameter ``results`` names."""
    named = re.fullmatch(r"\d+_(\w+)", source.stem)
    if named is None or "results" not in values:
        raise ConfigError(
            f"{source}: cannot be told from tables: which tables are its own is told by a name such as 08_complexity.ipynb "
            "and the parameter `results`; give --block, or -p results FOLDER"
        )
    return Path(values["results"], named[1]).as_posix()


def _kept(working_copy: Path, failed: Path) -> str:
    """Keep the copy of a notebook up to the cell that failed, and tell so; what failed is told whether or not it can be kept."""
    try:
        write_atomically(failed, working_copy.read_bytes())
    except OSError as error:
        return f"not kept: {plain(error)}"
    return f"kept as {failed}"


def _stage(source: Path, params: Path | None, block: str | None, given: dict[str, Any]) -> str:
    """What the provenance of the notebook's tables tells of this run: where its parameters are from, and which are others than there.

    Block and notebook are told as they are now, since both may be edited while the notebook runs.
    """
    inside = {
        name: path.resolve()
        for name, path in (("notebook", source), ("params_file", params))
        if path is not None and (block or name == "notebook")
    }
    names = {name: path.relative_to(ROOT).as_posix() for name, path in inside.items() if path.is_relative_to(ROOT)}
    if "notebook" in names:
        names["notebook_code_sha256"] = notebook_code_hash(source)
    if "params_file" in names:
        values = read_block(params, block)
        replaced = {name: value for name, value in given.items() if name not in values or values[name] != value}
        replaced.pop("results", None)  # where they are written, not what
        names |= {"block": block, "values": values} | ({"replaced": replaced} if replaced else {})
    return json.dumps(names, default=str)


def read_notebook(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise ConfigError(f"{path} is not a notebook: {error}") from None


def _check_complete(executed: NotebookNode) -> None:
    """Papermill takes ``sys.exit()`` for success and leaves the following cells out."""
    for index, cell in enumerate(executed.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise PapermillExecutionError(
                    index, cell.execution_count, cell.source, output.ename, output.evalue, output.traceback
                )


def _describe(error: Exception, copy: NotebookNode, source: Path) -> str:
    """Name the cell that failed and quote it and the end of its traceback."""
    added = {"injected-parameters", "papermill-error-cell-tag"}  # by papermill
    cells = [c for c in copy.cells if not added & set(c.metadata.get("tags", []))]
    started = [i for i, c in enumerate(cells) if c.metadata.papermill.get("start_time")]
    raised = [i for i, c in enumerate(cells) if any(o.output_type == "error" for o in c.get("outputs", []))]
    number = (raised or started[-1:])[0]
    count = cells[number].get("execution_count")  # a kernel that dies at once may not have told it
    place = f"cell {number + 1} of {len(cells)}" + (f" (In [{count}])" if count else "")
    if isinstance(error, PapermillExecutionError):
        reason, text = f"{error.ename}: {error.evalue}", "\n".join(error.traceback)
        if issubclass(getattr(errors, error.ename, object), errors.AdabmError):
            return f"{source}: {place} failed: {error.evalue}"  # tells what is wrong and what to do
        if any(os.strerror(number) in error.evalue for number in FULL):
            return f"{source}: {place} failed: {error.evalue}; make room and run it again"
        lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()[-TRACEBACK_LINES:]
    else:
        reason, lines = "the kernel died (out of memory, or a crash in compiled code)", []
    return "\n".join([f"{source}: {place} failed: {reason}", "", cells[number].source, "", *lines])


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path, help="the executed notebook")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="file of parameters (params.yaml)")
    parser.add_argument(
        "--block", help="its block that goes to the notebook; without it, the notebook has its defaults but for -p"
    )
    parser.add_argument("--sums", type=Path, help="file to write: the sha256 of each file beside the executed notebook")
    parser.add_argument(
        "--from-tables",
        action="store_true",
        help="measure nothing: read the question's published tables, write its figures and conclusion anew, and no table",
    )
    parser.add_argument("-p", dest="overrides", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    try:
        given = read_block(options.params, options.block) if options.block else {}
        lacking = run_notebook(
            options.notebook,
            options.out,
            {**given, **parse_overrides(options.overrides)},
            options.params,
            options.block,
            options.from_tables,
        )
        if options.sums is not None:
            write_sums(options.out.parent, options.sums)
    except ConfigError as error:
        print(f"run_notebook: {error}", file=sys.stderr)
        return 2
    except NotebookFailed as error:
        print(f"run_notebook: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # what names no file is of the scratch folder
        error.filename = error.filename or tempfile.gettempdir()
        print(f"run_notebook: {plain(error)}", file=sys.stderr)
        return 2
    if lacking:
        left = ", ".join(lacking)
        print(
            f"{options.notebook}: no table holds {left}; what needs it was left out, its published files are as they were"
        )
    print(f"{options.notebook} -> {options.out} ({time.monotonic() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("run_notebook", main, "no notebook is written, what its cells completed is kept"))
