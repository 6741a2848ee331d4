"""Jobs of a batch system through submitit: Slurm, or for trying, processes of this machine. Every task is a job."""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ....errors import ConfigError
from ....support.yaml_files import parse_yaml
from .environment import starting, worker_count, worker_variables
from .registry import EXECUTORS, Request, Workers, optional

_SLURM_JOBS = 100  # at a time, where the number of workers is left to the executor
_DAY_MIN = 24 * 60  # submitit's own limits are minutes


class LostJob(BrokenExecutor):
    """A job ended without a result: killed, out of memory or time, or its machine went down."""


class Jobs(Executor):
    """Futures of submitit's jobs, which a thread looks after."""

    def __init__(self, submitter: Any, variables: Mapping[str, str], poll_s: float) -> None:
        self._submitter, self._variables, self._poll_s = submitter, variables, poll_s
        self._jobs: dict[Future, Any] = {}
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def submit(self, function: Callable, /, *arguments, **named) -> Future:
        """Queue a call as a job."""
        future: Future = Future()
        future.set_running_or_notify_cancel()  # before the thread can see it, which may find the job done at once
        with starting(self._variables), self._lock:
            self._jobs[future] = self._submitter.submit(_Call(function, arguments, named))
        return future

    def _look_after(self) -> None:
        while not self._closed.wait(self._poll_s):
            with self._lock:
                jobs = dict(self._jobs)
            for future, job in jobs.items():
                try:
                    if not job.done():
                        continue
                    outcome = job.result()
                except Exception as error:
                    future.set_exception(LostJob(f"job {job.job_id}: {_last_line(error)}; logs: {job.paths.folder}"))
                else:
                    future.set_result(outcome)
                with self._lock:
                    del self._jobs[future]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop looking after jobs; those that have not ended are cancelled."""
        self._closed.set()
        if wait:
            self._thread.join()
        for future, job in self._jobs.items():
            job.cancel(check=False)
            if not future.done():
                future.set_exception(LostJob(f"job {job.job_id}: cancelled"))
        self._jobs.clear()


class _Call:
    """A call that is submitted again as it is where Slurm preempts its job or its time ends: tasks go on where they stopped."""

    def __init__(self, function: Callable, arguments: tuple, named: dict) -> None:
        self.function, self.arguments, self.named = function, arguments, named

    def __call__(self) -> Any:
        return self.function(*self.arguments, **self.named)

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    return lines[-1].strip() if lines else type(error).__name__


def _options(argument: str) -> dict[str, Any]:
    """Read ``partition=cpu,time=240`` into submitit's parameters."""
    options = {}
    for text in filter(None, argument.split(",")):
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"executor option {text!r}: must be name=value, as in slurm:slurm_partition=cpu,timeout_min=240"
            )
        options[name] = parse_yaml(value)
    return options


@contextmanager
def _jobs(request: Request, cluster: str, slots: int, poll_s: float, **defaults: Any) -> Iterator[Workers]:
    name = "slurm" if cluster == "slurm" else "submitit-local"
    submitit = optional("submitit", name)
    folder: Path = request.folder / "jobs" / uuid4().hex[:12]
    try:
        submitter = submitit.AutoExecutor(folder, cluster=cluster)
        submitter.update_parameters(**(defaults | _options(request.argument)))
    except (NameError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise ConfigError(f"executor {name!r}: {str(error).splitlines()[0]}") from None
    executor = Jobs(submitter, worker_variables(request.device), poll_s)
    try:
        yield Workers(executor, lambda: slots)
    finally:
        executor.shutdown()
    shutil.rmtree(folder, ignore_errors=True)  # of a study that failed, the logs stay


@EXECUTORS.register("slurm")
def slurm(request: Request):
    """Jobs of Slurm, one a task; options are submitit's: ``slurm:slurm_partition=cpu,timeout_min=240``."""
    slots = min(request.workers or _SLURM_JOBS, request.tasks)
    needs = {"cpus_per_task": 1} if request.device == "cpu" else {"gpus_per_node": 1}
    return _jobs(request, "slurm", slots, 2.0, **({"timeout_min": _DAY_MIN, "name": "adabm"} | needs))


@EXECUTORS.register("submitit-local")
def submitit_local(request: Request):
    """Processes of this machine that submitit starts as it would start Slurm's jobs, for trying."""
    slots = worker_count(request.workers, request.tasks, request.device)
    needs = {} if request.device == "cpu" else {"gpus_per_node": 1}
    return _jobs(request, "local", slots, 0.1, **({"timeout_min": _DAY_MIN} | needs))
