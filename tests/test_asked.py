"""The networks of a question whose answer compares whole models: their own sets, seeds, methods; the table of all."""

import pytest

from adabm.errors import ConfigError
from adabm.study import Effort, Run, Trial, study_table, write_table
from adabm.study.answers import sampling, set_size
from adabm.study.answers.asked import inputs, measure, open_asked
from adabm.study.answers.estimates import tell_left_out, tell_planned
from helpers.study_files import enter_study_of_two
from helpers.study_tables import not_run, row

EFFORT = Effort(patch_size=12, patches=None, rounds=3, steps_per_round=2)
WHERE = ("data", ["First", "Second"], "data/pool", EFFORT, "W4A4 FQ")
METHODS = {"uniform": {"method": "minmax"}, "fewer": {"method": "omse", "backbones": ["net"], "seeds": [1]}}
UNIFORM = {"uniform": {"method": "minmax"}}
BACKBONES = {
    "net.safetensors": {"seeds": [1, 0]},
    "other.safetensors": {"seeds": [2], "setting": "W6A6 FQ", "patch_size": 8, "sets": ["Second"], "sizes": [1]},
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    return enter_study_of_two(tmp_path, monkeypatch)


def test_a_network_has_sets_seeds_and_what_differs_of_its_own(root):
    one, other = open_asked(BACKBONES, *WHERE, METHODS, ["sizes"], 1)
    told = [
        (n.name, n.setting, n.seeds, [s.name for s in n.bench.sets], n.bench.effort.patch_size) for n in (one, other)
    ]
    assert told == [
        ("net", "W4A4 FQ", (1, 0), ["First", "Second"], 12),
        ("other", "W6A6 FQ", (2,), ["Second"], 8),
    ]
    assert list(one.methods(METHODS)) == ["uniform", "fewer"] and list(other.methods(METHODS)) == ["uniform"]
    assert [run.seed for run in one.runs(METHODS["uniform"])] == [1, 0]
    assert [run.seed for run in one.runs(METHODS["fewer"])] == [1]
    assert {"net.safetensors", "other.safetensors"} <= {path.name for path in inputs([one, other])}


@pytest.mark.slow
def test_the_table_of_all_networks_holds_what_each_alone_gives(root):
    backbones = BACKBONES | {"net.safetensors": {"seeds": [1], "sizes": [2]}}
    networks = open_asked(backbones, *WHERE, METHODS, ["sizes"], 1)
    found = measure("set_size", networks, [set_size.trials(network, [1, 2], METHODS) for network in networks])
    low = found[found["setting"] != "FP32"]
    assert low.groupby(["backbone", "dataset", "level"], sort=False).size().to_dict() == {
        ("net", "First", "2"): 2,
        ("net", "Second", "2"): 2,
        ("other", "Second", "1"): 1,
    }
    alone = networks[0].bench.measure("set_size", set_size.trials(networks[0], [], METHODS))
    of_net = found[found["backbone"] == "net"].reset_index(drop=True)
    assert of_net.equals(alone.astype(of_net.dtypes)), "what is kept is kept for both"
    (trial,) = sampling.trials(networks[1], ["random"], 2, {}, METHODS)
    assert trial.calibration == networks[1].bench.choose("random", 2, trial.run)


def test_what_several_networks_leave_out_is_told_without_a_time(root):
    methods = {"later": {"method": "minmax", "run": False}}
    trials = [t for n in open_asked(BACKBONES, *WHERE, methods, ["sizes"]) for t in set_size.trials(n, [2], methods)]
    assert tell_planned(trials, EFFORT, None) == "0 of 3 models are to be run."


def test_models_that_were_not_run_are_told_from_the_table():
    """A row a set of one model, and a row a step of one that is traced."""
    traced = [not_run(series="lr", variable="step", level=str(step)) for step in (0, 1)]
    sets = [not_run(series="later", seed=seed, dataset=name) for seed in (0, 1) for name in ("Set5", "Set14")]
    assert tell_left_out(study_table([row(), *sets, *traced])) == ["Planned and not run: 3 models (later, lr)."]
    assert tell_left_out(study_table([row()])) == []


@pytest.mark.slow
def test_what_is_left_out_is_told_beforehand_with_the_time_that_it_takes(tmp_path):
    """20 pictures of half a second, 6 steps of two."""
    timed = [("calibration", "10", 5.0), ("calibration", "30", 15.0), ("fine-tuning", "3", 6.0)]
    nothing = dict(question="timing", psnr_y_db=None, ssim_y=None, loss_db=None, fab=None)
    table = study_table([row(series=s, level=n, seconds=seconds, **nothing) for s, n, seconds in timed])
    write_table(table, tmp_path / "timing.csv")
    run = Run.at("adabm", "W4A4 FQ", 0)
    trials = [Trial("adabm", "pictures", "20", run, (tmp_path,) * 20, wanted) for wanted in (True, *[False] * 900)]
    told = tell_planned(trials, EFFORT, tmp_path / "timing.csv")
    assert (
        told
        == "1 of 901 models are to be run; quantizing the others takes about 5.5 core-hours by the measured times of net_x4."
    )


@pytest.mark.parametrize(
    "own, methods, told",
    [
        ({"sets": ["Third"]}, METHODS, "backbones, net: sets: unknown 'Third'"),
        ({"sizes": [0]}, METHODS, "backbones, net.safetensors: sizes"),
        ({"levels": [1]}, METHODS, "backbones, net.safetensors: unknown key 'levels'"),
        ({}, {"a": {"method": "minmax", "seed": [0]}}, "methods, a: unknown key 'seed'"),
        ({}, {"a": {"seeds": [0]}}, "methods, a: 'method' is missing"),
        ({}, {"a": {"method": "minmax", "backbones": ["nut"]}}, "methods, a: backbones: unknown 'nut'"),
        ({}, {"a": {"method": "minmax", "seeds": [0, 3]}}, "methods, a: seed 3 is none of its networks', which have 0"),
    ],
)
def test_what_does_not_fit_is_refused(root, own, methods, told):
    with pytest.raises(ConfigError) as caught:
        open_asked({"net.safetensors": {"seeds": [0], **own}}, *WHERE, methods, ["sizes"])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "methods, told",
    [
        ({"a": {"method": "minmax", "backbones": []}}, "methods, a: backbones = []: names no network"),
        ({"a": {"method": "minmax", "sizes": []}}, "methods, a: sizes"),
        ({"a": {"method": "minmax", "backbones": ["net"]}}, "backbones, other: no method is asked of it"),
        ({"a": {"method": "minmax", "seeds": [1]}}, "backbones, other: no method is asked of it"),
    ],
)
def test_what_would_be_left_out_without_a_word_is_refused(root, methods, told):
    with pytest.raises(ConfigError) as caught:
        open_asked(BACKBONES, *WHERE, methods, ["sizes"])
    assert told in str(caught.value)


