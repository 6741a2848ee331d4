"""What code a module depends on, found from its imports, and the hash of each definition in it."""

import ast
import functools
import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ConfigError
from ...suggestions import suggestion
from ...support.plugins import unedited
from .source import Source
from .users_files import imported_files, loaded_files


@dataclass(frozen=True)
class Definition:
    """A statement at the top of a module: a function, a class, an assignment."""

    name: str
    file: str


class CodeTree:
    """The modules of a package, as they are in a folder or were at a commit, and users' files that import them.

    A module is known by its dotted name inside the package ("" is the package itself), a user's file by its path.

    Args:
        files: of the package, relative to its folder, such as ``steps/calibration.py``.
        read: returns the text of one of them.
        package: its name, by which users' files import it.
    """

    def __init__(self, files: Collection[str], read: Callable[[str], str], package: str = "adabm") -> None:
        self._files = {_module(file): file for file in files}
        self._read, self.package = read, package
        self._sources: dict[str, Source] = {}
        self._dependencies: dict[str, set[str]] = {}  # of its modules; next to a user's file another may appear

    @classmethod
    def of_folder(cls, folder: Path) -> "CodeTree":
        """The package in a folder of its name."""
        files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
        return cls(files, lambda file: (folder / file).read_text(encoding="utf-8"), folder.name)

    @property
    def modules(self) -> list[str]:
        """Names of all modules of the package, packages among them."""
        return sorted(self._files)

    def reached(self, roots: Collection[str], neutral: Collection[str] = ()) -> set[str]:
        """Return all that the roots depend on, themselves included, and nothing neutral or beyond it.

        Args:
            roots: modules, packages (all modules in them) and paths of users' files; they count even where neutral.
            neutral: modules and packages.

        Raises:
            ConfigError: a root does not exist, or a module cannot be parsed.
        """
        waiting = [module for root in roots for module in self._expanded(root, neutral)]
        seen: set[str] = set()
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += [found for found in self.dependencies(module) if not _is_neutral(found, neutral)]
        return seen

    def definitions(self, modules: Collection[str]) -> dict[str, Definition]:
        """Return the top statements of the package's modules by the hash of their syntax trees, without docstrings and imports."""
        found = {}
        for module in sorted(module for module in modules if not _is_path(module)):
            source = self._source(module)
            named = source.own_digests if self._is_package(module) else source.digests
            found |= {digest: Definition(name, self._files[module]) for digest, name in named.items()}
        return found

    def users_files(self, roots: Collection[str], neutral: Collection[str] = ()) -> dict[str, dict[str, str]]:
        """Return, for each root that is a user's file, that and the user's files that it reaches, by their paths.

        Each has the hash of its whole syntax tree, in order and with its imports, since what a user's file holds need not be
        written as a package's modules are: statements may depend on those above, names on where they come from.
        """
        paths = [path for root in roots if _is_path(root) for path in self._expanded(root, neutral)]
        reached = {path: sorted(filter(_is_path, self.reached([path], neutral))) for path in paths}
        return {root: {file: self._source(file).whole for file in files} for root, files in reached.items()}

    def dependencies(self, module: str) -> set[str]:
        """Return what a module imports, each name followed to the module that defines it."""
        if module not in self._files:
            return self._followed(module)
        if module not in self._dependencies:
            self._dependencies[module] = self._followed(module)
        return self._dependencies[module]

    def _followed(self, module: str) -> set[str]:
        source = self._source(module)
        found = {parent for parent in self._parents(module) if self._source(parent).own}
        found |= set().union(*(self._resolve(module, name) for name in source.lazy if self._is_package(module)))
        for node in source.imports:
            for alias in node.names:
                found |= self._imported(module, source, node, alias)
        if _is_path(module):
            found |= loaded_files(Path(module), source)
        return found - {module}

    def _imported(self, module: str, source: Source, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> set[str]:
        relative = node.level if isinstance(node, ast.ImportFrom) else 0
        name = alias.name if isinstance(node, ast.Import) else node.module or ""
        base = self._base(module, name, relative)
        if base is None:
            inner = "" if isinstance(node, ast.Import) else alias.name
            return imported_files(Path(module), name, relative, inner) if _is_path(module) else set()
        if isinstance(node, ast.ImportFrom):
            targets = {base} if alias.name == "*" else self._resolve(base, alias.name)
            return self._narrowed(targets, source.chains.get(alias.asname or alias.name, ()), base)
        if alias.asname:
            return self._narrowed({base}, source.chains.get(alias.asname, ()))
        return self._narrowed({""}, source.chains.get(self.package, ())) | (set() if self._is_package(base) else {base})

    def _narrowed(self, targets: set[str], chains: Iterable[tuple[str, ...]], whole: str | None = None) -> set[str]:
        """In place of packages put what chains of attributes ask of them; one that is used by its name counts whole."""
        packages = {target for target in targets if target != whole and self._is_package(target)}
        found = targets - packages
        for package, chain in itertools.product(packages, chains):
            found |= self._narrowed(self._resolve(package, chain[0]), [chain[1:]], package) if chain else {package}
        return found

    def _base(self, module: str, name: str, relative: int) -> str | None:
        """The module of this package that an import names; None for any other."""
        if relative and not _is_path(module):
            package = module.split(".") if module else []
            package = package[: len(package) + (1 if self._is_package(module) else 0) - relative]
            base = ".".join([*package, *filter(None, [name])])
        elif not relative and name.split(".")[0] == self.package:
            base = name.partition(".")[2]
        else:
            return None
        return base if base in self._files else None

    def _resolve(self, base: str, name: str) -> set[str]:
        """The module that defines a name which is imported from ``base``; a package itself where nothing else does."""
        if not self._is_package(base):
            return {base}
        source = self._source(base)
        if _join(base, source.lazy.get(name, "?")) in self._files:
            return self._resolve(_join(base, source.lazy[name]), name)
        for node in source.imports:
            for alias in node.names:
                if isinstance(node, ast.ImportFrom) and name == (alias.asname or alias.name):
                    origin = self._base(base, node.module or "", node.level)
                    if origin is not None and origin != base:
                        return self._resolve(origin, alias.name)
        if _join(base, name) in self._files:
            return {_join(base, name)}
        return set() if name.startswith("__") else {base}

    def _expanded(self, root: str, neutral: Collection[str]) -> list[str]:
        if _is_path(root):
            if not Path(root).is_file():
                raise ConfigError(f"{root}: no such file; its code cannot be read")
            return [str(Path(root).resolve())]
        if root not in self._files:
            raise ConfigError(f"no module {root!r} in {self.package}: {suggestion(root, self.modules)}")
        if not self._is_package(root):
            return [root]
        return [
            m
            for m in self._files
            if m.startswith(f"{root}.") and not self._is_package(m) and not _is_neutral(m, neutral)
        ]

    def _parents(self, module: str) -> list[str]:
        if _is_path(module) or not module:
            return []
        parts = module.split(".")
        return [".".join(parts[:length]) for length in range(len(parts)) if ".".join(parts[:length]) in self._files]

    def _is_package(self, module: str) -> bool:
        return PurePosixPath(self._files.get(module, "")).name == "__init__.py"

    def _source(self, module: str) -> Source:
        if module not in self._sources:
            file = self._files.get(module, module)
            try:
                text = unedited(Path(module)).decode("utf-8-sig") if _is_path(module) else self._read(file)
            except UnicodeDecodeError as error:
                raise ConfigError(f"{file}: cannot be read as Python ({error})") from None
            self._sources[module] = _parsed(text, file)
        return self._sources[module]


@functools.lru_cache(maxsize=1024)
def _parsed(text: str, file: str) -> Source:
    """Parse a file once for all trees: from commit to commit most files stay as they are."""
    return Source(text, file)


def _module(file: str) -> str:
    parts = PurePosixPath(file).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _join(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def _is_path(module: str) -> bool:
    return module.endswith(".py")


def _is_neutral(module: str, neutral: Collection[str]) -> bool:
    return any(module == entry or module.startswith(f"{entry}.") for entry in neutral)
