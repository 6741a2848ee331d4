"""Plans carried out: the numbers, what is computed twice (nothing), failures, interruptions."""

import dataclasses
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import adabm
from adabm.engines.cost import cost
from adabm.engines.evaluation import evaluate
from adabm.errors import ConfigError, DataError, FineTuningError
from adabm.networks import load_network
from adabm.networks.placing import placed
from adabm.pictures.folders import calibration_images, evaluation_pictures
from adabm.pictures.writing import write_image
from adabm.quantization.model import QuantizedSR
from adabm.study import ResultCache, Run, evaluation_tables, find_root, read_plan, run_plan
from adabm.study.running import runs, tasks
from adabm.study.running.executors.environment import worker_variables
from helpers.study_files import EFFORT, Counted, compute_here, forget, part, write_network, write_pictures, write_study
from helpers.study_processes import group, kept, start, wait_for

PLAN = [
    part(sets=["First", "Second"], methods=["adabm", "minmax"]),
    part(settings=["W6A6"], methods=["omse"], seeds=[0, 1], tile=8),
    part(settings=["W8A8"], run=False),
]


@pytest.fixture
def root(tmp_path):
    forget()
    return write_study(tmp_path)


@pytest.fixture
def here(monkeypatch) -> Counted:
    compute_here(monkeypatch)
    return Counted(monkeypatch)


def tables(root: Path, cache: str = "cache", plan=PLAN, workers: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    return evaluation_tables(run_plan(read_plan(plan, root, EFFORT), EFFORT, ResultCache(root / cache), workers))


def same(left: tuple[pd.DataFrame, ...], right: tuple[pd.DataFrame, ...]) -> bool:
    return all(a.to_csv() == b.to_csv() for a, b in zip(left, right, strict=True))


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_numbers_are_those_of_plain_calls(root, here):
    threads = torch.get_num_threads()
    results = run_plan(read_plan(PLAN, root, EFFORT), EFFORT, ResultCache(root / "cache"), workers=1)
    network = load_network(root / "net.safetensors").to(memory_format=torch.channels_last)
    images = list(calibration_images(root / "data" / "calibration").values())
    for result in results:
        cell, run = result.cell, result.cell.run
        if not cell.wanted:
            assert (result.status, result.pictures, result.summary) == ("not run", None, None) and run.setting == "W8A8"
            continue
        pictures = evaluation_pictures(root / "data" / cell.pictures.name, 2)
        if run.method == "fp32":
            model = QuantizedSR(network, adabm.preset("minmax"))
            with model.full_precision():
                expected = evaluate(model, pictures, cell.pictures.tile)
                summary = expected.summary(model)
        else:
            tuned = adabm.read_recipe(run.method).step("tune") is not None
            config = adabm.preset(
                run.method,
                EFFORT.changes if tuned else {},
                weight_bits=run.weight_bits,
                activation_bits=run.activation_bits,
                fully_quantized=run.fully_quantized,
            )
            model, *_ = adabm.quantize(network, images, config, patch_size=12, patches=4, seed=run.seed)
            expected = evaluate(model, pictures, cell.pictures.tile)
            summary = expected.summary(model)
        assert result.status == "measured" and result.summary == summary
        pd.testing.assert_frame_equal(result.pictures, expected.pictures, check_exact=True)
    assert sum(not result.cell.wanted for result in results) == 1  # its full precision is wanted by another part
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_multiply_accumulates_are_counted_once_for_each_structure(root, here, monkeypatch):
    """Bits change none; a network that is quantized in its body alone has other quantized layers than one that is in full."""
    counted, count = [], runs.macs_for
    monkeypatch.setattr(runs, "macs_for", lambda model: counted.append(model.config.fully_quantized) or count(model))
    plan = [
        part(settings=["W8A8", "W6A6"], methods=["minmax"], seeds=[0, 1]),
        part(settings=["W6A6 FQ", "W4A4 FQ"], methods=["minmax"]),
    ]
    _, found = tables(root, plan=plan)
    assert sorted(counted) == [False, True]
    model = QuantizedSR(load_network(root / "net.safetensors"), Run.at("minmax", "W8A8").config())
    row = found[(found["setting"] == "W8A8") & (found["method"] == "minmax")].iloc[0]
    bits = dict.fromkeys(model.layers, 8.0)
    assert row["bitops_g"] == pytest.approx(cost(model, bits).bitops / 1e9)


@pytest.mark.slow
def test_nothing_is_computed_twice(root, here):
    first = tables(root)
    assert here.take() == (4, 15)
    files = {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("*")}
    forget()
    assert same(tables(root), first) and here.take() == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("*")} == files
    more = [*PLAN, part(settings=["W4A4 FQ"], methods=["adabm"], seeds=[0, 1])]
    assert len(tables(root, plan=more)[1]) == len(first[1]) + 1 and here.take() == (1, 2)


