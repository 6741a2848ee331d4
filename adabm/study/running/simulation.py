"""How long a study would take on so many workers: the scheduling of :mod:`.scheduling`, carried out on durations alone."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A task of known or estimated duration in seconds; ``after`` is the place of the job that it waits for."""

    name: str
    seconds: float
    order: int = 0
    after: int | None = None
    measured: bool = False


def makespan(jobs: Sequence[Job], workers: int) -> float:
    """Return the seconds until all jobs are done, each worker taking the most valuable that is ready.

    >>> makespan([Job("a model", 10.0), Job("its pictures", 2.0, after=0), Job("its pictures", 2.0, after=0)], 2)
    12.0
    """
    waiting: dict[int, list[int]] = {}
    ready = []
    for place, job in enumerate(jobs):
        if job.after is None:
            ready.append((job.order, place))
        else:
            waiting.setdefault(job.after, []).append(place)
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, place = heapq.heappop(ready)
            heapq.heappush(running, (now + jobs[place].seconds, place))
        now, ended = heapq.heappop(running)
        for place in waiting.pop(ended, []):
            heapq.heappush(ready, (jobs[place].order, place))
    return now


def critical_path(jobs: Sequence[Job]) -> list[Job]:
    """Return the chain of jobs that takes longest: no number of workers is faster."""
    ends: list[float] = []
    for job in jobs:  # a job stands behind the one it waits for
        ends.append(job.seconds + (ends[job.after] if job.after is not None else 0.0))
    path: list[Job] = []
    place = max(range(len(jobs)), key=ends.__getitem__) if jobs else None
    while place is not None:
        path.insert(0, jobs[place])
        place = jobs[place].after
    return path
