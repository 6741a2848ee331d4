"""A notebook of the study made into one that measures nothing: it reads what it had measured from its published tables.

Tags of a cell say which of the names that it assigns are tables of the question's folder:

* ``table:patches=complexity_patches``: ``patches`` is ``complexity_patches.csv``;
* ``table:timed=[dynamic_times]``: a list of this table alone;
* ``table:tables=gradient_*``: all tables that begin so, by the rest of their names;
* ``no-table:model``: no table holds it; what needs it is left out, its published files stay as they are;
* ``measuring``: all that the cell does is to prepare measurements, what it shows included.

What assigns such a name is replaced or left out, and what nothing needs any more is dropped: assignments, of a tagged cell
also what it prints and loops that fill something, and all of a cell that is ``measuring``. ``publish`` and ``write_tables``
become ``tell_anew`` and ``check_tables`` of :mod:`adabm.study.pages.telling`, which write no table and no provenance.
"""

import ast
import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from adabm.errors import ConfigError, TableError
from adabm.study.origin.reading import read_provenance, used_parameters
from adabm.validation import shown

from .canonical_notebook import MEASURING, is_tag_of_tables
from .statements import Statement, assigned, changed, drop_unneeded, statements_of, used

_TAG = re.compile(r"table:(\w+)=(\w+|\w+\*|\[\w+\])|no-table:(\w+)|measuring")
_TELLING = {  # what writes tables: what takes its place, and which arguments it gets
    "publish": ("tell_anew", ("results", "question", "table", "figures", "conclusion")),
    "write_tables": ("check_tables", ("folder", "tables")),
}
_WRITING = {"publish", "write_tables", "write_table", "write_provenance"}


@dataclass(frozen=True)
class Told:
    """A notebook that measures nothing, and the names without a table whose users were left out of it."""

    notebook: NotebookNode
    lacking: tuple[str, ...]


def told_from_tables(notebook: NotebookNode, name: str, folder: str) -> Told:
    """Make a notebook into one that reads its measured tables from the folder of its question.

    Args:
        name: of the notebook, for errors.
        folder: as the process of the notebook finds it.

    Raises:
        ConfigError: no tag names a table, a tag does not fit its cell, or the table or the conclusion needs what no table holds.
    """
    reads, none = _tagged(notebook, name)
    if not reads:
        raise ConfigError(
            f"{name}: cannot be told from tables: no cell has a tag such as `table:patches=complexity_patches`, "
            "which says that its name `patches` is that published table"
        )
    statements = [s for index, cell in enumerate(notebook.cells) for s in _statements(cell, index, name)]
    idle = set().union(*(_imported(s) for s in statements)).difference(*(used(s.node) for s in statements))
    for statement in statements:
        _write_nothing(statement, name)
    lacking = _read(statements, reads, none, name, folder)
    drop_unneeded(statements, idle)
    told = copy.deepcopy(notebook)
    for index, cell in enumerate(told.cells):
        _rewrite(cell, [s for s in statements if s.cell == index], lacking)
    told.cells = [cell for cell in told.cells if cell.cell_type != "code" or cell.source]
    without = tuple(sorted(set().union(*lacking.values())))
    _say_so(told, folder, without)
    return Told(told, without)


def check_measured_with(values: Mapping[str, object], folder: Path, name: str) -> None:
    """Refuse parameters with which the tables of a folder were not measured; what no table was measured by may be new.

    Args:
        values: the parameters of the notebook.
        name: of the notebook, for the error.

    Raises:
        ConfigError: naming the first that differs.
    """
    now = json.loads(json.dumps(dict(values), default=str))  # as JSON kept the others: names as text
    for path in sorted(folder.glob("*.provenance.json")):
        try:
            used = used_parameters(read_provenance(path))
        except TableError:  # told where the table is read
            continue
        for key in sorted(used.keys() & now.keys()):
            if used[key] != now[key]:
                raise ConfigError(
                    f"{name}: {key} = {shown(now[key])}, where {path.name.partition('.')[0]}.csv was measured with {shown(used[key])}; "
                    "give that, or run the notebook without --from-tables"
                )


def _statements(cell: NotebookNode, index: int, name: str) -> Iterator[Statement]:
    tags = cell.metadata.get("tags", [])
    if cell.cell_type == "code" and "parameters" not in tags:
        measured = any(map(is_tag_of_tables, tags))
        yield from statements_of(
            cell, index, name, lambda node: MEASURING in tags or (measured and _tells_of_measuring(node))
        )


def _tells_of_measuring(node: ast.stmt) -> bool:
    """Whether a statement of a cell that measures is a loop that fills something, or prints."""
    prints = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _called(node.value) == "print"
    return prints or (isinstance(node, ast.For) and bool(changed(node)))


def _imported(statement: Statement) -> set[str]:
    return assigned(statement.node) if isinstance(statement.node.body[0], ast.Import | ast.ImportFrom) else set()


def _tagged(notebook: NotebookNode, name: str) -> tuple[dict[tuple[int, str], str], set[tuple[int, str]]]:
    """Return, by cell and name, which table each is; and those that no table holds."""
    reads, none = {}, set()
    for index, cell in enumerate(notebook.cells):
        for tag in filter(is_tag_of_tables, cell.metadata.get("tags", [])):
            found = _TAG.fullmatch(tag)
            if found is None:
                known = "table:NAME=TABLE, table:NAME=[TABLE], table:NAME=BEGINNING*, no-table:NAME, measuring"
                raise ConfigError(f"{name}: cell {index + 1} has the tag {tag!r}; known are {known}")
            if found[1]:
                reads[index, found[1]] = found[2]
            elif found[3]:
                none.add((index, found[3]))
    return reads, none


