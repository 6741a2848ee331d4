"""What questions keep that look into models: it is told by set and name of the pictures, which so belong to its key."""

import shutil

import pytest

from adabm.study import Bench, Effort, Run
from adabm.study.answers.complexity_measures import errors
from adabm.study.answers.probing import Probe
from adabm.study.answers.stopping_traces import trace
from helpers.study_files import EFFORT, enter_study_of_two, forget


@pytest.fixture
def root(tmp_path, monkeypatch):
    return enter_study_of_two(tmp_path, monkeypatch)


def told(*sets: str) -> list[tuple[str, str]]:
    """Set and name of each patch, of which there is one a set."""
    forget()
    bench = Bench.open("net.safetensors", "data", sets, "data/pool", Effort(12, None, 3, 1), 1)
    run = Run.at("adabm-notune", "W4A4 FQ")
    rows = Probe(bench, run, bench.choose("random", 3, run)).found(errors, 16, 1)["rows"]
    return list(dict.fromkeys((row["dataset"], row["patch"]) for row in rows))


def test_pictures_are_told_by_the_names_that_they_have_now(root):
    assert told("First", "Second") == [("First", "a 0-0"), ("Second", "a 0-0")]
    (root / "data" / "Second").rename(root / "data" / "Third")
    assert told("First", "Third") == [("First", "a 0-0"), ("Third", "a 0-0")]
    (root / "data" / "Third" / "a.png").rename(root / "data" / "Third" / "new.png")
    assert told("First", "Third") == [("First", "a 0-0"), ("Third", "new 0-0")]


@pytest.mark.slow
def test_patches_are_chosen_from_the_sets_as_they_are_now(root):
    def quality():
        forget()
        bench = Bench.open("net.safetensors", "data", ["First", "Second"], "data/pool", EFFORT, 1)
        return [seen["truth_db"] for seen in trace(bench, Run.at("adabm", "W4A4 FQ"), 2, 1, 16, 1, 5)["looks"]]

    assert told("First", "Second") == [("First", "a 0-0"), ("Second", "a 0-0")]
    before = quality()
    shutil.move(root / "data" / "First" / "HR" / "b.png", root / "data" / "Second" / "0.png")
    assert told("First", "Second") == [("First", "a 0-0"), ("Second", "0 0-0")]
    after = quality()
    shutil.rmtree(root / "data" / "cache")
    assert after == quality() != before
