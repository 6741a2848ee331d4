"""A plan line is enough to measure a recipe, an engine or an architecture of one's own beside the others."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from adabm.engines.cost import size_bits
from adabm.errors import ConfigError, NetworkError
from adabm.networks import build_network, load_network, save_network
from adabm.quantization.model import QuantizedSR
from adabm.study import (
    ResultCache,
    evaluation_markdown,
    evaluation_tables,
    read_plan,
    run_plan,
    summarize,
    with_published,
)
from adabm.study.plan.cells import Run
from adabm.study.running.tasks import MeasureTask, ModelTask
from adabm.support.files import read_kept, write_kept
from adabm.support.plugins import load_file
from helpers.registries import forgetting
from helpers.study_files import EFFORT, compute_here, forget, part, write_study

PUBLISHED = pd.read_csv(Path(__file__).parents[1] / "data" / "published.csv")
STEP = """
from dataclasses import dataclass
from adabm.steps import RANGES, Step, step

@step("widen")
@dataclass(frozen=True)
class Widen(Step):
    needs = frozenset({RANGES})
    factor: float = 1.5
    def apply(self, model, workspace):
        for layer in model.layers.values():
            layer.activation.set_range(layer.activation.lower * self.factor, layer.activation.upper * self.factor)
"""
FEWER = """
from dataclasses import dataclass
from adabm.steps import RANGES, Step, step

@step("fewer")
@dataclass(frozen=True)
class Fewer(Step):
    needs = frozenset({RANGES})
    def apply(self, model, workspace):
        for layer in model.layers.values():
            layer.weight_bits = 2
"""
RECIPE = """
label: Widened MinMax
sentence: MinMax with wider ranges
imports: [widen.py]
steps:
  calibrate: {weight: minmax}
  widen: {factor: 2.0}
"""
ENGINE = """
import numpy as np
from adabm.engines import EngineOutput, engine

class Nearest:
    name, channels, size_multiple = "nearest", 3, 1
    def __init__(self, scale):
        self.scale = scale
    def upscale(self, pictures):
        images = pictures.repeat(self.scale, 1).repeat(self.scale, 2).astype(np.float32)
        return EngineOutput(images, np.full(len(pictures), 8.0), {})

@engine("nearest", description="repeats pixels")
def open_nearest(model, device):
    return Nearest(model.descriptor.scale)
"""


CHAIN = """
import torch
from torch import nn
from adabm.networks import Layout, Role, register_architecture

