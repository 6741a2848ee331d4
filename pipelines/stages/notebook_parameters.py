"""The parameters of a notebook: which it declares, which it is given, and whether they agree.

Papermill alone accepts a misspelt name, prints a warning and runs with the default. Here every
declared parameter must be given, nothing else may be, and each value must fit its annotation.
"""

import ast
import contextlib
import difflib
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adabm.errors import ConfigError
from adabm.support.yaml_files import parse_yaml, read_yaml
from adabm.validation import shown

if TYPE_CHECKING:
    from nbformat import NotebookNode  # takes longer than all else of what only reads parameters

_CHANGING = {"changes", "counts"}  # of settings, and of a number by strategy: none where all is as usual
_ELSEWHERE = {"changes", "plan"}  # which are checked where they are read
# numbers of which none can be 0, and those that are a part of a whole
_COUNTED = {
    *("bits", "weight_bits", "activation_bits", "sizes", "steps", "targets", "pictures", "count", "number", "held_out"),
    *("side", "patch_size", "patches", "repeats", "steps_per_round", "directions", "draws", "patience", "speed"),
}
_NETWORKS = {"backbones", "networks"}
_SEEDS = {"seed", "seeds"}
_SHARES = {"share", "shares"}
_MOST = 1_000_000  # of what is counted


def declared_parameters(notebook: "NotebookNode", name: str) -> dict[str, ast.expr]:
    """Return the annotation of each variable that the cell tagged ``parameters`` assigns.

    A variable without annotation takes the type of its default. ``papermill.inspect_notebook``
    is not asked: it silently drops ``int | None`` and every line with two equals signs.
    """
    declared = {}
    for statement in _statements(notebook, name):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=variable), annotation=annotation):
                declared[variable] = annotation
            case ast.Assign(targets=[ast.Name(id=variable)], value=value):
                declared[variable] = ast.Name(id=_literal_type(value))
            case _:
                raise ConfigError(
                    f"{name}: the parameters cell may hold assignments only, "
                    f"move `{ast.unparse(statement)}` to the next cell"
                )
    return declared


def optional_collections(notebook: "NotebookNode", name: str) -> set[str]:
    """Return the parameters that may be empty: what a notebook's own default leaves empty, and what only changes others."""
    assigned = [statement for statement in _statements(notebook, name) if hasattr(statement, "value")]
    targets = [s.target if isinstance(s, ast.AnnAssign) else s.targets[0] for s in assigned]
    return {target.id for target, s in zip(targets, assigned) if ast.unparse(s.value) in ("[]", "{}")} | _CHANGING


def _statements(notebook: "NotebookNode", name: str) -> list[ast.stmt]:
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    try:
        return ast.parse(cells[0].source).body if cells else []
    except SyntaxError as error:
        raise ConfigError(f"{name}: the parameters cell is not plain Python: {error}") from None


def _literal_type(value: ast.expr) -> str:
    try:
        return type(ast.literal_eval(value)).__name__
    except ValueError:
        return f"type of `{ast.unparse(value)}`"  # no literal: fits no value, and the message says why


def read_block(params: Path, block: str) -> dict[str, Any]:
    """Return one top-level block of a YAML file of parameters."""
    blocks = read_yaml(params)
    if not isinstance(blocks, dict):
        raise ConfigError(f"{params} must hold named blocks of parameters")
    if block not in blocks:
        names = ", ".join(map(str, blocks))
        raise ConfigError(f"{params} has no block '{block}'{_hint(block, blocks)}; it has: {names}")
    values = {} if blocks[block] is None else blocks[block]
    if not isinstance(values, dict):
        raise ConfigError(f"{params}: block '{block}' must hold `name: value` pairs, it is {values!r}")
    return values


def read_executor(params: Path) -> str | None:
    """Return where the tasks of a profile run: ``executor`` of its block ``profile``; None where it says nothing.

    It stands there and not among a question's parameters since no result depends on it.
    """
    try:
        profile = read_block(params, "profile")
    except ConfigError:  # a file of blocks alone
        return None
    executor = profile.get("executor")
    if executor is not None and not isinstance(executor, str):
        raise ConfigError(
            f"{params}: executor = {executor!r} of block 'profile' must be a name such as processes or dask"
        )
    return executor


