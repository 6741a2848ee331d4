"""The statements of a notebook's cells: which names each reads and assigns, and which of them the rest needs."""

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adabm.errors import ConfigError

if TYPE_CHECKING:
    from nbformat import NotebookNode

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_PURE = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.FunctionDef)
_CHANGING = ("add", "append", "extend", "insert", "setdefault", "update")  # methods


@dataclass
class Statement:
    """A statement of a cell, in whole lines.

    Attributes:
        cell: index of its cell.
        lines: its first and the one after its last, from 0.
        text: what stands there now; several statements where it was replaced, empty where it was dropped.
        loose: it may be dropped although it does more than to assign.
    """

    cell: int
    lines: tuple[int, int]
    text: str
    loose: bool

    @property
    def node(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def changes(self) -> set[str]:
        """Names that it gives a value, or whose value it changes."""
        return assigned(self.node) | changed(self.node)

    @property
    def droppable(self) -> bool:
        """Whether it may be dropped where nothing needs what it assigns: it only assigns, or it is loose."""
        return self.loose or all(isinstance(node, _PURE) for node in self.node.body)


def statements_of(
    cell: "NotebookNode", index: int, name: str, loose: Callable[[ast.stmt], bool]
) -> Iterator[Statement]:
    """Give the statements of a cell of code; magics are none.

    Args:
        index: of the cell.
        name: of the notebook, for errors.
        loose: tells of a statement whether it may be dropped although it does more than to assign.

    Raises:
        ConfigError: the cell is not plain Python, or two statements share a line.
    """
    where, lines = f"{name}: cell {index + 1}", cell.source.splitlines()
    plain = ("#" + line[1:] if line.startswith(("%", "!")) else line for line in lines)
    try:
        nodes = ast.parse("\n".join(plain)).body
    except SyntaxError as error:
        raise ConfigError(f"{where} is not plain Python: {error}") from None
    for node, following in zip(nodes, [*nodes[1:], None]):
        if following is not None and following.lineno <= node.end_lineno:
            raise ConfigError(f"{where}, line {following.lineno}: give each statement a line of its own")
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        yield Statement(index, (node.lineno - 1, node.end_lineno), text, loose(node))


def used(node: ast.AST, own: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of the notebook that code reads.

    Args:
        own: names of a function or comprehension around it.
    """
    if isinstance(node, ast.Name):
        return {node.id} - own if isinstance(node.ctx, ast.Load) else set()
    found, inner = set(), own
    if isinstance(node, _COMPREHENSIONS):
        found = used(node.generators[0].iter, own)
        inner = own | _stored(node.generators)
    elif isinstance(node, ast.Lambda | ast.FunctionDef):
        inner = own | {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)} | _stored([node])
    elif isinstance(node, ast.AugAssign):
        found = {part.id for part in [node.target] if isinstance(part, ast.Name)}
    return found.union(*(used(child, inner) for child in ast.iter_child_nodes(node)))


def assigned(node: ast.AST) -> set[str]:
    """Return the names of the notebook to which code gives a value."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.alias(name=name, asname=other):
            return {other or name.split(".")[0]}
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return set()
    return set().union(*(assigned(child) for child in ast.iter_child_nodes(node)))


def _stored(nodes: Collection[ast.AST]) -> set[str]:
    names = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def changed(node: ast.AST) -> set[str]:
    """Return the names whose value gets or loses a part."""
    found = set()
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in _CHANGING:
                found.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()):
                found.add(name)
    return found


def drop_unneeded(statements: Sequence[Statement], idle: Collection[str] = ()) -> None:
    """Drop what only assigns names that no other statement needs; of imports the names alone.

    Args:
        idle: imported names that stay although nothing reads them.
    """
    waiting = [s for s in statements if s.droppable]
    needed = {*idle}.union(*(used(s.node) for s in statements if not s.droppable))
    while kept := [s for s in waiting if s.changes & needed]:
        waiting = [s for s in waiting if s not in kept]
        needed |= set().union(*(used(s.node) for s in kept))
    for statement in statements:
        if statement in waiting:
            statement.text = ""
        elif statement.text and assigned(statement.node) - needed:
            statement.text = _of_import(statement, needed)


def _of_import(statement: Statement, needed: Collection[str]) -> str:
    """Return an import without the names that are not needed; any other statement as it is."""
    node = statement.node.body[0]
    if not isinstance(node, ast.ImportFrom):
        return statement.text
    node.names = [alias for alias in node.names if (alias.asname or alias.name) in needed]
    return ast.unparse(node)
