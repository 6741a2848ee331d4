"""Where tasks run: the same tables from every executor, workers that die, studies that share a cache, executors of one's own."""

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from multiprocessing import resource_tracker
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from adabm.errors import ConfigError
from adabm.study import ResultCache, evaluation_tables, read_plan, run_plan
from adabm.study.running import working
from adabm.study.running.executors import (
    EXECUTORS,
    Request,
    chosen,
    dask_cluster,
    jobs,
    open_workers,
    registry,
)
from adabm.study.running.executors.environment import gpus, starting, worker_count, worker_variables
from adabm.study.running.graph import TaskGraph
from adabm.study.running.tasks import MeasureTask, ModelTask
from adabm.study.running.traces import TraceTask
from adabm.study.variables import EXECUTOR_VARIABLE
from helpers.forked import fork_instead
from helpers.own_executor import NAME, THREADS
from helpers.study_files import EFFORT, Counted, compute_here, forget, part, write_network, write_study
from helpers.study_processes import claiming, group, kept, start, wait_for

ROOT = Path(__file__).parents[1]
FATAL = """import multiprocessing, os, pathlib, signal
deaths = pathlib.Path(__file__).with_suffix(".deaths")
count = len(deaths.read_text()) if deaths.exists() else 0
if (multiprocessing.parent_process() or "FATAL" in os.environ) and count < {times}:
    deaths.write_text("x" * (count + 1))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forget()
    return write_study(tmp_path)


def csv(root: Path, executor: str | None = None, plan=None, workers: int = 1, cache: str = "cache") -> list[str]:
    """The tables of a plan whose models are not fine-tuned, for which each process would import torch's compiler."""
    cells = read_plan(plan or [part(methods=["adabm-notune"])], root, EFFORT)
    results = run_plan(cells, EFFORT, ResultCache(root / cache), workers, "cpu", executor)
    return [table.to_csv() for table in evaluation_tables(results)]


def csv_here(root: Path, **options) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        compute_here(patch)
        return csv(root, cache="here", **options)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# -- the same tables -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "dask", "submitit-local"])
def test_every_executor_gives_the_same_bytes(root, executor, monkeypatch):
    counted = Counted(monkeypatch)
    monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False)
    environment = {name: os.environ.get(name) for name in worker_variables("cpu")}
    elsewhere = csv(root, executor, workers=2 if executor == "submitit-local" else 1)
    assert counted.take() == (0, 0)
    assert environment == {name: os.environ.get(name) for name in environment}
    assert not list((root / "cache").rglob("*.lock")) + list((root / "cache").rglob("*.pkl"))
    assert elsewhere == csv_here(root)


@pytest.mark.slow
def test_a_scheduler_of_which_a_worker_dies(root, monkeypatch):
    (root / "fatal.py").write_text(FATAL.format(times=1))
    plan = [part(methods=["minmax"], imports=["fatal.py"])]
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--no-nanny",
        "--nthreads",
        "1",
        "--no-dashboard",
    ]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root)
    processes = [subprocess.Popen([*command, "--no-dashboard"], **quiet)]
    processes += [subprocess.Popen(worker, env={**os.environ, "FATAL": "1"}, **quiet) for _ in range(2)]
    try:
        monkeypatch.setenv(EXECUTOR_VARIABLE, f"dask:{address}")
        tables = csv(root, plan=plan)
        assert (root / "fatal.deaths").read_text() == "x"
        assert sum(process.poll() is not None for process in processes[1:]) == 1
        assert tables == csv_here(root, plan=plan)
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_lost_process_costs_its_task_alone(root, monkeypatch):
    fork_instead(monkeypatch)
    (root / "fatal.py").write_text(FATAL.format(times=1))
    plan = [part(sets=["Second"], settings=[], methods=[], imports=["fatal.py"])]
    assert csv(root, plan=plan) == csv_here(root, plan=plan)
    assert (root / "fatal.deaths").read_text() == "x"


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_told(root):
    (root / "fatal.py").write_text(FATAL.format(times=9))
    with pytest.raises(
        RuntimeError, match="net, fp32 at FP32, seed 0: its worker was killed 3 times, perhaps for lack of memory"
    ):
        csv(root, plan=[part(sets=["Second"], settings=[], methods=[], imports=["fatal.py"])])
    assert (root / "fatal.deaths").read_text() == "xxx"


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_dask_ends_at_once(root, ending):
    """SIGINT goes to all processes, as from a terminal; SIGTERM to the parent alone."""
    plan = [part(methods=["adabm"], settings=["W4A4 FQ", "W6A6", "W8A6"], seeds=[0, 1, 2])]
    (root / "params.yaml").write_text(yaml.safe_dump(dict(evaluation=dict(**dataclasses.asdict(EFFORT), plan=plan))))
    study = start(root, 1, "--executor", "dask")
    wait_for(lambda: kept(root) or study.poll() is not None)
    assert study.poll() is None, study.communicate()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(study.pid, ending) if ending == signal.SIGINT else study.send_signal(ending)
    _, errors = study.communicate()
    wait_for(lambda: not group(study.pid))
    assert study.returncode == (130 if ending == signal.SIGINT else 143) and "Traceback" not in errors, errors
    assert all(ResultCache(root / "cache").load_record(path.stem) is not None for path in kept(root))


