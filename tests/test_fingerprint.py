"""The code that keys of this package follow: what each root reaches, what is neutral, functions that users register."""

import functools
import importlib.util
import itertools
import linecache
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import adabm
from adabm.errors import ConfigError
from adabm.study.origin import fingerprint
from adabm.study.origin.dependencies import CodeTree
from adabm.study.origin.fingerprint import (
    INTERVENING,
    MEASURING,
    NETWORKS,
    NEUTRAL,
    QUANTIZING,
    SAMPLING,
    STEPS,
    STUDYING,
    code_hash,
    definition_hash,
    definition_root,
    definitions_hash,
    package,
)
from adabm.study.origin.provenance import COLLECTING_CODE
from adabm.support.plugins import load_file

PACKAGE = Path(adabm.__file__).parent


def test_a_users_file_counts(tmp_path):
    keys = set()
    for number, text in enumerate(("x = 1\n", '"""Text."""\nx = 1  # one\n', "x = 2\n")):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        keys.add(code_hash(str(path)))
        assert code_hash("api", str(path)) not in (code_hash("api"), code_hash(str(path)))
    assert len(keys) == 2
    (tmp_path / "bad.py").write_text("def (:\n")
    with pytest.raises(ConfigError, match="bad.py: cannot be read as Python"):
        code_hash(str(tmp_path / "bad.py"))
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ConfigError, match="binary.py: cannot be read as Python"):
        code_hash(str(tmp_path / "binary.py"))
    with pytest.raises(ConfigError, match="absent.py: no such file"):
        code_hash(str(tmp_path / "absent.py"))


# What must change a key: files of the user's before and after; "own.py" is the one that a key is made of.
USERS = {
    "an import": ({"own.py": "from math import floor as rule\n"}, {"own.py": "from math import ceil as rule\n"}),
    "an import inside": (
        {"own.py": "def f():\n    import json as m\n"},
        {"own.py": "def f():\n    import math as m\n"},
    ),
    "the order of statements": ({"own.py": "x = 2\nx += 1\nx *= 3\n"}, {"own.py": "x = 2\nx *= 3\nx += 1\n"}),
    "a statement twice": ({"own.py": "x = 2\nx *= 3\n"}, {"own.py": "x = 2\nx *= 3\nx *= 3\n"}),
    "what is exported": ({"own.py": "x = 1\n__all__ = []\n"}, {"own.py": "x = 1\n__all__ = ['x']\n"}),
    "values exchanged between files": (
        {"own.py": "import a, b\n", "a.py": "x = 1\n", "b.py": "x = 2\n"},
        {"own.py": "import a, b\n", "a.py": "x = 2\n", "b.py": "x = 1\n"},
    ),
    "where a name comes from": (
        {"own.py": "from a import x\nfrom b import y\n", "a.py": "x = y = 1\n", "b.py": "x = y = 2\n"},
        {"own.py": "from b import x\nfrom a import y\n", "a.py": "x = y = 1\n", "b.py": "x = y = 2\n"},
    ),
    "a package above": (
        {"own.py": "from pkg.sub import f\n", "pkg/__init__.py": "x = 1\n", "pkg/sub.py": "import pkg\n"},
        {"own.py": "from pkg.sub import f\n", "pkg/__init__.py": "x = 2\n", "pkg/sub.py": "import pkg\n"},
    ),
    "a module by its name": (
        {"own.py": "import importlib\nx = importlib.import_module('a').x\n", "a.py": "x = 1\n"},
        {"own.py": "import importlib\nx = importlib.import_module('a').x\n", "a.py": "x = 2\n"},
    ),
    "a file loaded later": (
        {"own.py": "import adabm\n\ndef f():\n    return adabm.load_file('a.py').x\n", "a.py": "x = 1\n"},
        {"own.py": "import adabm\n\ndef f():\n    return adabm.load_file('a.py').x\n", "a.py": "x = 2\n"},
    ),
    "a file loaded from beside": (
        {
            "own.py": "from pathlib import Path\nfrom adabm import load_file\nload_file(Path(__file__).with_name('a.py'))\n"
        }
        | {"a.py": "x = 1\n"},
        {
            "own.py": "from pathlib import Path\nfrom adabm import load_file\nload_file(Path(__file__).with_name('a.py'))\n"
        }
        | {"a.py": "x = 2\n"},
    ),
    "a file of another folder": (
        {
            "own.py": "import sys\nsys.path.insert(0, __file__[:-6] + 'lib')\nimport users_a\n",
            "lib/users_a.py": "x = 1\n",
        },
        {
            "own.py": "import sys\nsys.path.insert(0, __file__[:-6] + 'lib')\nimport users_a\n",
            "lib/users_a.py": "x = 2\n",
        },
    ),
}


