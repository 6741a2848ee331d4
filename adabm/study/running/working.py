"""What a worker does with a task, in whatever process of whatever machine it is."""

import contextlib
import platform
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ...errors import AdabmError, DataError, ProgressError
from ...steps.progress import Progress
from ..origin.fingerprint import file_hash
from .graph import Task
from .tasks import ModelTask, loaded
from .traces import TraceTask


@dataclass(frozen=True)
class Study:
    """One call of :func:`adabm.study.run_plan`: a name that no other has, and the folder that relative paths start from."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What travels back; results are in the cache. ``failure`` is one line, ``details`` the traceback."""

    diverged: bool = False
    failure: str | None = None
    details: str = ""


def perform(task: Task, identity: str, study: Study) -> Outcome:
    """Carry a task out.

    Args:
        identity: of the task where the study runs; a worker to which other files or code are another task refuses.
    """
    try:
        with contextlib.chdir(study.folder):
            _begin(study)
            if task.identity != identity:
                raise DataError(
                    f"the worker on {platform.node()} has another version of adabm, torch ({torch.__version__} there) "
                    "or a file; give all workers the same, and start them again after a change"
                )
            if isinstance(task, TraceTask):
                _forget_unmeasured(task)
            task.carry_out()
            return Outcome(isinstance(task, ModelTask) and task.divergence() is not None)
    except (AdabmError, OSError) as error:
        return Outcome(failure=str(error), details=traceback.format_exc())
    except Exception as error:
        return Outcome(failure=f"{type(error).__name__}: {error}", details=traceback.format_exc())


def _forget_unmeasured(trace: TraceTask) -> None:
    """Forget the unfinished fine-tuning of a trace where one of the steps that it would not take again has no measurement.

    A picture was replaced since, or the code that measures changed. This is looked after here, since the code of traces stands in
    the keys of all that questions keep, and no number depends on where a fine-tuning goes on.
    """
    cache = trace.model.cache
    with cache.claimed(trace.progress_key):
        path = cache.progress(trace.progress_key)
        try:
            taken = Progress(path).check() or 0
        except ProgressError:  # it begins anew by itself
            return
        if any(cache.load_record(trace._key(step)) is None for step in trace.steps if step <= taken):
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _begin(_study: Study) -> None:
    """Forget what an earlier study saw: workers may live long, and files change between studies."""
    file_hash.cache_clear()
    loaded.cache_clear()
