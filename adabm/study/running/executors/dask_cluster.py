"""Dask: a cluster of this machine, or the workers of a scheduler that runs somewhere."""

import contextlib
import importlib
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from ....errors import ConfigError
from .environment import gpus, starting, worker_count, worker_variables
from .registry import EXECUTORS, Request, Workers, optional

_ANSWER_S, _PATIENCE_S = 10, 60  # until a scheduler must answer, and its first worker have joined


@EXECUTORS.register("dask")
@contextmanager
def dask(request: Request) -> Iterator[Workers]:
    """A Dask cluster of this machine, or with an address (``dask:tcp://host:8786``) that of a running scheduler.

    A scheduler of one's own has as many workers as joined it, each of one thread.
    """
    distributed = optional("distributed", "dask")
    with _joined(distributed, request) if request.argument else _local(distributed, request) as client:
        executor = client.get_executor(pure=False)
        try:
            yield Workers(executor, lambda: len(client.nthreads()), (distributed.KilledWorker,), tries=1)
        except BaseException:
            executor.shutdown(wait=False)
            raise


@contextmanager
def _joined(distributed: ModuleType, request: Request) -> Iterator:
    address = request.argument
    try:
        client = distributed.Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"executor 'dask:{address}': no scheduler answers there ({error}); start one with: dask scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError:
            raise ConfigError(
                f"executor 'dask:{address}': no worker joined in {_PATIENCE_S} s; start some with: "
                f"dask worker {address} --nthreads 1 --nworkers 2"
            ) from None
        several = {worker: threads for worker, threads in client.nthreads().items() if threads != 1}
        if several:
            worker, threads = next(iter(several.items()))
            raise ConfigError(
                f"executor 'dask:{address}': the worker {worker} has {threads} threads, whose numbers would differ; "
                "start workers with --nthreads 1, and --nworkers for several on a machine"
            )
        yield client


@contextmanager
def _local(distributed: ModuleType, request: Request) -> Iterator:
    config = importlib.import_module("dask.config")  # the library's
    variables = worker_variables(request.device)
    with config.set({"distributed.nanny.pre-spawn-environ": variables}), starting(variables):
        cluster = distributed.LocalCluster(
            n_workers=worker_count(request.workers, request.tasks, request.device),
            threads_per_worker=1,
            memory_limit=0,  # none, as processes have none
            dashboard_address="127.0.0.1:0",  # a free port: two studies may run at once
            silence_logs=logging.CRITICAL,
        )
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.close)
        try:
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
            if request.device != "cpu":
                client.run(_take_gpu, gpus(), [worker.worker_address for worker in cluster.workers.values()])
            yield client
        except BaseException:
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                with contextlib.suppress(OSError, TypeError):  # gone already
                    os.kill(nanny.pid, signal.SIGKILL)
            raise


def _take_gpu(names: list[str], addresses: list[str]) -> None:
    """In a worker: compute on a GPU of its own."""
    from distributed import get_worker

    os.environ["CUDA_VISIBLE_DEVICES"] = names[addresses.index(get_worker().address) % len(names)]
