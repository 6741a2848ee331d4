"""The simulated scheduling of a study: by hand, against what really is scheduled, and what it prints."""

import shutil
from pathlib import Path

import pytest
import yaml

from adabm.study import ModelTask, ResultCache, read_plan, run_plan
from adabm.study.running.graph import TaskGraph
from adabm.study.running.simulation import Job, critical_path, makespan
from helpers.study_files import EFFORT, part, write_network, write_study_with_pool
from pipelines.stages import scaling
from pipelines.stages.durations import Durations
from pipelines.stages.profile_tasks import phases

ROOT = Path(__file__).parents[1]
JOBS = [
    Job("whole", 3.0, 0),
    Job("model", 10.0, 1),
    Job("its first pictures", 2.0, 1, 1),
    Job("its others", 4.0, 1, 1),
    Job("small model", 5.0, 2),
    Job("its pictures", 1.0, 2, 4),
]


@pytest.mark.parametrize("workers, hours", [(1, 25.0), (2, 16.0), (3, 14.0), (4, 14.0), (1000, 14.0)])
def test_schedules_by_hand(workers, hours):
    # two workers: the model ends at 10; whole, small model and its pictures at 3, 8 and 9; then 10 to 12 and 10 to 14
    assert makespan(JOBS, workers) == (14.0 if workers == 2 else hours)


def test_the_longest_chain():
    assert [job.name for job in critical_path(JOBS)] == ["model", "its others"]
    assert makespan([], 3) == 0.0 and critical_path([]) == []


def test_what_has_more_value_comes_first():
    jobs = [Job("late", 1.0, 5), Job("model", 1.0, 0), Job("its pictures", 9.0, 0, 1), Job("later", 1.0, 6)]
    assert makespan(jobs, 2) == 10.0


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_study_with_pool(tmp_path, monkeypatch)
    write_network(tmp_path / "other.safetensors", seed=1)
    for name in ("timing", "evaluation"):
        (tmp_path / "results" / "tiny" / name).mkdir(parents=True)
        shutil.copy(ROOT / "results" / "paper" / name / f"{name}.csv", tmp_path / "results" / "tiny" / name)
    shared = dict(data="data", pool="data/pool", sets=["First"], setting="W4A4 FQ")
    shared |= dict(patch_size=12, rounds=3, steps_per_round=2)
    runs = {
        "released": {"method": "adabm", "seeds": [0]},
        "left out": {"method": "adabm", "seeds": [7], "run": False, "backbones": ["net"]},
    }
    blocks = dict(
        profile=dict(name="tiny"),
        questions=dict.fromkeys(["evaluation", "timing", "sampling", "fine_tuning", "other"]),
        evaluation=dict(**vars(EFFORT), plan=[part(methods=["adabm", "minmax"], sets=["First", "Second"])]),
        timing=dict(repeats=1),
        sampling=dict(
            **shared,
            backbones={
                "net.safetensors": {"seeds": [0]},
                "other.safetensors": {"seeds": [0], "strategies": ["random"]},
            },
            strategies=["random", "diverse"],
            count=2,
            counts={},
            methods={"a": {"method": "minmax"}},
        ),
        fine_tuning=dict(
            **shared,
            backbones={"net.safetensors": {"seeds": [0, 7]}, "other.safetensors": {"seeds": [0], "steps": [6]}},
            pictures=2,
            runs=runs,
            steps=[1, 6],
        ),
        other={},
    )
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(blocks, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(root: Path, everything: bool = False):
    return phases(root / "params.yaml", root, Durations.read(root, root / "results" / "tiny"), everything)


def test_what_is_simulated_is_what_is_scheduled(root):
    cells = read_plan([part(methods=["adabm", "minmax"], sets=["First", "Second"])], root, EFFORT)
    graph = TaskGraph()
    for order, cell in enumerate(cells):
        model = ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache"), "cpu")
        graph.add_cell(order, model, cell)
    questions = planned(root)
    (phase,) = questions["evaluation"]
    assert [(job.order, job.after) for job in phase.jobs] == [(node.order, node.after) for node in graph.nodes]
    assert list(questions) == ["evaluation", "timing", "sampling", "fine_tuning"]
    sampling, of_other = questions["sampling"]
    assert len(sampling.jobs) == 4, "full precision is measured already"
    assert (of_other.name, len(of_other.jobs)) == ("sampling, other", 3)
    assert [(phase.name, len(phase.jobs)) for phase in questions["fine_tuning"]] == [
        ("fine_tuning, net, to step 6: before", 2),
        ("fine_tuning, net, to step 6", 1),
        ("fine_tuning, other, to step 6: before", 2),
        ("fine_tuning, other, to step 6", 1),
    ]
    assert [len(phase.jobs) for phase in planned(root, everything=True)["fine_tuning"]] == [4, 2, 2, 1]


@pytest.mark.slow
def test_measured_durations_replace_estimates(root):
    (phase,) = planned(root)["evaluation"]
    assert not any(job.measured for job in phase.jobs) and all(job.seconds > 0 for job in phase.jobs)
    cells = read_plan([part(methods=["adabm", "minmax"], sets=["First", "Second"])], root, EFFORT)
    run_plan(cells, EFFORT, ResultCache.default(root), device="cpu")
    (phase,) = planned(root)["evaluation"]
    assert all(job.measured for job in phase.jobs) and sum(job.seconds for job in phase.jobs) < 60


def test_what_is_printed(root, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scaling", "--params", "params.yaml", "--workers", "1", "40"])
    assert scaling.main() == 0
    out = capsys.readouterr().out
    assert "durations of 0 are measured" in out and "| 40 |" in out and "Not simulated: other" in out
    assert "* timing, alone on the machine" in out and "then measure net by adabm" in out
    (root / "results" / "tiny" / "timing" / "timing.csv").unlink()
    assert scaling.main() == 1
    assert "results/tiny/timing/timing.csv: is not there" in capsys.readouterr().err
