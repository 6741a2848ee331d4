"""The code that keys of this package follow: what each root reaches, what is neutral, functions that users register."""

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

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
    "cli",
    "engines.checked",
    "engines.context",
    "engines.deciding",
    "engines.exporting",
    "engines.integer",
    "engines.seamless",
    "engines.turns",
    "networks.mxnet_params",
    "networks.raw_tensors",
    "networks.reach",
    "networks.sameness",
    "networks.saving",
    "pictures.bundled",
    "pictures.orientation",
    "pictures.writing",
    "process",
    "repair_environment",
    "study.tables.executable",
    "study.running.simulation",
    "study.tables.network_board",
    "study.tables.presentation",
    "study.tables.study_summary",
    "study.tables.summary",
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
    assert definition_root(adabm.quantize) == "api" and definition_root(adabm.QuantizedSR) == "quantization.model"
    assert definition_root(mine.choose) == definition_root(mine.Step) == str((tmp_path / "mine.py").resolve())
    for nowhere in (len, functools.partial(mine.choose), eval("lambda: 0", {})):
        with pytest.raises(ConfigError, match="stands in no file"):
            definition_root(nowhere)


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
        assert len({hashes[name], *(definition_hash(functools.partial(module.f, n)) for n in (1, 2))}) == 3
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
