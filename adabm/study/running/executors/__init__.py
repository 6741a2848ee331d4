"""Where tasks are carried out: processes of this machine, a Dask cluster, Slurm; all behind ``concurrent.futures.Executor``."""

from . import dask_cluster, jobs, processes
from .registry import EXECUTORS, Request, Workers, chosen, open_workers

__all__ = [
    "EXECUTORS",
    "Request",
    "Workers",
    "chosen",
    "dask_cluster",
    "jobs",
    "open_workers",
    "processes",
]
