"""Dependencies are found from imports; a changed definition changes keys, moving, importing and explaining do not."""

import pytest

from adabm.errors import ConfigError
from adabm.study.origin.dependencies import CodeTree
from adabm.study.origin.fingerprint import definitions_hash

SCALE = '''
"""A module."""
import math

from ..errors import ScaleError
from .offset import offset

__all__ = ["Scale"]


class Scale:
    """A class."""

    def of(self, value: float) -> float:
        """A method."""
        return math.exp(value) * 2 + offset(value)


def nothing():
    """Only a docstring."""
'''
FILES = {
    "__init__.py": """
__version__ = "1"
_EXPORTS = {"Scale": "core", "run": "api"}


def __getattr__(name):
    from importlib import import_module
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
""",
    "errors.py": "class ScaleError(Exception): ...\n",
    "api.py": "from . import __version__\nfrom .core import Scale\n\ndef run(value):\n    return Scale().of(value)\n",
    "core/__init__.py": '"""A package."""\nfrom .scale import Scale\nfrom .other import other\n\n__all__ = ["Scale", "other"]\n',
    "core/scale.py": SCALE,
    "core/offset.py": "def offset(value):\n    from ..tables import TABLE\n    return TABLE[int(value)]\n",
    "core/other.py": "def other():\n    return 5\n",
    "tables/__init__.py": "from .numbers import TABLE\n",
    "tables/numbers.py": "TABLE = [1, 2, 3]\n",
}


def key(changes: dict[str, str | None] | None = None, *roots: str) -> str:
    """The key of the little package after changes: texts of files, None for one that is removed."""
    files = {name: text for name, text in {**FILES, **(changes or {})}.items() if text is not None}
    tree = CodeTree(files, files.__getitem__)
    return definitions_hash(tree.definitions(tree.reached(roots or ("api",), ("errors",))))


def changed(file: str, before: str, after: str) -> dict[str, str]:
    assert before in FILES[file]
    return {file: FILES[file].replace(before, after)}


# -- what does not count ---------------------------------------------------------------------------