def _reading(table: str, folder: str) -> str:
    """Return the code that reads what a tag names."""
    if table.endswith("*"):
        return f'read_tables("{folder}", "{table[:-1]}")'
    call = f'read_table("{folder}/{table.strip("[]")}.csv")'
    return f"[{call}]" if table.startswith("[") else call


def _write_nothing(statement: Statement, name: str) -> None:
    """Have a statement compare tables that it would write."""
    for call in [part for part in ast.walk(statement.node) if isinstance(part, ast.Call)]:
        other, parameters = _TELLING.get(_called(call), (None, ()))
        if other is None:
            continue
        given = dict(zip(parameters, call.args)) | {k.arg: k.value for k in call.keywords if k.arg in parameters}
        if given.keys() != {*parameters} or any(isinstance(value, ast.Starred) for value in given.values()):
            raise ConfigError(f"{name}: cell {statement.cell + 1}: {_called(call)} needs {', '.join(parameters)}")
        arguments = ", ".join(ast.get_source_segment(statement.text, given[key]) for key in parameters)
        statement.text = statement.text.replace(
            ast.get_source_segment(statement.text, call), f"{other}({arguments})", 1
        )
    if not _imported(statement) and (writing := _WRITING & used(statement.node)):
        told = ", ".join(sorted(writing))
        raise ConfigError(f"{name}: cell {statement.cell + 1} writes tables by {told}; call publish or write_tables")


def _called(call: ast.Call) -> str | None:
    return getattr(call.func, "id", getattr(call.func, "attr", None))


def _read(
    statements: Sequence[Statement],
    reads: Mapping[tuple[int, str], str],
    none: set[tuple[int, str]],
    name: str,
    folder: str,
) -> dict[int, set[str]]:
    """Replace what measures by what reads, and drop what needs something that no table holds.

    Returns:
        By cell, the names for whose lack something of it was left out.
    """
    lacking: dict[int, set[str]] = {}
    missing: dict[str, set[str]] = {}  # names without a value, and for which lack
    unread = {*reads, *none}
    for statement in statements:
        own = assigned(statement.node)
        here = {key for key in unread if key[0] == statement.cell and key[1] in own}
        unread -= here
        tables = {variable: reads[cell, variable] for cell, variable in reads if (cell, variable) in here}
        if here:
            statement.text = "\n".join(f"{variable} = {_reading(t, folder)}" for variable, t in tables.items())
            missing |= {variable: {variable} for variable in own - tables.keys()}
            own = tables.keys()
        elif needs := _needs(statement, missing):
            told = set().union(*(missing[need] for need in needs))
            if _tellings(statement):
                what = ", ".join(sorted(told))
                raise ConfigError(f"{name}: cannot be told from tables: its answer needs {what}, which no table holds")
            lacking.setdefault(statement.cell, set()).update(told)
            missing |= dict.fromkeys(statement.changes, told)
            statement.text, own = "", set()
        for variable in own:
            missing.pop(variable, None)
    for index, variable in sorted(unread):
        raise ConfigError(f"{name}: cell {index + 1} has a tag for {variable}, which it does not assign")
    return lacking


def _needs(statement: Statement, missing: Mapping[str, set[str]]) -> set[str]:
    """Return which missing names a statement needs; figures that lack are left as they are published."""
    needs = used(statement.node) & missing.keys()
    for call in _tellings(statement) if needs else []:
        if used(call.args[3]) & missing.keys():
            lines = ast.get_source_segment(statement.text, call)
            arguments = [ast.get_source_segment(statement.text, argument) for argument in call.args]
            arguments[3] = "None"
            statement.text = statement.text.replace(lines, f"tell_anew({', '.join(arguments)})", 1)
    return used(statement.node) & missing.keys()


def _tellings(statement: Statement) -> list[ast.Call]:
    """The calls that write figures and conclusion."""
    return [part for part in ast.walk(statement.node) if isinstance(part, ast.Call) and _called(part) == "tell_anew"]


def _rewrite(cell: NotebookNode, statements: Sequence[Statement], lacking: Mapping[int, set[str]]) -> None:
    """Give a cell what its statements are now; the lines between them stay."""
    if "tags" in cell.metadata:
        cell.metadata["tags"] = [tag for tag in cell.metadata["tags"] if not is_tag_of_tables(tag)]
    if not statements:
        return
    lines, kept, at = cell.source.splitlines(), [], 0
    for statement in statements:
        first, after = statement.lines
        kept += [*lines[at:first], *statement.text.splitlines()]
        at = after
    kept += lines[at:]
    without = lacking.get(statements[0].cell)
    if without:
        kept.append(f"# left out: what needs {', '.join(sorted(without))}, which no table holds")
    elif not any(statement.text for statement in statements):
        kept = [line for line in kept if line.startswith(("%", "!"))]
    cell.source = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def _say_so(notebook: NotebookNode, folder: str, lacking: Sequence[str]) -> None:
    """Tell readers of the executed copy, below its title, that nothing was measured; import what reads the tables."""
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    helpers = [
        name for name in ("check_tables", "read_table", "read_tables", "tell_anew") if re.search(rf"\b{name}\(", source)
    ]
    text = (
        f"> **Told from published tables: nothing was measured when this notebook was executed.** What it had measured was read from "
        f"the tables of `{folder}`; their provenance says when, where and with which code that was. What only measuring needs is "
        "not in this copy."
    )
    if lacking:
        text += f" No table holds {', '.join(f'`{name}`' for name in lacking)}: what needs it was left out or is as it was published."
    after = next((i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])), 0)
    call = f"from adabm.study.pages.telling import {', '.join(helpers)}"
    notebook.cells.insert(after + 1, new_code_cell(call))
    notebook.cells.insert(1 if after else 0, new_markdown_cell(text))