@pytest.mark.slow
def test_what_was_deleted_is_computed_again(root, here):
    plan = [part(methods=["adabm", "minmax"]), part(settings=["W6A6"], methods=["omse"])]
    first = tables(root, plan=plan)
    here.take()
    pictures = sorted((root / "cache" / "pictures").rglob("*.json"))
    models = sorted((root / "cache" / "models").glob("*.safetensors"))
    assert (len(models), len(pictures)) == (3, 8)
    models[0].unlink()
    assert same(tables(root, plan=plan), first) and here.take() == (0, 0)  # all its pictures are measured
    for path in pictures[::2]:
        path.unlink()
    assert same(tables(root, plan=plan), first)
    quantized, measured = here.take()
    assert quantized <= 1 and measured == len(pictures[::2])
    shutil.rmtree(root / "cache" / "pictures")
    for path in models[::2]:  # the first may be missing still
        if path.is_file():
            path.write_bytes(path.read_bytes()[:1000])
    assert same(tables(root, plan=plan), first) and here.take() == (2, len(pictures))
    shutil.rmtree(root / "cache")
    assert same(tables(root, plan=plan), first) and here.take() == (3, len(pictures))


@pytest.mark.slow
def test_changed_files_are_noticed_in_the_same_process(root, here):
    first = tables(root, plan=[part()])
    here.take()
    write_network(root / "net.safetensors", seed=1)
    assert not same(tables(root, plan=[part()]), first) and here.take() == (1, 4)


@pytest.mark.slow  # test_executors shows it of each executor
def test_any_number_of_processes_gives_the_same(root, monkeypatch):
    counted = Counted(monkeypatch)
    with monkeypatch.context() as patch:
        compute_here(patch)
        one = tables(root, "one")
    assert counted.take() == (4, 15)
    environment = {name: os.environ.get(name) for name in worker_variables("cpu")}
    assert same(tables(root, "two", workers=2), one) and counted.take() == (0, 0)  # in processes of their own
    assert environment == {name: os.environ.get(name) for name in environment}
    assert sorted(p.name for p in (root / "one").rglob("*.json")) == sorted(
        p.name for p in (root / "two").rglob("*.json")
    )


@pytest.mark.parametrize("workers", [-1, -8])
def test_an_impossible_number_of_processes(root, workers):
    with pytest.raises(ConfigError, match=f"workers = {workers}"):
        tables(root, workers=workers)


def test_the_root(root, tmp_path_factory):
    assert find_root(root / "data") == root == find_root(root)
    with pytest.raises(DataError, match="no dvc.yaml at or above"):
        find_root(tmp_path_factory.mktemp("elsewhere"))


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_diverges_stops_no_other(root, here, monkeypatch):
    quantize = tasks.quantize

    def diverging(network, images, config, descriptor, **options):
        if config.step("tune") is not None:
            Path(options["progress"]).write_bytes(b"the state of round 1")
            raise FineTuningError("the loss became nan in a weight step")
        return quantize(network, images, config, descriptor, **options)

    monkeypatch.setattr(tasks, "quantize", diverging)
    results = run_plan(read_plan(PLAN, root, EFFORT), EFFORT, ResultCache(root / "cache"), workers=1)
    diverged = [result for result in results if result.cell.run.method == "adabm"]
    assert len(diverged) == 2
    assert {(r.status, r.reason, r.summary) for r in diverged} == {
        ("diverged", "the loss became nan in a weight step", None)
    }
    assert {r.status for r in results if r not in diverged and r.cell.wanted} == {"measured"}
    assert not list((root / "cache").rglob("*.partial"))
    pictures, means = evaluation_tables(results)
    assert list(means["status"]).count("diverged") == 2 and "adabm" not in set(pictures["method"])
    here.take()
    assert same(tables(root), (pictures, means)) and here.take() == (0, 0)  # it is not tried again


def test_tables_of_a_plan_of_which_nothing_runs(root, here):
    pictures, means = tables(root, plan=[part(run=False)])
    assert len(pictures) == 0 and list(means["status"]) == ["not run"] * 2 and here.take() == (0, 0)
    assert list(pictures.columns) == list(tables(root, plan=[part()])[0].columns)


@pytest.mark.slow
def test_a_failure_names_its_run_and_keeps_the_rest(root, here):
    write_image(root / "data" / "Second" / "a.png", np.zeros((32, 32, 3), np.uint16))
    with pytest.raises(
        RuntimeError, match="net, fp32 at FP32, seed 0: .*Second/a.png: has 16 bits a channel.*is kept"
    ) as error:
        tables(root)
    assert "\n" not in str(error.value) and "adabm" not in str(error.value)
    assert here.take() == (2, 6)  # the first set; then full precision on the second is next
    write_pictures(root / "data" / "Second", 1, seed=2)
    tables(root)
    assert here.take() == (2, 9)