@pytest.mark.parametrize("case", USERS)
def test_all_that_a_users_file_says_counts(case, tmp_path, monkeypatch):
    def code(folder: str, files: dict[str, str]) -> str:
        for name, text in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(text)
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setattr(sys, "path", [*path, str(tmp_path / folder)])
        for name in ("a", "b", "pkg", "pkg.sub", "users_a"):
            sys.modules.pop(name, None)
        if "sub" not in str(files):
            load_file("own.py")
        return code_hash(str(tmp_path / folder / "own.py"))

    path, (before, after) = [*sys.path], USERS[case]
    same = {name: f'"""Text."""\n{text}  # a comment\n' for name, text in before.items()}
    assert code("one", before) == code("explained", same) != code("other", after)


def test_the_order_of_users_files_counts(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("x = 1\n")
    two.write_text("x = 2\n")
    hashes = {code_hash(*map(str, files)) for files in ((one,), (two,), (one, two), (two, one))}
    assert len(hashes) == 4


def test_a_file_edited_after_it_was_loaded_has_no_key(tmp_path, monkeypatch):
    """What would be computed is what was loaded, which the key of the edited file does not tell."""
    monkeypatch.syspath_prepend(tmp_path)
    for edited in ("own", "edited_helper"):
        (tmp_path / "edited_helper.py").write_text("x = 1\n")
        (tmp_path / f"{edited}.py").write_text("x = 1\n")
        user = tmp_path / f"user_of_{edited}.py"
        user.write_text(f"from {edited} import x\n\ndef f():\n    return x\n")
        f = load_file(user).f
        if edited == "own":  # counted once before, too
            definition_hash(f)
        (tmp_path / f"{edited}.py").write_text("x = 2\n")
        with pytest.raises(ConfigError) as error:
            definition_hash(f)
        told = "was edited after it was loaded; start the program (or the notebook's kernel) anew"
        assert str(error.value) == f"{tmp_path / edited}.py: {told}"
        (tmp_path / f"{edited}.py").write_text("x = 1\n")
        assert definition_hash(f)


def test_a_copy_of_the_package_elsewhere_has_its_hash(tmp_path):
    folder = tmp_path / "adabm"
    for module in package().modules:
        name = f"{module.replace('.', '/')}.py" if module else "__init__.py"
        name = name if (PACKAGE / name).is_file() else f"{module.replace('.', '/')}/__init__.py"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((PACKAGE / name).read_text())
    copy = CodeTree.of_folder(folder)
    for roots in (QUANTIZING, MEASURING, SAMPLING, INTERVENING, STUDYING):
        digests = copy.definitions(copy.reached(roots, NEUTRAL))
        assert definitions_hash(digests) == code_hash(*roots)
        assert definitions_hash(digests, "1.0") == code_hash(*roots, torch_version="1.0") != code_hash(*roots)


# -- the package -----------------------------------------------------------------------------------

ALL = (*QUANTIZING, *STEPS, *NETWORKS, *MEASURING, *SAMPLING, *INTERVENING, *STUDYING, "study.answers")
# What no number of the study comes from: the command line, tiles without seams, reading foreign weights, whose networks
# enter keys by their tensors, engines, whose code enters the keys of a plan that names them, and making texts, tables and pages of what was measured.
BEYOND = (
    "__main__",
    "_torchvision",
    "checkpoints.telling_bits",
    "cli",
    "engines.attributes",
    "engines.checked",
    "engines.context",
    "engines.deciding",
    "engines.exporting",
    "engines.failing",
    "engines.integer",
    "engines.seamless",
    "engines.steady_sums",
    "engines.turns",
    "engines.watched",
    "guarded",
    "networks.likeness",
    "networks.mxnet_params",
    "networks.raw_tensors",
    "networks.reach",
    "networks.sameness",
    "networks.saving",
    "networks.steadiness",
    "networks.untouched",
    "pictures.bundled",
    "pictures.contrast",
    "pictures.orientation",
    "pictures.telling",
    "pictures.writing",
    "repair_environment",
    "study.running.simulation",
    "study.tables.executable",
    "study.tables.network_board",
    "study.tables.presentation",
    "study.tables.reference",
    "study.tables.study_summary",
    "support.arguments",
    "support.process",
    "turns",
    "wrapping",
)


def within(module: str, entries) -> bool:
    return any(module == entry or module.startswith(f"{entry}.") for entry in entries)


def computing() -> set[str]:
    """All modules of the package, except packages that only import and export."""
    tree = package()
    return {
        module
        for module in tree.modules
        if tree.definitions([module]) or not (PACKAGE / module.replace(".", "/")).is_dir()
    }


def test_every_module_counts_or_is_listed():
    reached = package().reached(ALL, NEUTRAL)
    for module in computing():
        places = (module in reached, within(module, NEUTRAL) and module not in ALL, within(module, BEYOND))
        assert sum(places) == 1, f"{module}: counts, is neutral, is beyond the study: {places}"


def test_what_is_neutral_exists_and_is_imported():
    tree = package()
    counted = tree.reached(ALL, NEUTRAL) | {module for module in tree.modules if within(module, NEUTRAL)}
    imported = set().union(*(tree.dependencies(module) for module in counted))
    for entry in NEUTRAL:
        assert any(within(module, [entry]) for module in imported), f"{entry} need not be listed as neutral"
    assert list(NEUTRAL) == sorted(set(NEUTRAL))
    for entry in BEYOND:
        assert any(within(module, [entry]) for module in tree.modules), f"{entry} does not exist"


@pytest.mark.parametrize(
    "roots, modules",
    [
        (
            (*QUANTIZING, *STEPS, *NETWORKS),
            "steps.calibrate steps.tuner steps.clip networks.describe networks.architectures.rdn pictures.patches recipes.carrying_out",
        ),
        (
            SAMPLING,
            "quantization.observers quantization.layers pictures.tensors networks.describe sampling.strategies sampling.adaptive",
        ),
        (MEASURING, "engines.cost engines.metrics engines.tiles pictures.resize networks.describe"),
        (INTERVENING, "steps.deal_factors quantization.model"),
        (
            COLLECTING_CODE["collecting"],
            "study.tables.summary study.tables.study_summary study.tables.leaderboard study.tables.times study.tables.schema",
        ),
        (STUDYING, "study.running.bench study.running.timing study.running.traces study.tables.schema"),
    ],
)
def test_what_numbers_depend_on_is_found(roots, modules):
    reached = package().reached(roots, NEUTRAL)
    assert set(modules.split()) <= reached
    assert not any(within(module, NEUTRAL) and module not in roots for module in reached)


def test_a_key_does_not_depend_on_what_is_measured_later():
    assert not {"engines.metrics", "engines.cost", "engines.evaluation"} & package().reached(QUANTIZING, NEUTRAL)


# -- functions and classes -------------------------------------------------------------------------


def loaded(path: Path, name: str = "mine"):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_root_of_a_definition(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", None)
    (tmp_path / "mine.py").write_text("def choose(): ...\nclass Step: ...\n")
    mine = loaded(tmp_path / "mine.py")
    assert definition_root(adabm.quantize) == "guarded" and definition_root(adabm.QuantizedSR) == "quantization.model"
    assert definition_root(mine.choose) == definition_root(mine.Step) == str((tmp_path / "mine.py").resolve())
    for nowhere in (len, functools.partial(mine.choose), eval("lambda: 0", {})):
        with pytest.raises(ConfigError, match="stands in no file"):
            definition_root(nowhere)


ARRAY = np.zeros(2000) + (np.arange(2000) == 1000)  # whose repr does not show the one


def test_the_hash_of_a_definition(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", None)
    texts = {
        "one": "def f():\n    return 1\n\n\ndef g():\n    return 2\n",
        "explained": 'def f():\n    """One."""\n    return 1\n\n\ndef g():  # two\n    return 2\n',
        "another neighbour": "def f():\n    return 1\n\n\ndef g():\n    return 3\n",
        "other": "def f():\n    return 0\n\n\ndef g():\n    return 2\n",
    }
    hashes = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        module = loaded(path)
        hashes[name] = definition_hash(module.f)
        assert hashes[name] != definition_hash(module.g), "two functions of one file"
        assert (
            len({hashes[name], *(definition_hash(functools.partial(module.f, n)) for n in (1, 2, ARRAY, 0 * ARRAY))})
            == 5
        )
    assert hashes["one"] == hashes["explained"] and len(set(hashes.values())) == 3


def test_a_definition_of_a_notebook_counts_by_its_source(monkeypatch):
    def cell(text: str):
        names: dict = {"__name__": "__main__"}
        exec(compile(text, "cell", "exec"), names)
        monkeypatch.setattr(fingerprint.inspect, "getsource", lambda _: text)
        return definition_hash(names["f"])

    assert (
        cell("def f():\n    return 1\n") == cell("def f():  # one\n    return 1\n") != cell("def f():\n    return 2\n")
    )
    monkeypatch.undo()
    with pytest.raises(
        ConfigError, match="the source of .* cannot be read; define a function in a file or in a notebook"
    ):
        definition_hash(eval("lambda: 0", {}))


def cell(text: str, **names: object) -> str:
    """The hash of ``f`` in a notebook's cell whose other cells define the names."""
    file = f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    found = {"__name__": "__main__", **names}
    exec(compile(text, file, "exec"), found)
    found.setdefault("f", None)
    return definition_hash(found["f"])


_numbers = itertools.count()
SCORE = "def f(image):\n    return SIGN * score(image)\n"
HELPER = "def score(image):\n    return image.mean()\n"


class Kind:
    """An object of no file of the cell's."""

    def __init__(self, value):
        self.value = value


@pytest.mark.slow
def test_what_other_cells_define_counts_for_a_function_of_a_cell():
    one = "def f():\n    return SIGN\n"
    values = [1, -1, 1.0, "1", [1], (1,), {"a": 1}, {"a": 2}, {1, 2}, np.zeros(3), np.zeros(2000), np.ones(3), Kind(1)]
    values += [
        np.floor,
        np.ceil,
        torch.zeros(2),
        torch.ones((), dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.complex64),
        Kind(2),
        len,
        Kind,
        math.floor,
    ]
    values += [pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]}), pd.Series([1, 2]), functools.partial(len, "a")]
    changed = np.zeros(2000)
    changed[1000] = 1
    hashes = [cell(one, SIGN=value) for value in [*values, changed]]
    assert len({*hashes}) == len(hashes)
    assert hashes == [cell(one, SIGN=value, OTHER=3) for value in [*values, changed]], "nothing else counts"
    assert cell(SCORE + HELPER, SIGN=1) == cell(SCORE + HELPER.replace("\n", "  # why\n"), SIGN=1)
    assert cell(SCORE + HELPER, SIGN=1) != cell(SCORE + HELPER.replace("mean", "std"), SIGN=1)
    deep = "def more(image):\n    return LEVEL\n" + SCORE + HELPER.replace("image.mean", "more")
    assert cell(deep, SIGN=1, LEVEL=1) != cell(deep, SIGN=1, LEVEL=2)


