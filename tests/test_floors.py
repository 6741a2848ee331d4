"""The package's folders lie on floors: what is above imports what is below, never the other way, and nothing in a circle."""

import ast
from functools import cache
from pathlib import Path

import adabm

PACKAGE = Path(adabm.__file__).parent
# From the bottom up; what stands on one floor does not know of its neighbours.
FLOORS = (
    {"", "errors", "suggestions", "_torchvision", "full_precision"},
    {"_compat", "own_functions", "validation"},
    {"support"},
    {"repair_environment", "pictures"},
    {"networks"},
    {"quantization"},
    {"steps", "turns"},
    {"recipes"},
    {"wrapping"},
    {"checkpoints"},
    {"api"},
    {"engines", "guarded", "sampling"},
    {"study"},
    {"cli"},
    {"__main__"},
)


@cache
def imports() -> dict[str, set[str]]:
    """The modules of the package that each module imports, anywhere in it."""
    modules = {_name(path): path for path in PACKAGE.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = [*here[: len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
                for alias in node.names:
                    inner = ".".join([*base, alias.name]).strip(".")
                    found[name].add(inner if inner in modules else ".".join(base).strip("."))
    return found


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(module: str) -> int:
    return next(index for index, floor in enumerate(FLOORS) if module.split(".")[0] in floor)


def test_every_module_has_a_floor():
    assert {module.split(".")[0] for module in imports()} == set().union(*FLOORS)


def test_no_import_runs_upward_or_to_a_neighbour():
    for module, targets in imports().items():
        for target in targets:
            same = module.split(".")[0] == target.split(".")[0]
            assert same or floor(target) < floor(module), f"{module} imports {target}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: {t for t in targets if t != module} for module, targets in imports().items()}
    packages = {module for module in graph if (PACKAGE / module.replace(".", "/")).is_dir()}
    graph = {module: targets - packages for module, targets in graph.items() if module not in packages}
    while graph:
        leaves = {module for module, targets in graph.items() if not targets & graph.keys()}
        assert leaves, f"a circle among {', '.join(sorted(graph))}"
        graph = {module: targets for module, targets in graph.items() if module not in leaves}