MOVED = {"core/offset.py": None, "deep/__init__.py": "", "deep/inner/__init__.py": ""} | {
    "deep/inner/place.py": FILES["core/offset.py"].replace("..tables", "...tables"),
    "core/scale.py": SCALE.replace("from .offset", "from ..deep.inner.place"),
}
SAME = {
    "docstrings": changed("core/scale.py", "A method.", "Another.\n\n        Text"),
    "no docstring": changed("core/scale.py", '"""A class."""', "# a class"),
    "pass in place of a docstring": changed("core/scale.py", '"""Only a docstring."""', "pass"),
    "comments": changed("core/scale.py", "        return", "\n        # why\n        return"),
    "formatting": changed(
        "core/scale.py", "math.exp(value) * 2 + offset(value)", "(\n math.exp( value )*2 # twice\n +offset(value))"
    ),
    "an import more": changed("core/scale.py", "import math\n", "import math\nimport json\n"),
    "an import inside a function": changed("core/scale.py", "        return", "        import json\n        return"),
    "an absolute import": changed("core/scale.py", "from .offset", "from adabm.core.offset"),
    "an import for types alone": changed(
        "core/scale.py",
        "class Scale:",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .other import other\n\n\nclass Scale:",
    ),
    "exported names": changed("core/scale.py", '["Scale"]', '["Scale", "nothing"]'),
    "exports of a package": changed("core/__init__.py", "from .other import other\n", ""),
    "the version": changed("__init__.py", '"1"', '"2"'),
    "a lazily exported name": changed("__init__.py", '"run": "api"', '"run": "api", "other": "core"'),
    "what is neutral": changed("errors.py", "...", "value = 1"),
    "what is not imported": changed("core/other.py", "5", "6"),
    "a module that nothing imports": {"core/more.py": "x = 1\n"},
    "a module of another name": {"core/offset.py": None, "core/shift.py": FILES["core/offset.py"]}
    | changed("core/scale.py", "from .offset", "from .shift"),
    "a module of another folder": MOVED,
    "a module split in two": changed("core/scale.py", '\n\ndef nothing():\n    """Only a docstring."""\n', "")
    | changed("api.py", "import Scale", "import Scale, nothing")
    | {
        "core/__init__.py": "from .scale import Scale\nfrom .nothing import nothing\n",
        "core/nothing.py": "def nothing():\n    ...\n".replace("...", "pass"),
    },
    "modules merged": {"tables/numbers.py": None, "tables/__init__.py": None, "core/offset.py": None}
    | {"tables.py": "TABLE = [1, 2, 3]\n\n\ndef offset(value):\n    return TABLE[int(value)]\n"}
    | changed("core/scale.py", "from .offset", "from ..tables"),
    "a definition at the place of its import": {"tables/numbers.py": None, "tables/__init__.py": "TABLE = [1, 2, 3]\n"},
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_not_computed_does_not_count(case):
    assert FILES | SAME[case] != FILES and key(SAME[case]) == key()


# -- what counts -----------------------------------------------------------------------------------

CHANGED = {
    "a factor": changed("core/scale.py", "* 2", "* 3"),
    "an operator": changed("core/scale.py", "* 2", "/ 2"),
    "a function": changed("core/scale.py", "math.exp", "math.log"),
    "brackets": changed("core/scale.py", "value) * 2", "value * 2)"),
    "a name": changed("core/scale.py", "def nothing", "def something"),
    "a statement": changed("core/scale.py", "return math", "print('text')\n        return math"),
    "a default": changed("core/scale.py", "value: float", "value: float = 1.0"),
    "a class": changed("core/scale.py", "class Scale", "class Scale(dict)"),
    "one that is imported by one that is imported": changed("tables/numbers.py", "[1, 2, 3]", "[1, 2, 4]"),
    "one that a function imports": changed("core/offset.py", "TABLE[int(value)]", "TABLE[int(value) + 1]"),
    "what a package computes": changed("tables/__init__.py", "TABLE\n", "TABLE\n\nTABLE.append(4)\n"),
    "what a package above computes": {"core/__init__.py": FILES["core/__init__.py"] + "\nprint(other())\n"},
    "one more that is imported": changed("api.py", "import Scale", "import Scale, other"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_changed_code_counts(case):
    assert key(CHANGED[case]) != key()


def test_roots_count_with_all_that_they_reach():
    assert len({key(None, root) for root in ("api", "core", "core.scale", "tables")}) == 4
    assert key(None, "core", "api") == key(None, "api", "core") != key(None, "core")
    assert key(changed("core/other.py", "5", "6"), "core") != key(None, "core"), "a package is all modules in it"
    assert key(changed("errors.py", "...", "value = 1"), "errors") != key(None, "errors"), "even if it is neutral"
    with pytest.raises(ConfigError, match="no module 'apl' in adabm: did you mean 'api'"):
        key(None, "apl")


@pytest.mark.parametrize(
    "text, reached",
    [
        ("import adabm\nadabm.Scale\n", True),
        ("import adabm\nadabm.core.scale.Scale\n", True),
        ("import adabm\nadabm.core.other()\n", False),
        ("import adabm.tables.numbers\n", True),
        ("import adabm.core.offset as o\n", True),
        ("import adabm as a\ngetattr(a, 'Sca' + 'le')\n", True),
        ("import adabm\n", False),
        ("from adabm import run\n", True),
        ("from adabm import core\ncore.Scale()\n", True),
        ("from adabm import core\ncore.other()\n", False),
        ("from adabm import *\n", True),
        ("from adabm.core import *\n", True),
        ("from adabm.core import other\n", False),
        ("from adabm import __version__\n", False),
        ("def f():\n    import adabm.api\n", True),
        ("from .beside import x\n", True),
        ("from . import beside\n", True),
        ("import beside\n", True),
        ("import beside as b\n", True),
        ("import json, numpy.linalg\n", False),
    ],
)
def test_a_users_file_is_followed_to_the_definitions(tmp_path, text, reached):
    mine = tmp_path / "mine.py"
    mine.write_text(text)
    (tmp_path / "beside.py").write_text("from adabm.core.offset import offset as x\n")
    table = changed("tables/numbers.py", "[1, 2, 3]", "[0]")
    assert (key(table, str(mine)) != key(None, str(mine))) == reached
