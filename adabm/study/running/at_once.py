"""A question's models looked into at once: calls whose work a cache keeps, spread over the cores or machines."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from .bench import Bench
from .calls import CallTask
from .graph import TaskGraph
from .scheduling import carry_out

Found = TypeVar("Found")


def at_once(function: Callable[..., Found], calls: Sequence[Sequence[object]]) -> list[Found]:
    """Return what a function gives for each of its arguments, in their order, as ``[function(*a) for a in calls]`` does.

    Several calls are made at once, one a core, where tasks run (:mod:`adabm.study.running.executors`); then all are made once
    more in this process, which finds in the cache what they kept. So the function has to keep its work in its bench's cache,
    as :meth:`adabm.study.answers.probing.Probe.found` does, and what it does besides should take no time.

    Args:
        function: of a module, not of a notebook's cell or a lambda.
        calls: the arguments of each call, one of them the :class:`.bench.Bench`; all have to be picklable.

    Raises:
        StudyError: a call failed, or lost its worker several times; what others found is kept.
        ConfigError: ``ADABM_EXECUTOR`` names no executor.
    """
    if len(calls) > 1:
        graph = TaskGraph()
        for order, arguments in enumerate(calls):
            graph.add(order, CallTask(function, tuple(arguments), f"{order + 1} of {len(calls)}"))
        bench = next(argument for argument in calls[0] if isinstance(argument, Bench))
        carry_out(graph, None, bench.workers, bench.device, bench.cache.folder)
    return [function(*arguments) for arguments in calls]
