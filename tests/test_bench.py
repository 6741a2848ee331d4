"""The workbench of a question: what it opens, chooses, measures and traces, and what of it is computed once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import adabm
from adabm.errors import AdabmError, CheckpointError, ConfigError, DataError, FineTuningError
from adabm.networks import load_network
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image
from adabm.sampling import STRATEGIES, Pool, select, strategy
from adabm.study import Bench, Effort, Run, Trial
from adabm.study.running import bench, tasks
from helpers.study_files import Counted, forget, write_network, write_pictures, write_study_with_pool

EFFORT = Effort(patch_size=12, patches=None, rounds=3, steps_per_round=2)
PARAMETERS = dict(backbone="net.safetensors", data="data", sets=["First", "Second"], pool="data/pool", effort=EFFORT)
RUN = Run.at("minmax", "W4A4 FQ")


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_study_with_pool(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def open_bench(**changes) -> Bench:
    return Bench.open(**{**PARAMETERS, **changes})


# -- opening ---------------------------------------------------------------------------------------


def test_it_finds_what_the_parameters_name(root):
    opened = open_bench()
    assert (opened.root, opened.backbone) == (root, root / "net.safetensors")
    assert [(s.name, [f.name for f in s.files], s.tile) for s in opened.sets] == [
        ("First", ["a", "b"], None),
        ("Second", ["a"], None),
    ]
    assert [path.name for path in opened.pool] == [
        "a@00.png",
        "a@01.png",
        "b@00.png",
        "b@01.png",
        "c@00.png",
        "c@01.png",
    ]
    assert (opened.cache.folder, opened.workers, opened.device) == (root / "data" / "cache", None, "cpu")
    assert opened.inputs == sorted(
        [root / "net.safetensors", *(root / "data" / name for name in ("First/HR", "Second", "pool/LR"))]
    )
    assert open_bench(workers=3).workers == 3


def test_auto_is_a_device(root, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_bench(device="auto").device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert open_bench(device="auto").device == "cuda"


@pytest.mark.parametrize("changes, kind, message", [
    (dict(backbone="nets.safetensors"), CheckpointError, "nets.safetensors"),
    (dict(sets=["Frist"]), DataError, "Frist: no such folder"),
    (dict(pool="data/pol"), DataError, "data/pol: no such folder"),
    (dict(pool="data/First"), DataError, "calibration takes low-resolution pictures"),
    (dict(effort=dataclasses.replace(EFFORT, patch_size=17)), DataError, "a@00.png: 16x16 .* less than a calibration patch of 17x17"),
    (dict(device="cuda"), ConfigError, "torch finds no GPU here"),
    (dict(device="gpu"), ConfigError, "device = 'gpu': must be auto, cpu or cuda"),
])  # fmt: skip
def test_what_is_wrong_is_told(root, monkeypatch, changes, kind, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(kind, match=message):
        open_bench(**changes)


# -- choosing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "hardest", "kmeans"])
def test_choices_are_those_of_plain_calls(root, name):
    opened = open_bench()
    config = adabm.preset("adabm", weight_bits=4, activation_bits=4, fully_quantized=True)
    pool = Pool([read_rgb(path) for path in opened.pool], load_network(opened.backbone), config=config)
    expected = tuple(opened.pool[i] for i in select(name, pool, 4, 3))
    assert opened.choose(name, 4, Run.at("adabm", "W4A4 FQ", 3)) == expected


def test_excerpts_of_a_picture_are_one_scene(root):
    for seed in range(4):
        chosen = open_bench().choose("single_scene", 2, dataclasses.replace(RUN, seed=seed))
        assert len({path.name.split("@")[0] for path in chosen}) == 1 and len(set(chosen)) == 2


@pytest.fixture
def selections(monkeypatch):
    """The calls of ``select`` so far: strategy, count and seed."""
    calls = []

    def counted(name, pool, count, seed):
        calls.append((name, count, seed))
        return select(name, pool, count, seed)

    monkeypatch.setattr(bench, "select", counted)
    return calls


def test_a_choice_is_kept(root, selections):
    first = open_bench().choose("random", 3, RUN)
    assert open_bench().choose("random", 3, RUN) == first and selections == [("random", 3, 0)]
    again = open_bench()
    other_method = Run.at("adabm", "W4A4 FQ", 0, {"tune": None})
    assert again.choose("random", 3, other_method) == first and len(selections) == 1, "the method plays no part in it"


def grow(root):
    write_pictures(root / "data" / "pool" / "LR", 1, 16)


def change_picture(root):
    path = root / "data" / "pool" / "LR" / "b@01.png"
    write_image(path, read_rgb(path) ^ 1)


def change_network(root):
    write_network(root / "net.safetensors", seed=1)


@pytest.mark.parametrize("name, count, run, change", [
    ("stratified", 3, RUN, None),
    ("random", 2, RUN, None),
    ("random", 3, dataclasses.replace(RUN, seed=1), None),
    ("random", 3, dataclasses.replace(RUN, activation_bits=5), None),
    ("random", 3, dataclasses.replace(RUN, fully_quantized=False), None),
    ("random", 3, RUN, grow),
    ("random", 3, RUN, change_picture),
    ("random", 3, RUN, change_network),
], ids=["strategy", "count", "seed", "bits", "layers", "more pictures", "a picture", "the network"])  # fmt: skip
def test_what_a_choice_depends_on(root, selections, name, count, run, change):
    open_bench().choose("random", 3, RUN)
    if change is not None:
        change(root)
    open_bench().choose(name, count, run)
    assert selections == [("random", 3, 0), (name, count, run.seed)]


def test_a_strategy_of_other_source_chooses_again(root, selections, monkeypatch):
    monkeypatch.setattr("adabm.sampling.registry.STRATEGIES", dict(STRATEGIES))

    @strategy("mine", description="the first pictures")
    def first(pool, count, rng):
        return range(count)

    opened = open_bench()
    assert opened.choose("mine", 2, RUN) == opened.pool[:2] == opened.choose("mine", 2, RUN)

    @strategy("mine", description="the first pictures", replace=True)
    def last(pool, count, rng):
        return range(len(pool) - count, len(pool))

    assert opened.choose("mine", 2, RUN) == opened.pool[-2:] and len(selections) == 2


def test_impossible_choices_are_told(root, monkeypatch):
    opened = open_bench()
    with pytest.raises(ConfigError, match="unknown sampling strategy 'randm': did you mean 'random'"):
        opened.choose("randm", 2, RUN)
    for count in (0, 7):
        with pytest.raises(ConfigError, match=f"count = {count}: must be a whole number from 1 to 6"):
            opened.choose("random", count, RUN)
    monkeypatch.setattr("adabm.sampling.registry.STRATEGIES", dict(STRATEGIES))
    strategy("typed", description="without a source")(eval("lambda pool, count, rng: range(count)"))
    with pytest.raises(ConfigError, match="strategy 'typed': the source of .* cannot be read"):
        opened.choose("typed", 2, RUN)


def test_choosing_computes_on_one_thread_whatever_the_device(root, monkeypatch):
    seen = []
    monkeypatch.setattr(bench, "select", lambda *_: seen.append(torch.get_num_threads()) or [0])
    torch.set_num_threads(2)
    try:
        for device in ("cpu", "cuda"):
            dataclasses.replace(open_bench(), device=device).choose(
                *("random", 1) if device == "cpu" else ("hardest", 1), RUN
            )
        assert seen == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# -- measuring -------------------------------------------------------------------------------------


def trials_of(opened: Bench) -> list[Trial]:
    return [
        Trial(series, "pictures", str(size), run, opened.choose("random", size, run))
        for series, method in (("uniform", "minmax"), ("AdaBM", "adabm"))
        for size, seed in ((1, 0), (3, 2))
        for run in [Run.at(method, "W4A4 FQ", seed)]
    ]


@pytest.mark.slow
def test_rows_are_the_trials_with_the_numbers_of_plain_calls(root, monkeypatch):
    opened = open_bench()
    table = opened.measure("set_size", trials_of(opened))
    names = [("full precision", "none", "none", 0)] + [
        (s, "pictures", size, seed) for s in ("uniform", "AdaBM") for size, seed in (("1", 0), ("3", 2))
    ]
    expected = [(*name, dataset, pictures) for name in names for dataset, pictures in (("First", 2), ("Second", 1))]
    assert (
        list(table[["series", "variable", "level", "seed", "dataset", "pictures"]].itertuples(index=False, name=None))
        == expected
    )
    assert (
        set(table["question"]) == {"set_size"}
        and set(table["backbone"]) == {"net"}
        and set(table["status"]) == {"measured"}
    )
    assert list(table["setting"].unique()) == ["FP32", "W4A4 FQ"]
    assert table["calibration_pictures"].astype("float").tolist() == pytest.approx(
        [np.nan] * 2 + [1, 1, 3, 3] * 2, nan_ok=True
    )
    full = table[table["setting"] == "FP32"].set_index("dataset")["psnr_y_db"]
    np.testing.assert_allclose(table["loss_db"], table["dataset"].map(full) - table["psnr_y_db"], atol=1.1e-3)
    assert (table["loss_db"][:2] == 0).all() and (table["loss_db"][2:] != 0).all()

    run = trials_of(opened)[3].run
    images = [read_rgb(path) for path in opened.choose("random", 3, run)]
    network = load_network(opened.backbone).to(memory_format=torch.channels_last)
    config = adabm.preset("adabm", EFFORT.changes, weight_bits=4, activation_bits=4)
    model, *_ = adabm.quantize(network, images, config, patch_size=12, seed=2)
    summary = adabm.evaluate(model, adabm.pictures.folders.evaluation_pictures(root / "data" / "First", 2)).summary(
        model
    )
    row = table.iloc[-2]
    for name in ("psnr_y_db", "ssim_y", "fab", "relative_bitops"):
        assert row[name] == pytest.approx(summary[name], abs=6e-4), name


@pytest.mark.slow
def test_what_is_not_wanted_is_listed_and_not_computed(root, monkeypatch):
    counted = Counted(monkeypatch)
    opened = open_bench()
    trials = [dataclasses.replace(trial, wanted=trial.series == "uniform") for trial in trials_of(opened)]
    table = opened.measure("set_size", trials).set_index("series")
    assert counted.take() == (2, 9)
    assert (
        set(table.loc["AdaBM", "status"]) == {"not run"}
        and table.loc["AdaBM", "psnr_y_db"].isna().all()
        and len(table.loc["AdaBM"]) == 4
    )
    traced = opened.trace(
        "fine_tuning", [dataclasses.replace(t, wanted=t.series == "plain") for t in tuned_trials(opened)], [2, 6]
    )
    assert counted.take()[0] == 2, "one run, and the same without fine-tuning"
    statuses = {name: list(rows["status"]) for name, rows in traced.groupby("series")}
    assert statuses == {"full precision": ["measured"], "plain": ["measured"] * 3, "changed": ["not run"] * 3}


@pytest.mark.slow
def test_a_measured_table_is_not_computed_again(root, monkeypatch):
    counted = Counted(monkeypatch)
    opened = open_bench()
    first = opened.measure("set_size", trials_of(opened))
    assert counted.take() == (4, 15)
    forget()
    again = open_bench()
    pd.testing.assert_frame_equal(again.measure("set_size", trials_of(again)), first)
    assert counted.take() == (0, 0)


@pytest.fixture
def diverging(monkeypatch):
    """Let fine-tuning fail in its fourth step."""
    quantize = tasks.quantize

    def diverge(*arguments, on_step=None, **options):
        taken = []

        def stop(step):
            taken.append(step)
            if len(taken) == 4:
                raise FineTuningError("the loss became nan")
            if on_step is not None:
                on_step(step)

        return quantize(*arguments, on_step=stop, **options)

    monkeypatch.setattr(tasks, "quantize", diverge)


@pytest.mark.slow
def test_a_trial_that_diverges_has_empty_rows(root, diverging):
    opened = open_bench()
    table = opened.measure("set_size", trials_of(opened)).set_index(["series", "level"])
    assert set(table.loc["AdaBM", "status"]) == {"diverged"} and table.loc[
        "AdaBM", ["psnr_y_db", "loss_db", "fab"]
    ].isna().all(axis=None)
    assert set(table.loc["uniform", "status"]) == {"measured"} and table.loc["uniform", "psnr_y_db"].notna().all()


# -- tracing ---------------------------------------------------------------------------------------

CHANGES = {"tune.lr_weight": 0.02, "clip.share": 0.3}


def tuned_trials(opened: Bench) -> list[Trial]:
    return [
        Trial(name, "step", "", run, opened.choose("random", 2, run))
        for name, changes in (("plain", {}), ("changed", CHANGES))
        for run in [Run.at("adabm", "W4A4 FQ", 0, changes)]
    ]


@pytest.mark.slow
def test_a_trace_begins_at_calibration_and_ends_at_the_model(root):
    opened = open_bench()
    table = opened.trace("fine_tuning", tuned_trials(opened), [1, 4, 6])
    assert set(table["dataset"]) == {"First"}, "the first set alone"
    rows = table.set_index(["series", "level"])
    assert list(rows.index) == [("full precision", "none"), ("plain", "0"), ("changed", "0")] + [
        (s, step) for s in ("plain", "changed") for step in "146"
    ]
    assert set(rows["status"]) == {"measured"} and set(rows["variable"].iloc[1:]) == {"step"}
    full = rows.loc[("full precision", "none"), "psnr_y_db"]
    np.testing.assert_allclose(rows["loss_db"], full - rows["psnr_y_db"], atol=1.1e-3)
    assert (
        len(set(rows.loc["plain", "psnr_y_db"])) > 1
        and rows.loc[("plain", "0"), "psnr_y_db"] != rows.loc[("changed", "0"), "psnr_y_db"]
    )

    def measured(run: Run) -> float:
        trial = Trial("x", "pictures", "2", run, opened.choose("random", 2, run))
        return opened.measure("set_size", [trial]).set_index(["series", "dataset"]).loc[("x", "First"), "psnr_y_db"]

    for name, changes, untuned in (("plain", {}, {}), ("changed", CHANGES, {"clip.share": 0.3})):
        assert rows.loc[(name, "0"), "psnr_y_db"] == measured(
            Run.at("adabm", "W4A4 FQ", 0, untuned | {"tune": None})
        ), name
        assert rows.loc[(name, "6"), "psnr_y_db"] == measured(Run.at("adabm", "W4A4 FQ", 0, changes)), name


@pytest.mark.slow
def test_a_trace_measures_no_more_than_it_shows(root, monkeypatch):
    counted = Counted(monkeypatch)
    opened = open_bench()
    table = opened.trace("fine_tuning", tuned_trials(opened)[:1], [2, 6])
    assert counted.take() == (2, 4), "full precision and step 0; what the trace measures has its own count"
    forget()
    again = open_bench()
    pd.testing.assert_frame_equal(again.trace("fine_tuning", tuned_trials(again)[:1], [2, 6]), table)
    assert counted.take() == (0, 0)


def test_a_trace_that_diverges_keeps_its_beginning(root, diverging):
    opened = open_bench()
    table = opened.trace("fine_tuning", tuned_trials(opened)[:1], [1, 3, 4, 6]).set_index("level")
    assert table["status"].to_dict() == {
        "none": "measured",
        "0": "measured",
        "1": "measured",
        "3": "measured",
        "4": "diverged",
        "6": "diverged",
    }
    assert table.loc[["4", "6"], ["psnr_y_db", "fab", "loss_db"]].isna().all(axis=None)
    assert table.loc[["0", "1", "3"], "psnr_y_db"].notna().all()


def test_a_run_without_fine_tuning_has_no_trace(root):
    opened = open_bench()
    with pytest.raises(AdabmError, match="does not fine-tune"):
        opened.trace("fine_tuning", [Trial("x", "step", "", RUN, opened.pool)], [6])
