"""Which definitions of the code a table was computed with differ from those of today."""

import ast
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ...errors import ConfigError, DataError
from .dependencies import CodeTree, Definition
from .fingerprint import NEUTRAL, code_hash, package

_SHOWN = 5


@cache
def tree_at(root: Path, commit: str) -> CodeTree:
    """Return the package as it was at a commit.

    Raises:
        DataError: git does not know the commit.
    """
    files = _git(root, "ls-tree", "-r", "--name-only", commit, "adabm/").splitlines()
    files = [file.removeprefix("adabm/") for file in files if file.endswith(".py")]
    if not files:
        raise DataError(f"commit {commit[:10]} holds no package adabm")
    return CodeTree(files, lambda file: _git(root, "show", f"{commit}:./adabm/{file}"))


def neutral_at(root: Path, commit: str) -> tuple[str, ...]:
    """Return what counted as neutral at a commit, see :data:`.fingerprint.NEUTRAL`.

    Raises:
        DataError: git does not know the commit, or it has no such list.
    """
    statements = ast.parse(_git(root, "show", f"{commit}:./adabm/study/origin/fingerprint.py")).body
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id="NEUTRAL")], value=value):
                return tuple(ast.literal_eval(value))
    raise DataError(f"commit {commit[:10]} does not tell what no number depends on")


def file_at(root: Path, commit: str, path: str) -> str | None:
    """Return a file as it was at a commit, or None where there was none."""
    try:
        return _git(root, "show", f"{commit}:./{path}")
    except DataError:
        return None


def commits_of(root: Path, path: Path) -> list[str]:
    """Return the commits that changed a file, the latest first; none where git cannot tell."""
    try:
        return _git(root, "log", "--format=%H", "--", str(path.resolve())).split()
    except DataError:
        return []


def code_state(groups: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return the hash of each group of the code as it is now, and of all that they reach each definition, by file."""
    definitions: dict[str, dict[str, str]] = {}
    for roots in groups.values():
        for digest, found in _definitions(tuple(roots)).items():
            definitions.setdefault(found.file, {})[digest] = found.name
    sorted_ = {file: dict(sorted(definitions[file].items())) for file in sorted(definitions)}
    return {"code_sha256": {name: code_hash(*roots) for name, roots in groups.items()}, "definitions": sorted_}


def tell_definitions(
    roots: Sequence[str], sha256: str, states: Sequence[Mapping], root: Path, commit: str | None
) -> str:
    """Tell which definitions of a group of the code are not those of the code that had this hash, such as ``fine_tune (adabm/steps/tuner.py)``.

    Args:
        states: what :func:`code_state` returned earlier; one that knows the hash tells it, git's ``commit`` else.

    Returns:
        "" where it cannot be told.
    """
    then = next((s["definitions"] for s in states if sha256 in s["code_sha256"].values()), None)
    if then is None:
        then = _definitions_at(root, commit)
    if then is None:
        return ""
    now, everywhere = _definitions(tuple(roots)), _definitions(None)
    known = {digest for named in then.values() for digest in named}
    changed = {(found.name, found.file) for digest, found in now.items() if digest not in known}
    files = {found.file for found in now.values()}
    changed |= {
        (name, file)
        for file, named in then.items()
        for digest, name in named.items()
        if digest not in everywhere and file in files
    }
    told = [f"{name} (adabm/{file})" for name, file in sorted(changed, key=lambda pair: pair[::-1])]
    return ", ".join(told[:_SHOWN]) + (f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")


@cache
def _definitions(roots: tuple[str, ...] | None) -> dict[str, Definition]:
    """The definitions that roots reach in the package as it is now, or all of them; by their hash."""
    tree = package()
    return tree.definitions(tree.modules if roots is None else tree.reached(roots, NEUTRAL))


@cache
def _definitions_at(root: Path, commit: str | None) -> dict[str, dict[str, str]] | None:
    """By file and hash the names of all definitions of the package at a commit; None where git does not know it."""
    if commit is None:
        return None
    found: dict[str, dict[str, str]] = {}
    try:
        tree = tree_at(root, commit)
        for digest, definition in tree.definitions(tree.modules).items():
            found.setdefault(definition.file, {})[digest] = definition.name
    except (ConfigError, DataError, OSError):
        return None
    return found


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[:1] or ["git failed"]
        raise DataError(f"the code that wrote it cannot be read; the history may have been rewritten ({reason[0]})")
    return done.stdout
