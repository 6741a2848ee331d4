"""Calls whose work is kept, made at once."""

import os
from dataclasses import replace

import pytest

from adabm.errors import ConfigError, StudyError
from adabm.study import Bench, Effort
from adabm.study.running.at_once import at_once
from adabm.study.variables import EXECUTOR_VARIABLE
from helpers.called import tenfold
from helpers.study_files import compute_here, write_pool, write_study


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("ADABM_CACHE", str(tmp_path / "cache"))
    write_study(tmp_path)
    write_pool(tmp_path / "pool")
    network, data, pool = (str(tmp_path / name) for name in ("net.safetensors", "data", "pool"))
    return Bench.open(network, data, ["First"], pool, Effort(12, None, 3, 1))


@pytest.mark.slow
def test_other_processes_do_the_work(bench, monkeypatch):
    monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False)
    one = replace(bench, workers=1)
    found = at_once(tenfold, [(one, 3), (one, 1), (one, 2)])
    assert [of["value"] for of in found] == [30, 10, 20]
    assert os.getpid() not in {of["process"] for of in found}
    assert [tenfold(bench, number) for number in (3, 1, 2)] == found


def test_one_call_needs_no_other_process(bench, monkeypatch):
    monkeypatch.setenv(EXECUTOR_VARIABLE, "none that exists")
    assert at_once(tenfold, [(bench, 3)]) == [dict(value=30, process=os.getpid())]
    assert at_once(tenfold, []) == []
    with pytest.raises(ConfigError, match="unknown executor 'none that exists'"):
        at_once(tenfold, [(bench, 3), (bench, 4)])


def test_a_failure_names_the_call_and_what_was_found_stays(bench, monkeypatch):
    compute_here(monkeypatch)
    with pytest.raises(StudyError, match="called, 2 of 3: -1: must not be negative. What was completed is kept"):
        at_once(tenfold, [(bench, 5), (bench, -1), (bench, 6)])
    monkeypatch.setattr("helpers.called.os.getpid", lambda: -1)
    assert tenfold(bench, 5)["process"] != -1


def test_other_code_in_a_worker_is_refused(bench, monkeypatch):
    compute_here(monkeypatch)
    told = iter(["here", "there"])
    monkeypatch.setattr("adabm.study.running.calls.definition_hash", lambda _: next(told))
    with pytest.raises(StudyError, match="called, 1 of 2: the worker on .* has another version of adabm"):
        at_once(tenfold, [(bench, 5), (bench, 6)])
