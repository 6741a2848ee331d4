"""Traces: a fine-tuning measured on its way, its interruption, and the model that it leaves."""

import pickle

import pytest

from adabm.errors import ConfigError, DataError
from adabm.study import ModelTask, ResultCache, read_plan
from adabm.study.running import tasks as study_tasks
from adabm.study.running.runs import run_traces
from adabm.study.running.tasks import MeasureTask
from adabm.study.running.traces import TraceTask
from helpers.study_files import EFFORT, compute_here, part, write_pictures, write_study

STEPS = (1, 2, 3, 6)


def make_trace(root, steps=STEPS, method="adabm") -> TraceTask:
    cell = next(c for c in read_plan([part(methods=[method])], root, EFFORT) if c.run.method == method)
    cache = ResultCache(root / "cache")
    return TraceTask(ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, cache), cell.pictures.files, steps)


def test_the_last_step_is_the_model_of_the_same_run(tmp_path, monkeypatch):
    """What the trace measures last is what measuring the finished model gives, computed apart from it."""
    compute_here(monkeypatch)
    traced, apart = make_trace(write_study(tmp_path / "a")), make_trace(write_study(tmp_path / "b"))
    run_traces([pickle.loads(pickle.dumps(traced))], workers=1)  # as it goes to a process
    apart.model.carry_out()
    measured = MeasureTask(apart.model, apart.files, None)
    measured.carry_out()
    psnr = sum(m.psnr_y_db for m in measured.results()) / len(measured.files)
    results = traced.results()
    assert [r["step"] for r in results] == list(STEPS)
    assert [r["group"] for r in results] == ["weight", "weight", "activation", "mapping"]
    assert results[-1]["psnr_y_db"] == psnr
    assert traced.model.done() and len({r["psnr_y_db"] for r in results}) > 1


def interrupted(monkeypatch, trace) -> list:
    """Interrupt a trace in its second round; return the list to which later runs add their steps."""
    quantize, seen = study_tasks.quantize, []

    def watched(stops):
        def note(step, on_step):
            on_step(step)
            seen.append(step)
            if stops and step.group == "activation":
                raise KeyboardInterrupt

        return lambda *arguments, on_step, **options: quantize(
            *arguments, on_step=lambda step: note(step, on_step), **options
        )

    monkeypatch.setattr(study_tasks, "quantize", watched(True))
    with pytest.raises(KeyboardInterrupt):
        trace.carry_out()
    monkeypatch.setattr(study_tasks, "quantize", watched(False))
    seen.clear()
    return seen


def test_an_interrupted_trace_goes_on_behind_its_last_round(tmp_path, monkeypatch):
    trace, whole = make_trace(write_study(tmp_path / "a")), make_trace(write_study(tmp_path / "b"))
    whole.carry_out()
    seen = interrupted(monkeypatch, trace)
    assert not trace.done()
    with pytest.raises(DataError, match="step 6"):
        trace.results()
    trace.carry_out()
    assert len(seen) == 4, "the first round of two steps is not taken again"
    assert trace.results() == whole.results()
    assert not list((tmp_path / "a" / "cache").rglob("*.partial"))


@pytest.mark.slow
def test_an_interrupted_trace_begins_anew_where_a_picture_was_replaced(tmp_path, monkeypatch):
    compute_here(monkeypatch)
    trace = make_trace(write_study(tmp_path))
    seen = interrupted(monkeypatch, trace)
    write_pictures(tmp_path / "data" / "First" / "HR", 2, seed=9)
    run_traces([trace], workers=1)
    assert len(seen) == 6, "all steps are taken again, once"
    fresh = make_trace(write_study(tmp_path / "fresh"))
    write_pictures(tmp_path / "fresh" / "data" / "First" / "HR", 2, seed=9)
    run_traces([fresh], workers=1)
    assert trace.results() == fresh.results() and not list((tmp_path / "cache").rglob("*.partial"))


def test_what_is_kept_is_not_computed_again(tmp_path, monkeypatch):
    trace = make_trace(write_study(tmp_path))
    trace.carry_out()
    monkeypatch.setattr(study_tasks, "quantize", None)
    assert trace.done()
    run_traces([trace], workers=1)


@pytest.mark.parametrize("steps", [(), (0, 6), (2, 1, 6), (1, 5), (1, 7)])
def test_impossible_steps_are_refused(tmp_path, steps):
    with pytest.raises(ConfigError, match="last step, 6"):
        make_trace(write_study(tmp_path), steps)


def test_a_run_without_fine_tuning_has_no_trace(tmp_path):
    with pytest.raises(ConfigError, match="does not fine-tune"):
        make_trace(write_study(tmp_path), method="minmax")