# -- a cache that several share --------------------------------------------------------------------


@pytest.mark.slow
def test_two_studies_at_once_on_one_cache(root):
    plan = [part(methods=["adabm"])]
    (root / "own.py").write_text(THREADS)
    (root / "params.yaml").write_text(yaml.safe_dump(dict(evaluation=dict(**dataclasses.asdict(EFFORT), plan=plan))))
    command = [sys.executable, "-m", "pipelines.stages.measure", "--params", "params.yaml", "--device", "cpu"]
    command += ["--executor", f"{root / 'own.py'}:{NAME}"]
    environment = {**os.environ, "ADABM_CACHE": str(root / "cache")}
    studies = [
        subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [study.communicate()[1] for study in studies]
    assert [study.returncode for study in studies] == [0, 0], told
    assert not list((root / "cache").rglob("*.lock")) + list((root / "cache").rglob("*.partial"))
    with pytest.MonkeyPatch.context() as patch:
        compute_here(patch)
        counted = Counted(patch)
        tables = csv(root, plan=plan)
        assert counted.take() == (0, 0)
    assert tables == csv_here(root, plan=plan)


def test_a_model_that_another_study_computes_is_waited_for(root, monkeypatch):
    counted = Counted(monkeypatch)
    cell = read_plan([part()], root, EFFORT)[1]
    task = ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache"))
    waiting = threading.Thread(target=task.carry_out)
    with task.cache.claimed(task.key):
        waiting.start()
        task.quantize_and_keep(task.key)
    waiting.join()
    assert counted.take() == (1, 0) and task.done()


def test_a_claim_of_a_dead_process_is_none(root):
    owner = claiming(root, "abc")
    entered = threading.Event()

    def claim() -> None:
        with ResultCache(root).claimed("abc"):
            entered.set()

    thread = threading.Thread(target=claim)
    thread.start()
    assert not entered.wait(0.3)
    owner.kill()
    owner.join()
    thread.join(60)
    assert entered.is_set()


def test_a_file_system_without_locks(root, monkeypatch):
    """Neither a claim of one's own nor the file that a dead process left makes anyone wait."""

    def none(_file, _operation):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr("fcntl.flock", none)
    with ResultCache(root).claimed("abc"), ResultCache(root).claimed("abc"):
        (root / "models" / "abc.lock").touch()
    with ResultCache(root).claimed("abc"):
        pass


def test_who_waits_for_a_claim_and_who_comes_later_exclude_each_other(root):
    """Though the file of the claim that was waited for is gone by then."""
    inside, most, lock = [], [], threading.Lock()

    def claim() -> None:
        for _ in range(20):
            with ResultCache(root).claimed("abc"):
                with lock:
                    inside.append(1)
                    most.append(len(inside))
                time.sleep(0.001)
                with lock:
                    inside.pop()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


def test_a_trace_claims_the_model_that_it_ends_with(root, monkeypatch):
    claimed, claim = [], ResultCache.claimed
    monkeypatch.setattr(ResultCache, "claimed", lambda self, key: claimed.append(key) or claim(self, key))
    cell = read_plan([part(methods=["adabm"])], root, EFFORT)[1]
    task = ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(root / "cache"))
    trace = TraceTask(task, cell.pictures.files, (cell.run.config(EFFORT).step("tune").total_steps,))
    trace.carry_out()
    assert claimed == [trace.progress_key, task.key] and task.done()


