"""The user's own files that a plan or a question names stand in the provenance, and so in what is verified."""

import json
import sys

import pytest

from adabm.engines.registry import ENGINES
from adabm.sampling import STRATEGIES
from adabm.study import plan_inputs, read_plan
from adabm.study.origin import fingerprint
from adabm.study.origin.provenance import SPEED_CODE, provenance_path
from adabm.study.origin.verification import verify_table
from adabm.study.pages.publishing import write_tables
from adabm.study.tables.schema import study_table
from adabm.support.plugins import load_file
from helpers.study_files import EFFORT, enter_study_of_two, part
from helpers.study_tables import row

RECIPE = "imports: [own/imported.py]\nsteps:\n  calibrate: {activation: minmax}\n"
ENGINE = """
from adabm.engines.registry import engine
from adabm.engines.simulated import SimulatedEngine


@engine("mine", description="the simulation")
def opened(model, device):
    return SimulatedEngine(model)
"""
STRATEGY = """
from adabm.sampling import strategy


@strategy("named_first", description="the first", replace=True)
def first(pool, count, rng):
    return range(count)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = enter_study_of_two(tmp_path, monkeypatch)
    monkeypatch.syspath_prepend(root / "own")
    monkeypatch.delitem(sys.modules, "factor_named", raising=False)
    (root / "own").mkdir()
    (root / "mine.yaml").write_text(RECIPE)
    for name, text in (
        ("imported", "from factor_named import FACTOR\n"),
        ("factor_named", "FACTOR = 1.5\n"),
        ("engine", ENGINE),
        ("strategy", STRATEGY),
    ):
        (root / "own" / f"{name}.py").write_text(text)
    yield root
    ENGINES.pop("mine", None)


def written(root, parameters, inputs=()):
    folder = root / "results" / "test" / "evaluation"
    write_tables(folder, {"evaluation": study_table([row()])}, root, parameters, inputs, 0)
    table = folder / "evaluation.csv"
    return table, json.loads(provenance_path(table).read_text())


def told(table, root) -> list[str]:
    fingerprint.file_hash.cache_clear()
    return [finding.what for finding in verify_table(table, root).findings if finding.kind == "input"]


def test_a_recipe_of_a_plan_and_what_it_imports_are_inputs(root):
    plan = [part(methods=["mine.yaml"], engine="own/engine.py:mine")]
    table, record = written(root, dict(plan=plan), plan_inputs(read_plan(plan, root, EFFORT)))
    own = ["mine.yaml", "own/engine.py", "own/factor_named.py", "own/imported.py"]
    assert [name for name in record["inputs_sha256"] if name.startswith(("mine", "own"))] == own
    assert "net.safetensors" in record["inputs_sha256"] and told(table, root) == []
    for name in own:
        text = (root / name).read_text()
        (root / name).write_text(f"{text}# edited\n")
        assert told(table, root) == [f"input {name} changed since"]
        (root / name).write_text(text)


def test_methods_and_strategies_of_a_question_are_inputs_too(root):
    load_file(root / "own" / "strategy.py")
    try:
        methods = {"a": {"method": "mine.yaml", "changes": {"tune": None}}, "b": {"method": "minmax"}}
        _, record = written(
            root, dict(methods=methods, strategies=["random", "named_first"]), [root / "net.safetensors"]
        )
    finally:
        STRATEGIES.pop("named_first")
    own = ["mine.yaml", "own/factor_named.py", "own/imported.py", "own/strategy.py"]
    assert list(record["inputs_sha256"]) == ["net.safetensors", *own]


def test_what_names_no_file_of_the_users_has_the_inputs_that_are_given(root):
    (root / "odd.yaml").write_text("- no recipe\n")
    for parameters in ({}, dict(plan=[part(methods=["minmax", "adabm"])], text="a.yaml", path="data/pool")):
        _, record = written(root, parameters, [root / "net.safetensors"])
        assert list(record["inputs_sha256"]) == ["net.safetensors"] and "engines" not in record["code_sha256"]
    _, record = written(root, dict(manifest="odd.yaml"), [root / "odd.yaml"])
    assert list(record["inputs_sha256"]) == ["odd.yaml"], "once"


def test_an_engine_of_this_package_is_among_the_code(root):
    table, record = written(root, dict(plan=[part(), part(engine="torch-int8")]))
    assert record["code_sha256"]["engines"] == fingerprint.code_hash(*SPEED_CODE["engines"])
    assert not [f for f in verify_table(table, root).findings if f.kind == "code"]
    _, record = written(root, dict(plan=[part(engine="simulated")]))
    assert "engines" not in record["code_sha256"]