def test_a_calibration_picture_that_is_too_small(root, here):
    write_pictures(root / "data" / "calibration" / "LR", 1, 8)
    with pytest.raises(
        DataError, match="LR/a.png: 8x8 low-resolution pixels are less than a calibration patch of 12x12"
    ):
        tables(root)
    assert here.take() == (0, 0)


@pytest.mark.parametrize("lacking", ["pictures", "models"])
def test_a_result_that_cannot_be_kept(root, here, lacking):
    (root / "cache").mkdir()
    (root / "cache" / lacking).touch()  # where a folder should be
    with pytest.raises((RuntimeError, OSError, DataError), match=f"cache/{lacking}") as error:
        tables(root, plan=[part()])
    assert "\n" not in str(error.value) and here.take()[0] == 0
    (root / "cache" / lacking).unlink()
    assert len(tables(root, plan=[part()])[0]) == 4


@pytest.mark.slow
def test_a_full_disk(root, here, monkeypatch):
    written = []

    def full(path, data):
        nonlocal written
        if len(written) == 5:
            raise OSError(28, "No space left on device", str(path))
        written += [path] if "seconds" not in path.parts else []
        write(path, data)

    write = adabm.support.files.write_kept
    with monkeypatch.context() as patch:
        patch.setattr("adabm.study.running.cache.write_kept", full)
        with pytest.raises(
            RuntimeError, match=r"net, minmax at W4A4 FQ, seed 0: .*No space left on device: '.*'\. What was"
        ):
            tables(root)
    quantized, measured = here.take()
    tables(root)
    assert (quantized, measured) == (2, 4) and here.take() == (3, 11)


def test_code_that_changes_meanwhile_is_told(root, here):
    cells = read_plan([part()], root, EFFORT)
    task = tasks.MeasureTask(
        tasks.ModelTask(cells[0].backbone, (), cells[0].run, EFFORT, ResultCache(root / "cache")),
        cells[0].pictures.files,
        None,
    )
    with pytest.raises(DataError, match="a: its measurement is not there; the code, a picture or the cache changed"):
        task.results()
    task.carry_out()
    assert [m.picture for m in task.results()] == ["a", "b"]


# -- interruptions ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study with its tables, computed without other processes."""
    root = write_study(tmp_path_factory.mktemp("undisturbed"), 8)
    with pytest.MonkeyPatch.context() as patch:
        compute_here(patch)
        forget()
        expected = tables(root)
    (root / "params.yaml").write_text(yaml.safe_dump(dict(evaluation=dict(**dataclasses.asdict(EFFORT), plan=PLAN))))
    shutil.rmtree(root / "cache")
    return root, expected


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="lists processes as Linux does")
@pytest.mark.parametrize("workers, endings", [
    (1, ("kill the parent alone", "interrupt the group")),
    (2, ("kill", "interrupt", "kill", "kill the parent alone", "interrupt the group")),
], ids=["two", "five"])  # fmt: skip
def test_kill_interrupt_and_go_on(undisturbed, monkeypatch, workers, endings):
    root, expected = undisturbed
    shutil.rmtree(root / "cache", ignore_errors=True)
    rng = random.Random(os.getpid())
    done: dict[Path, int] = {}
    for ending in endings:
        process = start(root, workers)
        aim = len(done) + rng.randint(1, 40 // len(endings))
        wait_for(lambda: len(kept(root)) >= aim or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        time.sleep(rng.uniform(0, 0.05))
        if ending == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        elif ending == "interrupt the group":  # as a terminal does
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGKILL if ending == "kill the parent alone" else signal.SIGINT)
        _, errors = process.communicate()  # ends when no process holds the pipes any more
        wait_for(lambda: not group(process.pid))
        if "interrupt" in ending:
            assert process.returncode == 130
            assert (
                errors.splitlines()[-1] == "measure: interrupted; what was completed is kept"
                and "Traceback" not in errors
            )
        assert all(kept(root)[path] == changed for path, changed in done.items()), "measured again"
        done = kept(root)
        cache = ResultCache(root / "cache")
        assert all(cache.load_record(path.stem) is not None for path in done)
        models = [path.stem for path in (root / "cache" / "models").glob("*.safetensors")]
        assert all(cache.load_model(model) is not None for model in models)
    assert len(done) < len(expected[0])
    compute_here(monkeypatch)
    forget()
    assert same(tables(root), expected)
    assert all(kept(root)[path] == changed for path, changed in done.items())


def test_buffers_of_five_axes_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network.register_buffer("windows", torch.rand(1, 2, 3, 4, 5))
    before = network.windows.clone()
    found = placed(network, "cpu")
    assert found[0].weight.is_contiguous(memory_format=torch.channels_last) and torch.equal(found.windows, before)
