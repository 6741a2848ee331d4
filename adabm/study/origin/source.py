"""A parsed module: what it imports, and the statements at its top that compute something."""

import ast
import hashlib
from functools import cached_property

from ...errors import ConfigError


class _Stripper(ast.NodeTransformer):
    """Drops docstrings and ``pass``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None


class _Reader(_Stripper):
    """Takes imports out of a syntax tree and keeps them; drops what is never computed, imports for types too."""

    def __init__(self) -> None:
        self.imports: list[ast.Import | ast.ImportFrom] = []

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imports.append(node)

    visit_ImportFrom = visit_Import

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if "TYPE_CHECKING" not in (getattr(node.test, "id", None), getattr(node.test, "attr", None)):
            return self.generic_visit(node)
        otherwise = ast.Module(node.orelse, [])
        return self.generic_visit(otherwise).body


class Source:
    """A parsed module: its imports, wherever they stand, and its top statements without them."""

    def __init__(self, text: str, file: str) -> None:
        reader = _Reader()
        try:
            self.statements: list[ast.stmt] = reader.visit(ast.parse(text)).body
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"{file}: cannot be read as Python ({error})") from None
        self.imports = reader.imports
        self._text = text

    @cached_property
    def whole(self) -> str:
        """Hash of the whole syntax tree, imports among its statements, each in its place; docstrings do not count."""
        return hashlib.sha256(ast.dump(_Stripper().visit(ast.parse(self._text))).encode()).hexdigest()

    def literals(self, *functions: str) -> list[str]:
        """Return the texts that are the first argument of calls of functions of these names, wherever they stand."""
        calls = [node for statement in self.statements for node in ast.walk(statement) if isinstance(node, ast.Call)]
        named = [c for c in calls if (getattr(c.func, "id", None) or getattr(c.func, "attr", None)) in functions]
        first = [(*call.args, *(keyword.value for keyword in call.keywords))[:1] for call in named]
        return [a.value for found in first for a in found if isinstance(a, ast.Constant) and isinstance(a.value, str)]

    @cached_property
    def lazy(self) -> dict[str, str]:
        """Names that ``__getattr__`` of a package imports on first use, and the modules that have them."""
        if not any(getattr(s, "name", None) == "__getattr__" for s in self.statements):
            return {}
        tables = [statement.value for statement in self.statements if _is_table(statement)]
        return {name.value: module.value for table in tables for name, module in zip(table.keys, table.values)}

    @cached_property
    def own(self) -> list[ast.stmt]:
        """What the ``__init__`` of a package computes beyond importing and exporting names."""
        return [statement for statement in self.statements if not self._exports(statement)]

    def _exports(self, statement: ast.stmt) -> bool:
        name = getattr(statement, "name", None)
        return (
            _assigns_dunder(statement)
            or name in ("__getattr__", "__dir__")
            or (bool(self.lazy) and _is_table(statement))
        )

    @cached_property
    def digests(self) -> dict[str, str]:
        """Names of the statements by the hashes of their syntax trees; ``__all__`` does not count."""
        return _digests(self.statements)

    @cached_property
    def own_digests(self) -> dict[str, str]:
        """Those of :attr:`own`."""
        return _digests(self.own)

    @cached_property
    def chains(self) -> dict[str, list[tuple[str, ...]]]:
        """By name, the attributes that are asked of it, such as (networks, describe); () where it stands alone."""
        nodes = [node for statement in self.statements for node in ast.walk(statement)]
        inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        found: dict[str, list[tuple[str, ...]]] = {}
        for node in nodes:
            if id(node) in inner or not isinstance(node, (ast.Attribute, ast.Name)):
                continue
            chain: list[str] = []
            while isinstance(node, ast.Attribute):
                chain.insert(0, node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                found.setdefault(node.id, []).append(tuple(chain))
        return found


def _digests(statements: list[ast.stmt]) -> dict[str, str]:
    counted = [statement for statement in statements if "__all__" not in _targets(statement)]
    return {hashlib.sha256(ast.dump(statement).encode()).hexdigest(): _name(statement) for statement in counted}


def _name(statement: ast.stmt) -> str:
    return getattr(statement, "name", None) or ", ".join(_targets(statement)) or ast.unparse(statement)[:60]


def _targets(statement: ast.stmt) -> list[str]:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _assigns_dunder(statement: ast.stmt) -> bool:
    return any(name.startswith("__") and name.endswith("__") for name in _targets(statement))


def _is_table(statement: ast.stmt) -> bool:
    """Whether it assigns a literal dictionary of text to a private name."""
    value = getattr(statement, "value", None)
    return (
        isinstance(value, ast.Dict)
        and any(name.startswith("_") for name in _targets(statement))
        and all(isinstance(p, ast.Constant) and isinstance(p.value, str) for p in (*value.keys, *value.values))
    )
