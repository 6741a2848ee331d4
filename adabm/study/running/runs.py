"""Carry out a plan: several processes at once, every result kept, the most valuable cells first."""

import heapq
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import pandas as pd
import torch
from tqdm import tqdm

from ...engines.evaluation import Evaluation
from ...errors import AdabmError, ConfigError
from ...networks import load_network
from ...quantization.model import QuantizedSR
from ..origin.fingerprint import file_hash
from ..plan.cells import Cell, Effort
from .cache import ResultCache
from .tasks import MeasureTask, ModelTask
from .traces import TraceTask

Task = ModelTask | MeasureTask | TraceTask
_CHUNK = 5  # pictures a task; small, so that no core waits long for the others at the end
MEASURED, NOT_RUN, DIVERGED = "measured", "not run", "diverged"


@dataclass(frozen=True)
class CellResult:
    """A cell with its per-picture rows and means; both None unless ``status`` is ``measured``.

    Where it is ``diverged``, ``reason`` tells why.
    """

    cell: Cell
    status: str
    pictures: pd.DataFrame | None = None
    summary: dict[str, float] | None = None
    reason: str | None = None


def find_device(device: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` is a GPU where there is one.

    Raises:
        ConfigError: another name, or ``cuda`` where there is no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device = {device!r}: must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch finds no GPU here; use cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def run_plan(
    cells: Sequence[Cell], effort: Effort, cache: ResultCache, workers: int | None = None, device: str = "auto"
) -> list[CellResult]:
    """Measure the wanted cells in their order, several at once; results come in the order of ``cells``.

    On the CPU each process computes on one thread, so that the results are the same on any number of
    cores. What the cache holds is not computed again; an interrupted run goes on at the picture, or the
    round of fine-tuning, where it stopped.

    Args:
        workers: processes; by default one a core, or one on a GPU.
        device: see :func:`find_device`.

    Raises:
        RuntimeError: a task failed; its message names the run. What was completed is kept, and so it is
            after Ctrl-C; the processes end at once.
        ConfigError: ``workers`` is not positive, or there is no GPU where ``device`` says so.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers = {workers}: must be at least 1")
    file_hash.cache_clear()  # an earlier plan of this process may have seen other contents
    device = find_device(device)
    workers = workers or (len(os.sched_getaffinity(0)) if device == "cpu" else 1)
    models = {
        cell: ModelTask(cell.backbone, cell.calibration, cell.run, effort, cache, device, cell.imports)
        for cell in cells
    }
    queue = _Queue()
    for order, cell in enumerate(cells):
        if cell.wanted:
            queue.add(order, models[cell], cell)
    _carry_out(queue, workers)
    return [_result(cell, models[cell]) for cell in cells]


def run_traces(tasks: Sequence[TraceTask], workers: int | None = None) -> None:
    """Carry out the traces that the cache lacks, several at once, as :func:`run_plan` does its tasks."""
    file_hash.cache_clear()
    queue = _Queue()
    for order, task in enumerate(tasks):
        if not task.done():
            queue.add_trace(order, task)
    _carry_out(queue, workers or len(os.sched_getaffinity(0)))


class _Queue:
    """Tasks by priority; pictures of a model wait until the model is there."""

    def __init__(self) -> None:
        self._ready: list[tuple[int, int, Task]] = []
        self._waiting: dict[str, list[tuple[int, MeasureTask]]] = {}
        self._ties = itertools.count()
        self._done: set[str] = set()
        self.size = 0

    def add(self, order: int, model: ModelTask, cell: Cell) -> None:
        task = MeasureTask(model, cell.pictures.files, cell.pictures.tile, cell.pictures.engine)
        missing = task.missing()
        if not missing or model.divergence() is not None:
            return
        chunks = [replace(task, files=tuple(missing[i : i + _CHUNK])) for i in range(0, len(missing), _CHUNK)]
        self.size += len(chunks)
        if model.key in self._done or (model.key not in self._waiting and model.done()):
            self._done.add(model.key)
            for chunk in chunks:
                self._push(order, chunk)
            return
        if model.key not in self._waiting:
            self._waiting[model.key] = []
            self._push(order, model)
            self.size += 1
        self._waiting[model.key] += [(order, chunk) for chunk in chunks]

    def add_trace(self, order: int, task: TraceTask) -> None:
        self._push(order, task)
        self.size += 1

    def _push(self, order: int, task: Task) -> None:
        heapq.heappush(self._ready, (order, next(self._ties), task))

    def pop(self) -> Task | None:
        return heapq.heappop(self._ready)[2] if self._ready else None

    def finished(self, task: Task) -> int:
        """Release what waited for a model; return how many tasks fell away because it diverged."""
        if not isinstance(task, ModelTask):
            return 0
        waiting = self._waiting.pop(task.key)
        if task.divergence() is not None:
            return len(waiting)
        for order, chunk in waiting:
            self._push(order, chunk)
        return 0


def _carry_out(queue: _Queue, workers: int) -> None:
    if queue.size == 0:
        return
    with tqdm(total=queue.size, unit="task", mininterval=1.0) as bar, _pool(min(workers, queue.size)) as pool:
        running: dict[Future, Task] = {}
        while True:
            while len(running) < workers and (task := queue.pop()) is not None:
                with _ctrl_c_held_back():
                    running[pool.submit(task.carry_out)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task = running.pop(future)
                _check(future, task)
                bar.update(1 + queue.finished(task))
                bar.set_postfix_str(_name(task))


def _check(future: Future, task: Task) -> None:
    try:
        future.result()
    except Exception as error:
        if isinstance(error, BrokenProcessPool):
            reason = "a process was killed, perhaps for lack of memory; fewer workers need less"
        elif isinstance(error, (AdabmError, OSError)):
            reason = str(error)
        else:
            reason = f"{type(error).__name__}: {error}"
        raise RuntimeError(
            f"{_name(task)}: {reason}. What was completed is kept; the next run goes on from there."
        ) from error


def _name(task: Task) -> str:
    model = task if isinstance(task, ModelTask) else task.model
    run = model.run
    return f"{model.backbone.stem}, {run.method} at {run.setting}, seed {run.seed}"


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end when this one does, whatever ends it, and at once after an error or Ctrl-C."""
    context = multiprocessing.get_context("spawn")  # a forked torch with live threads can hang
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with, initargs=(watched,))
    try:
        with _keeping_memory():
            yield pool
    except BaseException:
        held.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        watched.close()


def _end_with(watched: Connection) -> None:
    """End this process as soon as nobody holds the other end of the pipe any more."""

    def watch() -> None:
        watched.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes that start inside never see Ctrl-C, which terminals send to all: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _keeping_memory() -> Iterator[None]:
    """Processes that start inside keep the memory they free.

    glibc returns large blocks to the system at once and gets them back page by page, a tenth of the
    time of a fine-tuning step.
    """
    settings = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _result(cell: Cell, model_task: ModelTask) -> CellResult:
    if not cell.wanted:
        return CellResult(cell, NOT_RUN)
    if (reason := model_task.divergence()) is not None:
        return CellResult(cell, DIVERGED, reason=reason)
    task = MeasureTask(model_task, cell.pictures.files, cell.pictures.tile, cell.pictures.engine)
    evaluation = Evaluation.of(task.results())
    model = QuantizedSR(load_network(cell.backbone), cell.run.config())  # its cost is the same, whatever its ranges
    return CellResult(cell, MEASURED, evaluation.pictures, evaluation.summary(model))
