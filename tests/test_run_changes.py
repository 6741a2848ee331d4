"""Runs that differ from their preset: settings by name, interventions, and the keys of their models."""

import dataclasses

import pytest
import torch

from adabm.errors import ConfigError
from adabm.quantization.config import preset
from adabm.study import ModelTask, Recipe, ResultCache, Run, read_plan, run_plan
from adabm.study.origin.fingerprint import INTERVENING, QUANTIZING, code_hash, file_hash, folder_hash, key
from adabm.study.plan.interventions import INTERVENTIONS
from adabm.study.running.runs import find_device
from helpers.study_files import RECIPE, forget, part, write_study

TUNING = dict(patch_size=12, rounds=3, steps_per_round=2)


def config_of(method: str = "adabm", changes: dict | None = None):
    return Run.at(method, "W4A6", changes=changes).config(TUNING)


# -- changes ---------------------------------------------------------------------------------------


def test_no_change_gives_the_preset_with_the_recipe():
    expected = preset("adabm", weight_bits=4, activation_bits=6, fully_quantized=False, fine_tuning=TUNING)
    assert config_of() == config_of(changes={}) == expected
    assert Run.at("adabm", "W4A6") == Run.at("adabm", "W4A6", changes={}) == Run("adabm", 4, 6)


def test_changes_touch_what_they_name_alone():
    changed = config_of(
        changes={
            "image_mapping": False,
            "clipping_share": 0.3,
            "fine_tuning.lr_weight": 0.001,
            "fine_tuning.groups": ["weight"],
        }
    )
    plain = config_of()
    tuning = dataclasses.replace(plain.fine_tuning, lr_weight=0.001, groups=("weight",))
    assert changed == dataclasses.replace(plain, image_mapping=False, clipping_share=0.3, fine_tuning=tuning)


def test_the_recipe_can_be_changed():
    assert config_of(changes={"fine_tuning.rounds": 7}).fine_tuning.rounds == 7
    assert config_of("adabm-relative", {"fine_tuning.lr_weight": 0.5}).fine_tuning == dataclasses.replace(
        config_of("adabm-relative").fine_tuning, lr_weight=0.5
    )


def test_fine_tuning_can_be_left_out():
    assert (
        config_of(changes={"fine_tuning": None})
        == dataclasses.replace(config_of(), fine_tuning=None)
        == config_of("adabm-notune")
    )


def test_runs_with_changes_are_told_apart_and_can_be_kept_in_sets():
    runs = [
        Run.at("adabm", "W4A6", changes={"fine_tuning.groups": groups})
        for groups in (["weight"], ["weight"], ["mapping"])
    ]
    runs += [Run.at("adabm", "W4A6"), Run.at("adabm", "W4A6", intervention="random-factors")]
    assert len(set(runs)) == 4


@pytest.mark.parametrize("method, changes, message", [
    ("adabm", {"clippping": False}, "unknown setting 'clippping': did you mean 'clipping'"),
    ("adabm", {"fine_tuning.lr_wieght": 0.1}, "unknown setting 'lr_wieght': did you mean 'lr_weight'"),
    ("adabm", {"fine_tunning.lr_weight": 0.1}, "unknown setting 'fine_tunning.lr_weight'"),
    ("adabm", {"fine_tuning.lr_weight": -1}, "lr_weight = -1: must be >= 0"),
    ("adabm", {"fine_tuning.groups": ["weights"]}, "groups = .*weights.*: must be some of weight, activation, mapping"),
    ("adabm", {"fine_tuning": None, "fine_tuning.rounds": 2}, "fine_tuning.rounds: adabm is not fine-tuned here"),
    ("minmax", {"fine_tuning.rounds": 2}, "fine_tuning.rounds: minmax is not fine-tuned here, so that it has no effect"),
    ("adabm", {"fine_tuning": {"rounds": 2}}, "fine_tuning = {'rounds': 2}: must be null.*'fine_tuning.lr_weight'"),
    ("adabm", {"activation_bits": 8}, "activation_bits = 8: belongs to the setting, such as 'W4A6'"),
    ("adabm", {"fully_quantized": True}, "fully_quantized = True: belongs to the setting"),
])  # fmt: skip
def test_impossible_changes_are_told(method, changes, message):
    with pytest.raises(ConfigError, match=message):
        config_of(method, changes)