@register_architecture(Layout(((r"body[.][0-9]+", Role.BODY),), blocks=lambda roles: ("body.0", "body.1")))
class NAME(nn.Module):
    def __init__(self, features=4, scale=4):
        super().__init__()
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(nn.Conv2d(features, features, 3, padding=1) for _ in range(2)))
        self.tail = nn.Sequential(nn.Conv2d(features, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
    def forward(self, x):
        x = self.head(x)
        for layer in self.body:
            x = layer(x) if ASK(layer) else x
        return self.tail(x)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    forget()
    root = write_study(tmp_path)
    (root / "mine").mkdir()
    (root / "mine" / "widen.py").write_text(STEP)
    (root / "mine" / "widened.yaml").write_text(RECIPE)
    (root / "mine" / "nearest.py").write_text(ENGINE)
    monkeypatch.chdir(root)
    with forgetting():
        yield root


def measured(root, **changes) -> dict:
    plan = read_plan([part(**changes)], root, EFFORT)
    return {r.cell.run.method: r for r in run_plan(plan, EFFORT, ResultCache(root / "cache"), workers=1)}


@pytest.mark.slow
def test_a_recipe_of_ones_own(root, monkeypatch):
    """In real worker processes, which import the recipe's file themselves."""
    results = measured(root, methods=["minmax", "mine/widened.yaml"])
    mine, plain = results["mine/widened.yaml"], results["minmax"]
    assert mine.status == plain.status == "measured"
    assert mine.summary["psnr_y_db"] != plain.summary["psnr_y_db"]
    _, means = evaluation_tables(list(results.values()))
    assert "mine/widened.yaml" in set(means["method"])
    assert "Widened MinMax" in evaluation_markdown(with_published(summarize(means), PUBLISHED, {}))


def test_its_files_count_in_the_keys(root):
    def keys(method):
        cell = read_plan([part(methods=[method])], root, EFFORT)[-1]
        return ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache")).key

    mine, plain = keys("mine/widened.yaml"), keys("minmax")
    (root / "mine" / "widened.yaml").write_text(RECIPE.replace("2.0", "3.0"))
    assert keys("mine/widened.yaml") != mine and keys("minmax") == plain != mine
    (root / "mine" / "widened.yaml").write_text(RECIPE.replace("Widened", "Wider"))
    assert keys("mine/widened.yaml") == mine  # how it is told does not matter


def test_a_plans_imports_count_in_the_keys(root):
    """Of the quantized models, also where no recipe names the file; one edited since it was loaded has no key."""

    def keys(*imports):
        cells = read_plan([part(methods=["minmax"], imports=list(imports))], root, EFFORT)
        cache = ResultCache(root / "cache")
        tasks = [ModelTask(c.backbone, c.calibration, c.run, EFFORT, cache, "cpu", c.imports) for c in cells]
        return [(task.key, MeasureTask(task, c.pictures.files, None).identity) for task, c in zip(tasks, cells)]

    for name, text in {"one": "x = 1\n", "same": "x = 1  # one\n", "two": "x = 2\n"}.items():
        (root / f"{name}.py").write_text(text)
    full, *plain = keys()
    run = Run.at("minmax", "W4A4 FQ")
    assert repr(run) == repr(replace(run, imports=(root / "one.py",))), "it stands in keys of questions"
    assert keys("one.py") == keys("same.py") == [full, *keys("one.py")[1:]]
    assert not {*plain} & {*keys("one.py")} and not {*keys("one.py")[1:]} & {*keys("two.py")[1:]}
    (root / "one.py").write_text("x = 2\n")
    with pytest.raises(ConfigError, match="one.py: was edited after it was loaded; start the program"):
        keys("one.py")


OBSERVER = """
from adabm.quantization.observers import WEIGHT_OBSERVERS

@WEIGHT_OBSERVERS.register("share")
def share(weight, bits, percentile):
    return (0.5 * weight.abs().max()).reshape(1)
"""


def test_a_function_counts_in_the_keys_whoever_imported_its_file(root, monkeypatch):
    """A program that imports the file, or holds the function itself, need not name it among the imports of recipe or plan."""

    def key(text, name):
        (root / f"{name}.py").write_text(text)
        with forgetting():
            monkeypatch.syspath_prepend(root)
            importlib.import_module(name)
            *_, cell = read_plan([part(methods=["mine/shares.yaml"])], root, EFFORT)
            return ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache")).key

    (root / "mine" / "shares.yaml").write_text("steps: {calibrate: {weight: share}}\n")
    first = key(OBSERVER, "share_of_a_half")
    assert key(f"# a comment\n{OBSERVER}", "share_of_a_half_told") == first
    assert key(OBSERVER.replace("0.5", "0.9"), "share_of_most") != first
    with forgetting():
        exec(OBSERVER, {"__name__": "a_cell"})
        with pytest.raises(ConfigError, match="share.*: stands in no file; define"):
            read_plan([part(methods=["mine/shares.yaml"])], root, EFFORT)


def test_an_engine_of_ones_own(root, monkeypatch):
    compute_here(monkeypatch)
    results = measured(root, methods=["minmax"], engine="mine/nearest.py")
    assert results["minmax"].summary["fab"] == 8.0
    assert results["fp32"].summary["psnr_y_db"] != results["minmax"].summary["psnr_y_db"]
    pictures, means = evaluation_tables(list(results.values()))
    assert list(means["engine"]) == ["simulated", "nearest.py"] and set(pictures["engine"]) == {
        "simulated",
        "nearest.py",
    }
    assert "MinMax (nearest.py)" in evaluation_markdown(with_published(summarize(means), PUBLISHED, {}))
    plain = measured(root, methods=["minmax"])
    assert "engine" not in evaluation_tables(list(plain.values()))[1]
    assert plain["minmax"].summary["fab"] == 4.0  # each is kept under its own key
    cell = read_plan([part(methods=["minmax"], engine="mine/nearest.py")], root, EFFORT)[-1]
    task = ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache"))
    keys = {
        MeasureTask(task, cell.pictures.files, None, engine).picture_key(cell.pictures.files[0])
        for engine in ("simulated", cell.pictures.engine)
    }
    assert len(keys) == 2


@pytest.mark.parametrize("ask", ["type(layer) is nn.Conv2d", "isinstance(layer, nn.Conv2d)"])
def test_a_network_of_ones_own_is_compared_with_its_wrapped_copy(root, ask):
    """Before anything is computed, as adabm.quantize does."""
    name = "Asking" if "type" in ask else "AskingWell"
    (root / "mine" / "asking.py").write_text(CHAIN.replace("ASK(layer)", ask).replace("NAME", name))
    load_file(root / "mine" / "asking.py")
    save_network(build_network(name), root / "asking.safetensors")
    plan = [part(backbone="asking.safetensors", imports=["mine/asking.py"])]
    if "type" not in ask:
        assert len(read_plan(plan, root, EFFORT)) == 2
        return
    with pytest.raises(NetworkError, match="part 1 of the plan: Asking: it gives another picture.*use isinstance"):
        read_plan(plan, root, EFFORT)


@pytest.mark.slow
def test_an_engine_in_integers(root, monkeypatch):
    pytest.importorskip("openvino")
    compute_here(monkeypatch)
    simulated, integer = (measured(root, methods=["minmax"], engine=e)["minmax"] for e in ("simulated", "openvino"))
    assert integer.status == "measured" and integer.summary["fab"] == simulated.summary["fab"]
    assert integer.summary["psnr_y_db"] == pytest.approx(simulated.summary["psnr_y_db"], abs=0.05)
    assert integer.summary["bitops_g"] == simulated.summary["bitops_g"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(methods=["mine/widend.yaml"]), "part 1 of the plan: .*mine/widend.yaml: cannot be read"),
        (dict(engine="simulatd"), "part 1 of the plan: unknown engine 'simulatd'.*did you mean 'simulated'"),
        (dict(engine="mine/widen.py"), "part 1 of the plan: .*widen.py: registers no engine"),
        (dict(imports=["mine/nothing.py"]), "part 1 of the plan: .*nothing.py: no such file"),
        (dict(imports="mine/widen.py"), "imports = 'mine/widen.py': must be a list"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_computed(root, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_plan([part(**{"methods": ["minmax"], **changes})], root, EFFORT)


@pytest.mark.slow
def test_the_cost_is_that_of_the_bits_that_a_step_gave(root, monkeypatch):
    """From the kept model too, whichever version kept it, and when it was deleted."""
    compute_here(monkeypatch)
    (root / "mine" / "fewer.py").write_text(FEWER)
    (root / "mine" / "fewer.yaml").write_text(
        RECIPE.replace("widen.py", "fewer.py").replace("widen: {factor: 2.0}", "fewer: {}")
    )
    plan = dict(methods=["minmax", "mine/fewer.yaml"], imports=["mine/fewer.py"])
    results = measured(root, **plan)
    four, two = (results[method].summary for method in ("minmax", "mine/fewer.yaml"))
    assert two["size_kib"] < four["size_kib"] and two["bitops_g"] < four["bitops_g"]
    cell = results["mine/fewer.yaml"].cell
    task = ModelTask(
        cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache"), "cpu", cell.imports
    )
    network = QuantizedSR(load_network(root / "net.safetensors"), cell.run.config())
    for layer in network.layers.values():
        layer.weight_bits = 2
    assert two["size_kib"] == size_bits(network) / 8 / 1024
    log = root / "cache" / "models" / f"{task.key}.json"
    kept = json.loads(read_kept(log))
    assert set(kept["result"].pop("weight_bits").values()) == {2}
    write_kept(log, json.dumps(kept).encode())  # as an earlier version did
    assert measured(root, **plan)["mine/fewer.yaml"].summary == two
    log.with_suffix(".safetensors").unlink()
    assert measured(root, **plan)["mine/fewer.yaml"].summary == two
