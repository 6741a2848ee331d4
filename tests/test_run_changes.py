"""Runs that differ from their preset: settings by name, and the keys of their models."""

import dataclasses

import pytest
import torch

from adabm.errors import ConfigError
from adabm.study import Effort, ModelTask, ResultCache, Run, read_plan, run_plan
from adabm.study.origin.fingerprint import QUANTIZING, code_hash, file_hash, folder_hash, key
from adabm.study.running.runs import find_device
from helpers.configurations import asked
from helpers.study_files import EFFORT, forget, part, write_study

TUNING = Effort(12, None, 3, 2)


def config_of(method: str = "adabm", changes: dict | None = None):
    return Run.at(method, "W4A6", changes=changes).config(TUNING)


# -- changes ---------------------------------------------------------------------------------------


def test_no_change_gives_the_preset_with_the_recipe():
    expected = asked(
        "adabm",
        weight_bits=4,
        activation_bits=6,
        fully_quantized=False,
        fine_tuning=dict(patch_size=12, rounds=3, steps_per_round=2),
    )
    assert config_of() == config_of(changes={}) == expected
    assert Run.at("adabm", "W4A6") == Run.at("adabm", "W4A6", changes={}) == Run("adabm", 4, 6)


def test_changes_touch_what_they_name_alone():
    changed = config_of(
        changes={
            "map_bits.image": None,
            "clip.share": 0.3,
            "tune.lr_weight": 0.001,
            "tune.groups": ["weight"],
        }
    )
    plain = config_of()
    assert changed.step("tune") == dataclasses.replace(plain.step("tune"), lr_weight=0.001, groups=("weight",))
    assert changed.step("map_bits") == dataclasses.replace(plain.step("map_bits"), image=None)
    assert changed.step("clip") == dataclasses.replace(plain.step("clip"), share=0.3)
    assert changed.step("calibrate") == plain.step("calibrate") and changed.bits == plain.bits


def test_the_recipe_can_be_changed():
    assert config_of(changes={"tune.rounds": 7}).step("tune").rounds == 7
    assert config_of("adabm-relative", {"tune.lr_weight": 0.5}).step("tune") == dataclasses.replace(
        config_of("adabm-relative").step("tune"), lr_weight=0.5
    )


def test_settings_of_a_whole_step_win_over_the_effort_as_single_ones_do():
    whole = config_of(changes={"tune": {"rounds": 1, "steps_per_round": 1, "patch_size": 8}}).step("tune")
    assert (whole.total_steps, whole.patch_size) == (1, 8)
    some = config_of(changes={"tune": {"lr_weight": 0.5}})
    assert some == config_of(changes={"tune.lr_weight": 0.5}) and some.step("tune").total_steps == 6
    added = config_of("minmax", {"tune": {"rounds": 5}}).step("tune")
    assert (added.rounds, added.steps_per_round) == (5, TUNING.steps_per_round)


def test_fine_tuning_can_be_left_out():
    assert (
        config_of(changes={"tune": None}).recipe.to_dict()
        == config_of().recipe.with_changes({"tune": None}).to_dict()
        == config_of("adabm-notune").recipe.to_dict()
    )


def test_runs_with_changes_are_told_apart_and_can_be_kept_in_sets():
    runs = [
        Run.at("adabm", "W4A6", changes={"tune.groups": groups}) for groups in (["weight"], ["weight"], ["mapping"])
    ]
    runs += [Run.at("adabm", "W4A6"), Run.at("adabm", "W4A6", changes={"deal_factors": {"by": "random"}})]
    assert len(set(runs)) == 4