def test_an_unknown_intervention_is_told():
    with pytest.raises(
        ConfigError, match="unknown intervention 'random'; choose one of random-factors, opposite-factors"
    ):
        Run.at("adabm", "W4A6", intervention="random")


# -- recipes ---------------------------------------------------------------------------------------


def test_a_recipe_from_a_block_of_parameters():
    block = dict(patch_size=48, patches=None, rounds=3, steps_per_round=7)
    assert Recipe.from_parameters(block | dict(seed=3, results="there")) == Recipe(48, None, 3, 7)
    for name in block:
        with pytest.raises(
            ConfigError, match=f"{name!r} is missing; a recipe has patch_size, patches, rounds, steps_per_round"
        ):
            Recipe.from_parameters({other: value for other, value in block.items() if other != name})
    with pytest.raises(ConfigError, match="rounds = -3"):
        Recipe.from_parameters(block | dict(rounds=-3))


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path) -> ModelTask:
    forget()
    cell = read_plan([part(methods=["adabm"])], write_study(tmp_path), RECIPE)[-1]
    return ModelTask(cell.backbone, cell.calibration, cell.run, RECIPE, ResultCache(tmp_path / "cache"))


def with_run(task: ModelTask, **options) -> str:
    return dataclasses.replace(task, run=Run.at("adabm", "W4A4 FQ", **options)).key


def test_a_run_without_changes_has_the_key_of_its_preset(task):
    config = preset("adabm", weight_bits=4, activation_bits=4, fully_quantized=True, fine_tuning=RECIPE.fine_tuning)
    expected = key(
        network=file_hash(task.backbone),
        calibration=folder_hash(list(task.calibration)),
        config=config.to_dict(),
        patch_size=12,
        patches=4,
        seed=0,
        device="cpu",
        code=code_hash(*QUANTIZING),
    )
    assert task.key == with_run(task) == with_run(task, changes={}) == expected


def test_changes_and_interventions_have_keys_of_their_own(task):
    changes = [
        {"fine_tuning.groups": ["weight"]},
        {"fine_tuning.groups": ["mapping"]},
        {"fine_tuning.target_bits": 5.0},
        {"weight_observer": "omse_own_bits"},
        {"fine_tuning": None},
    ]
    keys = [with_run(task, changes=c) for c in changes] + [with_run(task, intervention=name) for name in INTERVENTIONS]
    assert len({task.key, *keys}) == len(changes) + len(INTERVENTIONS) + 1
    assert with_run(task, changes={"fine_tuning.lr_weight": 0.01}) == task.key, "as it is in the preset"


def test_the_code_of_interventions_counts_where_there_is_one(task, monkeypatch):
    before = task.key, with_run(task, intervention="random-factors")
    monkeypatch.setattr(
        "adabm.study.running.tasks.code_hash",
        lambda *roots: "changed" if roots == INTERVENING else code_hash(*roots),
    )
    assert task.key == before[0] and with_run(task, intervention="random-factors") != before[1]


# -- devices ---------------------------------------------------------------------------------------


def test_devices_by_name(monkeypatch):
    for found, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert find_device("auto") == expected and find_device("cpu") == "cpu"
    assert find_device("cuda") == "cuda"


@pytest.mark.parametrize(
    "device, message",
    [
        ("cuda", "device cuda: torch finds no GPU here; use cpu or auto"),
        ("gpu", "device = 'gpu': must be auto, cpu or cuda"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_anything_is_computed(task, monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cells = read_plan([part()], task.backbone.parent, RECIPE)
    with pytest.raises(ConfigError, match=message):
        run_plan(cells, RECIPE, task.cache, device=device)
    assert not task.cache.folder.exists()