def test_a_level_that_no_network_of_a_method_has_is_refused(root):
    """Those of another network are known, though this one leaves them out."""
    methods = {"a": {"method": "minmax", "sizes": [1, 2]}}
    one, other = open_asked(BACKBONES, *WHERE, methods, ["sizes"], 1)
    assert [[t.level for t in set_size.trials(n, [2, 4], methods)] for n in (one, other)] == [["2", "2"], ["1"]]
    methods = {"a": {"method": "minmax"}, "b": {"method": "omse", "sizes": [1, 7]}}
    with pytest.raises(ConfigError, match=r"methods, b: sizes: 7 is not asked for \(but 2, 4, 1\); leave it out"):
        set_size.trials(one, [2, 4], methods)
    methods = {"b": {"method": "omse", "backbones": ["other"], "sizes": [2]}}
    with pytest.raises(ConfigError, match=r"methods, b: sizes: 2 is not asked for \(but 1\)"):
        set_size.trials(other, [2, 4], methods)


def test_a_set_that_is_named_twice_is_measured_once(root):
    sets = ["First", "Second", "First", "data/Second"]
    (network,) = open_asked({"net.safetensors": {"seeds": [0]}}, "data", sets, *WHERE[2:], UNIFORM, [], 1)
    assert [pictures.name for pictures in network.bench.sets] == ["First", "Second"]
    own = {"net.safetensors": {"seeds": [0], "sets": ["data/Second"]}}
    (network,) = open_asked(own, "data", sets, *WHERE[2:], UNIFORM, [], 1)
    assert [pictures.name for pictures in network.bench.sets] == ["Second"]
