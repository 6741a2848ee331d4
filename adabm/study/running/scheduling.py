"""Carry out a graph of tasks on an executor: the most valuable first, each after what it waits for; lost workers and Ctrl-C."""

import heapq
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from uuid import uuid4

from tqdm import tqdm

from ...errors import StudyError
from .calls import CallTask
from .executors import Request, Workers, chosen, open_workers
from .graph import Node, Task, TaskGraph
from .tasks import ModelTask
from .working import Outcome, Study, perform

_LOOK_AGAIN_S = 2.0  # for workers that joined


class TaskFailed(Exception):
    """What happened in a worker: the traceback, as text."""


def carry_out(graph: TaskGraph, executor: str | None, workers: int | None, device: str, folder: Path) -> None:
    """Carry out all tasks.

    Args:
        executor: see :func:`adabm.study.running.executors.open_workers`; ``ADABM_EXECUTOR`` overrides it.
        folder: shared by all workers.

    Raises:
        StudyError: a task failed, or lost its workers again and again; its message names the run.
        ConfigError: there is no such executor.
    """
    if not graph.nodes:
        return
    request = Request(workers, len(graph.nodes), device, folder)
    with _noting_signals() as lost, open_workers(chosen(executor), request) as opened:
        _Schedule(graph, opened, lost).run()


class _Schedule:
    def __init__(self, graph: TaskGraph, workers: Workers, raise_lost: Callable[[], None]) -> None:
        self._nodes, self._workers, self._raise_lost = graph.nodes, workers, raise_lost
        self._study = Study(uuid4().hex, Path.cwd())
        self._sorter = TopologicalSorter({i: [] if n.after is None else [n.after] for i, n in enumerate(graph.nodes)})
        self._sorter.prepare()
        self._ready: list[tuple[int, int]] = []  # order, place
        self._running: dict[Future, int] = {}
        self._losses: Counter[int] = Counter()
        self._diverged: set[int] = set()

    def run(self) -> None:
        with tqdm(total=len(self._nodes), unit="task", mininterval=1.0) as bar:
            while self._sorter.is_active():
                self._raise_lost()
                for place in self._sorter.get_ready():
                    heapq.heappush(self._ready, (self._nodes[place].order, place))
                if self._skip_what_diverged(bar):
                    continue
                self._submit()
                done, _ = wait(self._running, _LOOK_AGAIN_S, FIRST_COMPLETED)
                for future in done:
                    place = self._running.pop(future)
                    if self._settled(future, place):
                        self._sorter.done(place)
                        bar.update()
                        bar.set_postfix_str(_name(self._nodes[place].task))
            self._raise_lost()

    def _skip_what_diverged(self, bar: tqdm) -> bool:
        """Leave out what waited for a model that there will not be."""
        skipped = {place for _, place in self._ready if self._nodes[place].after in self._diverged}
        self._ready = [entry for entry in self._ready if entry[1] not in skipped]
        heapq.heapify(self._ready)
        if skipped:
            self._sorter.done(*skipped)
            bar.update(len(skipped))
        return bool(skipped)

    def _submit(self) -> None:
        free = max(1, self._workers.slots()) - len(self._running)
        for _ in range(min(free, len(self._ready))):
            _, place = heapq.heappop(self._ready)
            task = self._nodes[place].task
            self._running[self._workers.executor.submit(perform, task, task.identity, self._study)] = place

    def _settled(self, future: Future, place: int) -> bool:
        """Whether a task is done; one that lost its worker is ready again."""
        node = self._nodes[place]
        try:
            outcome: Outcome = future.result()
        except self._workers.lost as error:
            self._losses[place] += 1
            if self._losses[place] < self._workers.tries:
                heapq.heappush(self._ready, (node.order, place))
                return False
            raise _failure(node, _lost(error, self._workers.tries)) from error
        except CancelledError as error:
            raise _failure(node, "the executor gave it up; is its scheduler still there?") from error
        except Exception as error:
            raise _failure(node, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if outcome.failure is not None:
            raise _failure(node, outcome.failure) from TaskFailed(outcome.details)
        if outcome.diverged:
            self._diverged.add(place)
        return True


def _lost(error: BaseException, tries: int) -> str:
    times = f"{tries} times" if tries > 1 else "again and again"
    told = " ".join(str(error).split())
    return f"its worker was killed {times}, perhaps for lack of memory; fewer workers a machine need less ({told})"


def _failure(node: Node, reason: str) -> StudyError:
    return StudyError(
        f"{_name(node.task)}: {reason.rstrip('.')}. What was completed is kept; the next run goes on from there."
    )


def _name(task: Task) -> str:
    if isinstance(task, CallTask):
        return task.title
    model = task if isinstance(task, ModelTask) else task.model
    run = model.run
    return f"{model.backbone.stem}, {run.method} at {run.setting}, seed {run.seed}"


@contextmanager
def _noting_signals() -> Iterator[Callable[[], None]]:
    """Let SIGINT and SIGTERM end the tasks, so that no worker goes on: SIGTERM as Ctrl-C does, where it would end this process on the spot.

    Yields:
        What raises the exception of such a signal again, where code that ran when it came has kept it to itself.
    """
    raised: list[BaseException] = []

    def raise_lost() -> None:
        if raised:
            raise raised[0]

    if threading.current_thread() is not threading.main_thread():
        yield raise_lost
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        try:
            if before[number] == signal.SIG_DFL:
                sys.exit(128 + number)
            before[number](number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    noted = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in noted:
            signal.signal(number, note)
        yield raise_lost
    finally:
        for number in noted:
            signal.signal(number, before[number])
