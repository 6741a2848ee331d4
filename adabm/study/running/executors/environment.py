"""What all processes that compute have in common, whoever starts them."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker

import torch

# One thread: numbers depend on how many share a sum, and workers share the cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc returns large blocks to the system at once and gets them back page by page, a tenth of the time of a fine-tuning step.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


def worker_variables(device: str) -> dict[str, str]:
    """Return the environment variables of a process that computes on ``cpu`` or ``cuda``."""
    threads = _ONE_THREAD if device == "cpu" else {}
    return threads | {name: os.environ.get(name, value) for name, value in _KEEP_MEMORY.items()}


@contextmanager
def starting(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that start inside have these variables, and do not see Ctrl-C, which terminals send to all: their parent ends them."""
    resource_tracker.ensure_running()  # else the first process starts it, and Python lets SIGINT through again behind that
    before = {name: os.environ.get(name) for name in variables}
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def gpus() -> list[str]:
    """Return the GPUs of this machine as ``CUDA_VISIBLE_DEVICES`` names them, one for each worker."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]


def worker_count(workers: int | None, tasks: int, device: str) -> int:
    """Return how many workers this machine is to have: as many as asked for, else one a core or a GPU; no more than tasks."""
    return min(workers or (len(os.sched_getaffinity(0)) if device == "cpu" else max(1, len(gpus()))), tasks)
