"""Executors by name, and opening one: from this package, or from a user's file."""

import importlib
import os
import re
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from ....errors import ConfigError
from ....support.plugins import load_file
from ....support.registry import Registry
from ...variables import EXECUTOR_VARIABLE

DEFAULT = "processes"


@dataclass(frozen=True)
class Request:
    """What a study asks an executor for.

    Attributes:
        workers: how many; None leaves it to the executor.
        tasks: how many there are; more workers would be idle.
        device: ``cpu``, where each worker is to compute on one thread, or ``cuda``, where it is to have a GPU of its own.
        folder: shared by all workers; an executor that needs files writes them below it.
        argument: what stands behind the name, as ``tcp://host:8786`` in ``dask:tcp://host:8786``.
    """

    workers: int | None
    tasks: int
    device: str
    folder: Path
    argument: str = ""


@dataclass(frozen=True)
class Workers:
    """An executor that is open.

    Attributes:
        executor: takes functions of this package with small arguments; they return little.
        slots: how many tasks to give it at a time. It is asked again and again, since workers may come and go.
        lost: what a future raises whose worker died.
        tries: how often a task is submitted before its losses stop the study; 1 where the executor itself tries again.
    """

    executor: Executor
    slots: Callable[[], int]
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)
    tries: int = 3


Open = Callable[[Request], AbstractContextManager[Workers]]
EXECUTORS: Registry = Registry("executor")  # of Open


def chosen(setting: str | None = None) -> str:
    """Return the executor that ``ADABM_EXECUTOR`` names, else ``setting``, else ``processes``."""
    return os.environ.get(EXECUTOR_VARIABLE) or setting or DEFAULT


def open_workers(setting: str, request: Request) -> AbstractContextManager[Workers]:
    """Return the context of an executor, inside which it takes tasks; left by an exception it ends at once.

    Args:
        setting: the name of a registered one, with its argument behind a colon where it takes one; or ``file.py:name``, a
            Python file that registers it.

    Raises:
        ConfigError: no such name, or a file that is missing, raises an error or does not register what is asked for.
    """
    match = re.fullmatch(r"(?P<file>.+\.py):(?P<rest>.+)", setting)
    if match is not None:
        load_file(match["file"])
        setting = match["rest"]
    elif setting.endswith(".py"):
        raise ConfigError(f"executor {setting!r}: say which one of the file, as in {setting}:name")
    name, _, argument = setting.partition(":")
    return EXECUTORS[name](replace(request, argument=argument))


def optional(module: str, executor: str) -> ModuleType:
    """Import what only one executor needs.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"executor {executor!r} needs the package {module} ({error}); install it with: pip install 'adabm[cluster]'"
        ) from None