@pytest.mark.parametrize(
    "text",
    [
        "def made(x):\n    def f():\n        return x\n    return f\nf = made({})\n",
        "def f(x={}):\n    return x\n",
        "y = {}\ndef f(x=y):\n    return x\n",
        "class C:\n    x = {}\n    def g(self):\n        return self.x\ndef f():\n    return C().g()\n",
        "class C:\n    def g(self):\n        return {}\nc = C()\ndef f():\n    return c.g()\n",
        "import functools\ndef g():\n    return 0\n@functools.wraps(g)\ndef f():\n    return {}\n",
        "f = (lambda: (lambda: x)())\nx = {}\n",
        "g = [lambda: 1, lambda: 2][{} - 1]\ndef f():\n    return g()\n",
        "def f():\n    return f if x else None\nx = [{}]\nx.append(x)\n",
    ],
)
def test_whatever_way_a_value_comes_into_a_cells_function(text):
    assert cell(text.format(1)) == cell(text.format(1)) != cell(text.format(2))


def test_files_count_for_a_function_of_a_cell(tmp_path):
    """A function of a file counts with its file, one of this package with its module; a wrapper of a cell with its own text."""
    hashes = set()
    for number in (1, 2):
        path = tmp_path / f"{number}.py"
        path.write_text(f"x = {number}\n\ndef score():\n    return x\n")
        score = load_file(path).score
        hashes.add(cell("def f():\n    return score()\n", score=score))
        hashes |= {
            cell(f"f = functools.wraps(score)(lambda: score() * {n})\n", score=score, functools=functools)
            for n in (1, 2)
        }
    assert len(hashes) == 6
    asked = ["adabm.image_complexity", "adabm.round_to_uint8", "np.floor", "np.linalg.norm"]
    texts = [f"def f():\n    return {name}\n" for name in asked]
    assert len({cell(text, adabm=adabm, np=np) for text in texts}) == len(asked)
