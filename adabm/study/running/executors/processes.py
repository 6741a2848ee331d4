"""Processes of this machine: as many pools of one process each, so that a process that dies costs its own task alone."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ....errors import ConfigError
from .environment import gpus, starting, worker_count, worker_variables
from .registry import EXECUTORS, Request, Workers


class Processes(Executor):
    """An executor whose processes do not fall together: in one pool of many, the first that dies takes all others with it."""

    def __init__(self, count: int, device: str) -> None:
        self._device = device
        self._gpus = gpus() if device != "cpu" else []
        self._pools = [self._pool(place) for place in range(count)]
        self._given: list[list[Future]] = [[] for _ in range(count)]

    def _pool(self, place: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a forked torch with live threads can hang
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(gpu,))

    def submit(self, function: Callable, /, *arguments, **named) -> Future:
        """Give a call to the process with the fewest; one that died is replaced first."""
        self._given = [[future for future in futures if not future.done()] for futures in self._given]
        place = min(range(len(self._given)), key=lambda index: len(self._given[index]))
        with starting(worker_variables(self._device)):  # a pool starts its process with its first call
            try:
                future = self._pools[place].submit(function, *arguments, **named)
            except BrokenProcessPool:
                self._pools[place] = self._pool(place)
                future = self._pools[place].submit(function, *arguments, **named)
        self._given[place].append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for pool in self._pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """End all processes at once, whatever they do."""
        for pool in self._pools:  # from Python 3.14 on: kill_workers
            for process in list((pool._processes or {}).values()):
                process.kill()
        self.shutdown(cancel_futures=True)


def _begin(gpu: str | None) -> None:
    """Compute on a GPU of one's own, and end with the process that started this one, whatever ends that."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@EXECUTORS.register("processes")
@contextmanager
def processes(request: Request) -> Iterator[Workers]:
    """Processes of this machine, by default one a core, or one a GPU; at most as many as the argument says.

    Raises:
        ConfigError: the argument is no positive number.
    """
    most = request.argument
    if most and not (most.isascii() and most.isdecimal() and int(most) > 0):
        raise ConfigError(f"executor 'processes:{most}': say how many processes at most, as in processes:1")
    count = worker_count(request.workers, min(request.tasks, int(most or request.tasks)), request.device)
    executor = Processes(count, request.device)
    try:
        yield Workers(executor, lambda: count)
    except BaseException:
        executor.kill()
        raise
    executor.shutdown()