def check_parameters(
    declared: dict[str, ast.expr],
    given: dict[str, Any],
    name: str,
    complete: bool = True,
    optional: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return ``given`` with integers turned into floats where floats are declared.

    Unless it is to be ``complete``, what is not given keeps the notebook's default.

    Args:
        optional: see :func:`optional_collections`; None: all may be empty.

    Raises:
        ConfigError: a name is unknown or missing, or a value does not fit its annotation, is empty and may not be, names
            something twice, or is a number that no question can be asked with.
    """
    if given and not declared:
        raise ConfigError(f"{name} has no cell tagged 'parameters' that could take {', '.join(map(str, given))}")
    problems = [f"no parameter '{key}'{_hint(key, declared)}" for key in given if key not in declared]
    problems += [
        f"missing value for '{key}': {ast.unparse(declared[key])}" for key in declared if complete and key not in given
    ]
    if problems:
        raise ConfigError(f"{name}: {'; '.join(problems)}; its parameters are: {', '.join(declared)}")
    checked = {}
    for key, value in given.items():
        try:
            checked[key] = _fit(value, declared[key])
        except TypeError:
            raise ConfigError(
                f"{name}: '{key}: {ast.unparse(declared[key])}' cannot take {shown(value)} ({type(value).__name__}); "
                "a type is int, float, str, bool, dict, list, list[...], dict[str, ...] or `... | None`"
            ) from None
        if optional is not None and key not in optional and _lacks_all(checked[key], declared[key]):
            raise ConfigError(
                f"{name}: '{key}' is empty ({shown(value)}), and nothing could be measured; name at least one"
            )
        if fault := next(_faults(key, key, checked[key]), None):
            raise ConfigError(f"{name}: {fault}")
    return checked


def _faults(place: str, key: str, value: Any) -> Iterator[str]:
    """Tell what no question can be asked with: numbers that are none, negative ones, empty texts, and what a list names twice."""
    if key in _ELSEWHERE:
        return
    if isinstance(value, dict):
        if key in _NETWORKS:
            same = [_network(name, item) for name, item in value.items()]
            for number, name in enumerate(value):
                if same[number] in same[:number]:
                    yield f"'{place}' names the network of {shown(name)} twice, which would count twice or not at all; name it once, with all seeds"
        for inner, item in value.items():
            yield from _faults(f"{place}, {inner}", str(inner), item)
    elif value == "":
        yield f"'{place}' is empty ({shown(value)}); give it a value"
    elif value == [] and key in _SEEDS:
        yield f"'{place}' is empty ({shown(value)}), and nothing could be measured; name at least one"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if item in value[:number]:
                yield f"'{place}' names {shown(item)} twice, which would count twice; name it once"
            if not isinstance(item, (list, dict)):
                yield from _faults(place, key, item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if key in _SEEDS and not isinstance(value, int):
            yield f"'{place}' cannot be {shown(value)}; it must be a whole number, 0 or more"
            return
        part, counted = key in _SHARES, key in _COUNTED
        most = 1 if part else _MOST if counted else math.inf
        if not (value > 0 if part or counted else value >= 0) or not value < most:
            ends = f"more than 0 and less than {most:,}" if part or counted else "0 or more, and finite"
            yield f"'{place}' cannot be {shown(value)}; it must be {ends}"


def _network(name: str, entry: Any) -> object:
    """What two entries of ``backbones`` or ``networks`` must not share: the file, or all but seeds and bits."""
    if not isinstance(entry, dict) or "backbone" not in entry:
        return Path(name).stem
    return {key: item for key, item in entry.items() if key not in ("seeds", "setting")}


def _lacks_all(value: Any, annotation: ast.expr) -> bool:
    """Whether a list or dictionary is empty, or one of the lists in it."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
            lists = () if ast.unparse(item) == "dict" else value.values()
            return not value or any(_lacks_all(inner, item) for inner in lists)
        case ast.Name(id="list") | ast.Subscript(value=ast.Name(id="list")):
            return value == []
        case ast.Name(id="dict"):
            return value == {}
    return False


def _fit(value: Any, annotation: ast.expr) -> Any:
    match annotation:
        case ast.Name(id="float") if type(value) in (int, float):
            return float(value)
        case ast.Name(id="float") if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            return float(value)  # YAML 1.1 takes 1e-3 for text, though DVC reads a number
        case ast.Name(id="int" | "str" | "bool" | "list" | "dict" as kind) if type(value).__name__ == kind:
            return value
        case ast.Subscript(value=ast.Name(id="list"), slice=item) if isinstance(value, list):
            return [_fit(v, item) for v in value]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), item])) if isinstance(
            value, dict
        ) and all(isinstance(key, str) for key in value):
            return {key: _fit(v, item) for key, v in value.items()}
        case ast.Constant(value=None) if value is None:
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            with contextlib.suppress(TypeError):
                return _fit(value, left)
            return _fit(value, right)
    raise TypeError


def parse_overrides(pairs: list[list[str]]) -> dict[str, Any]:
    """Return the values of ``-p name value``, each read as YAML like those of the file."""
    values = {}
    for name, text in pairs:
        if name in values:
            raise ConfigError(f"-p {name}: is given twice; give it once")
        try:
            values[name] = parse_yaml(text)
        except ConfigError as error:
            raise ConfigError(f"-p {name}: {text!r} {error}; quote it if it is a string") from None
    return values


def _hint(key: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(key), [str(k) for k in known], cutoff=0.5)
    return f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""