def test_a_job_that_is_done_at_once(monkeypatch, tmp_path):
    """Before the one who submits it has its future."""

    class Job:
        job_id, paths = "1", SimpleNamespace(folder=tmp_path)
        done, result = staticmethod(lambda: True), staticmethod(lambda: 7)

    class Slow(Future):
        def set_running_or_notify_cancel(self) -> bool:
            time.sleep(0.05)
            return super().set_running_or_notify_cancel()

    monkeypatch.setattr(jobs, "Future", Slow)
    executor = jobs.Jobs(SimpleNamespace(submit=lambda call: Job()), {}, 0.001)
    assert [executor.submit(print).result(10) for _ in range(3)] == [7] * 3
    executor.shutdown()


def test_durations_are_kept_beside_the_results(root, monkeypatch):
    compute_here(monkeypatch)
    csv(root)
    cache = ResultCache(root / "cache")
    cells = read_plan([part(methods=["adabm-notune"])], root, EFFORT)
    model = ModelTask(cells[1].backbone, cells[1].calibration, cells[1].run, EFFORT, cache)
    measuring = MeasureTask(model, cells[1].pictures.files, None)
    keys = [model.key, *map(measuring.picture_key, measuring.files)]
    assert all(cache.load_seconds(key) > 0 for key in keys) and cache.load_seconds("other") is None


# -- workers that are not like the others ----------------------------------------------------------


def first_task(root: Path) -> MeasureTask:
    cell = read_plan([part(settings=[], methods=[])], root, EFFORT)[0]
    model = ModelTask(cell.backbone, (), cell.run, EFFORT, ResultCache(root / "cache"))
    return MeasureTask(model, cell.pictures.files, None)


def test_a_worker_with_other_code_or_files_refuses(root):
    task = first_task(root)
    outcome = working.perform(task, "other", working.Study("one", root))
    assert "has another version of adabm, torch" in outcome.failure and not (root / "cache" / "pictures").exists()


def test_a_worker_that_lives_long_sees_changed_files(root):
    task = first_task(root)
    before = task.identity
    assert working.perform(task, before, working.Study("one", root)).failure is None
    write_network(root / "net.safetensors", seed=1)
    assert "another version" not in (working.perform(task, before, working.Study("one", root)).failure or "")
    assert "another version" in working.perform(task, before, working.Study("two", root)).failure
    assert working.perform(task, task.identity, working.Study("two", root)).failure is None
    first, second = (ResultCache(root / "cache").load_record(key) for key in (before, task.identity))
    assert first["psnr_y_db"] != second["psnr_y_db"]


# -- order -----------------------------------------------------------------------------------------


def test_models_come_before_their_pictures_and_value_first(root):
    cells = read_plan([part(sets=["First", "Second"], methods=["minmax"])], root, EFFORT)
    cache = ResultCache(root / "cache")
    graph = TaskGraph()
    for order, cell in enumerate(cells):
        graph.add_cell(order, ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, cache), cell)
    told = [(node.order, type(node.task).__name__, node.after) for node in graph.nodes]
    assert told == [
        (0, "MeasureTask", None),
        (1, "ModelTask", None),
        (1, "MeasureTask", 1),
        (2, "MeasureTask", None),
        (3, "MeasureTask", 1),
    ]


# -- choosing --------------------------------------------------------------------------------------

REQUEST = Request(1, 1, "cpu", Path())


def test_an_executor_of_ones_own(root, monkeypatch):
    (root / "own.py").write_text(THREADS)
    monkeypatch.setenv(EXECUTOR_VARIABLE, f"{root / 'own.py'}:{NAME}")
    assert csv(root) == csv_here(root)
    EXECUTORS._entries.pop(NAME)