@pytest.mark.parametrize("method, changes, message", [
    ("adabm", {"clipp": None}, "unknown step 'clipp'; did you mean 'clip'"),
    ("adabm", {"clipping": None}, "clipping: is called clip now"),
    ("adabm", {"fine_tuning.lr_weight": 0.1}, "fine_tuning.lr_weight: is called tune.lr_weight now"),
    ("adabm", {"tune.lr_wieght": 0.1}, "unknown setting 'lr_wieght'; did you mean 'lr_weight'"),
    ("adabm", {"tune.lr_weight": -1}, "tune.lr_weight = -1: must be a number >= 0"),
    ("adabm", {"tune.groups": ["weights"]}, "groups = .*weights.*: must be some of weight, activation, mapping"),
    ("adabm", {"tune": None, "tune.rounds": 2}, "tune.rounds: .* has no step 'tune', so that it has no effect"),
    ("minmax", {"tune.rounds": 2}, "tune.rounds: the recipe minmax as asked for has no step 'tune'"),
    ("adabm", {"tune": 2}, "tune = 2: must be null.*'tune.rounds'"),
    ("adabm", {"activation_bits": 8}, "activation_bits = 8: belongs to the setting, such as 'W4A6'"),
    ("adabm", {"fully_quantized": True}, "fully_quantized = True: belongs to the setting"),
])  # fmt: skip
def test_impossible_changes_are_told(method, changes, message):
    with pytest.raises(ConfigError, match=message):
        config_of(method, changes)


def test_an_unknown_rule_is_told():
    with pytest.raises(ConfigError, match="deal_factors.by = 'rondom': must be one of random, opposite"):
        config_of(changes={"deal_factors": {"by": "rondom"}})


# -- effort ----------------------------------------------------------------------------------------


def test_an_effort_from_a_block_of_parameters():
    block = dict(patch_size=48, patches=None, rounds=3, steps_per_round=7)
    assert Effort.from_parameters(block | dict(seed=3, results="there")) == Effort(48, None, 3, 7)
    for name in block:
        with pytest.raises(
            ConfigError,
            match=f"{name!r} is missing; the effort of a study has patch_size, patches, rounds, steps_per_round",
        ):
            Effort.from_parameters({other: value for other, value in block.items() if other != name})
    with pytest.raises(ConfigError, match="rounds = -3"):
        Effort.from_parameters(block | dict(rounds=-3))


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path) -> ModelTask:
    forget()
    cell = read_plan([part(methods=["adabm"])], write_study(tmp_path), EFFORT)[-1]
    return ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(tmp_path / "cache"))


def with_run(task: ModelTask, **options) -> str:
    return dataclasses.replace(task, run=Run.at("adabm", "W4A4 FQ", **options)).key


def test_a_run_without_changes_has_the_key_of_its_preset(task):
    config = asked(
        "adabm",
        weight_bits=4,
        activation_bits=4,
        fully_quantized=True,
        fine_tuning=dict(patch_size=12, rounds=EFFORT.rounds, steps_per_round=EFFORT.steps_per_round),
    )
    expected = key(
        network=file_hash(task.backbone),
        calibration=folder_hash(list(task.calibration)),
        bits=config.bits,
        steps=list(config.recipe.to_dict().items()),
        patch_size=12,
        patches=4,
        seed=0,
        device="cpu",
        code=code_hash(
            *QUANTIZING,
            "steps.calibrate",
            "steps.map_bits",
            "steps.clip",
            "steps.tune",
            "networks.architectures.srresnet",
        ),
    )
    assert task.key == with_run(task) == with_run(task, changes={}) == expected


def test_changes_have_keys_of_their_own(task):
    changes = [
        {"tune.groups": ["weight"]},
        {"tune.groups": ["mapping"]},
        {"tune.target_bits": 5.0},
        {"calibrate.weight_search": "own"},
        {"tune": None},
        {"deal_factors": {"by": "random"}},
        {"deal_factors": {"by": "opposite"}},
    ]
    keys = [with_run(task, changes=c) for c in changes]
    assert len({task.key, *keys}) == len(changes) + 1
    assert with_run(task, changes={"tune.lr_weight": 0.01}) == task.key, "as it is in the preset"


def test_the_code_of_the_steps_counts_where_they_are_taken(task, monkeypatch):
    dealt = {"deal_factors": {"by": "random"}}
    before = task.key, with_run(task, changes=dealt)
    monkeypatch.setattr(
        "adabm.study.running.keys.code_hash",
        lambda *roots: "changed" if "steps.deal_factors" in roots else code_hash(*roots),
    )
    assert task.key == before[0] and with_run(task, changes=dealt) != before[1]


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
    cells = read_plan([part()], task.backbone.parent, EFFORT)
    with pytest.raises(ConfigError, match=message):
        run_plan(cells, EFFORT, task.cache, device=device)
    assert not task.cache.folder.exists()