def test_what_is_chosen(monkeypatch):
    monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False)
    assert (chosen(), chosen("dask")) == ("processes", "dask")
    monkeypatch.setenv(EXECUTOR_VARIABLE, "slurm:slurm_partition=cpu")
    assert chosen("dask") == "slurm:slurm_partition=cpu"


@pytest.mark.parametrize("setting, message", [
    ("proceses", "unknown executor 'proceses'; did you mean 'processes'"),
    ("nowhere.py:mine", "nowhere.py: no such file"),
    ("mine.py", "say which one of the file, as in mine.py:name"),
    ("dask:tcp://127.0.0.1:9", "no scheduler answers there .*; start one with: dask scheduler"),
    ("submitit-local:partition", "executor option 'partition': must be name=value"),
    ("submitit-local:slrm_partition=a", "executor 'submitit-local': .*slrm_partition"),
])  # fmt: skip
def test_impossible_executors_are_told(setting, message, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_ANSWER_S", 0.5)
    with (
        pytest.raises(ConfigError, match=message),
        open_workers(setting, dataclasses.replace(REQUEST, folder=tmp_path)),
    ):
        pass


def test_slurm_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ConfigError, match="executor 'slurm': .*srun"),
        open_workers("slurm", dataclasses.replace(REQUEST, folder=tmp_path)),
    ):
        pass


def test_a_package_that_is_not_there():
    with pytest.raises(
        ConfigError, match="executor 'dask' needs the package adabm_nothing .*pip install 'adabm.cluster.'"
    ):
        registry.optional("adabm_nothing", "dask")


def test_options_of_slurm():
    assert jobs._options("slurm_partition=cpu,timeout_min=240,mem_gb=4.5") == dict(
        slurm_partition="cpu", timeout_min=240, mem_gb=4.5
    )


def test_workers_of_this_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    assert [worker_count(None, 9, "cpu"), worker_count(None, 2, "cpu"), worker_count(8, 9, "cpu")] == [4, 2, 8]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpus() == ["2", "5"] and worker_count(None, 9, "cuda") == 2


def test_processes_start_with_one_thread():
    assert worker_variables("cpu")["OMP_NUM_THREADS"] == "1" and "OMP_NUM_THREADS" not in worker_variables("cuda")
    before = dict(os.environ)
    with starting(worker_variables("cpu")):
        code = "import os; print(os.environ['OMP_NUM_THREADS'])"  # which torch obeys
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"
    assert dict(os.environ) == before


def test_the_first_processes_do_not_see_ctrl_c(monkeypatch):
    tracker = resource_tracker.ResourceTracker()  # not running, as in a process that has started no other one
    for name in ("ensure_running", "getfd"):
        monkeypatch.setattr(resource_tracker, name, getattr(tracker, name))
    try:
        with starting({}):
            resource_tracker.getfd()  # as the start of each process does
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        tracker._stop()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("most, count", [("", 3), ("1", 1), ("2", 2), ("7", 3)])
def test_there_are_no_more_processes_than_the_argument_says(monkeypatch, tmp_path, most, count):
    request = Request(3, 5, "cpu", tmp_path)
    with open_workers(f"processes:{most}" if most else "processes", request) as workers:
        assert workers.slots() == count


@pytest.mark.parametrize("most", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none(tmp_path, most):
    with pytest.raises(ConfigError, match=f"executor 'processes:{most}': say how many processes at most"):
        with open_workers(f"processes:{most}", Request(3, 5, "cpu", tmp_path)):
            pass


@pytest.mark.slow
def test_timings_run_in_this_process_whatever_the_executor(root, monkeypatch):
    from adabm.study import Run
    from adabm.study.running.timing import Workload, time_parts

    monkeypatch.setenv(EXECUTOR_VARIABLE, "none that exists")
    low = tuple(sorted((root / "data" / "calibration" / "LR").iterdir()))
    workload = Workload(root / "net.safetensors", low, EFFORT, Run.at("adabm", "W4A4 FQ"), (1,), (1,), low[0])
    assert next(iter(time_parts(workload, 1)))[2] > 0
