"""How fuzzing is bounded, watched and counted.

``make test`` tries a few fixed examples of each kind of file; ``make fuzz`` sets ``ADABM_FUZZ_SECONDS``, and each test goes on
with new ones for its share of that time. What was tried stands at the end of the run's output.
"""

import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings

SECONDS = float(os.environ.get("ADABM_FUZZ_SECONDS") or 0)  # of the whole suite in one process
MOST_BYTES = 2**30  # for an input that is refused
# so are these: of this process's own time, which no other process lengthens, and for what waits for ever
LIMITS = {
    signal.SIGPROF: (signal.ITIMER_PROF, 10, time.process_time),
    signal.SIGALRM: (signal.ITIMER_REAL, 120, time.monotonic),
}
OUTCOMES = ("refused", "recomputed", "same", "another")
_PARTS = 20  # tests that share the time, roughly


def fuzz(request: pytest.FixtureRequest, check: Callable[..., str], examples: int, **strategies) -> Counter:
    """Call ``check`` with examples of ``strategies``; it returns one of ``OUTCOMES`` or fails.

    Args:
        examples: how many in `make test`, the same ones each time.
    """
    counts: Counter = Counter()

    def tried(**values) -> None:
        with watched():
            outcome = check(**values)
        assert outcome in OUTCOMES
        counts[outcome] += 1

    quiet = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    try:
        settings(max_examples=examples, derandomize=True, phases=[Phase.generate], **quiet)(
            given(**strategies)(tried)
        )()
        end = time.monotonic() + SECONDS / _PARTS
        while SECONDS and time.monotonic() < end:
            once = settings(max_examples=100, phases=[Phase.generate, Phase.shrink], **quiet)(
                given(**strategies)(tried)
            )
            hypothesis.seed(random.getrandbits(64))(once)()
    finally:
        told(request, counts)
    return counts


def told(request: pytest.FixtureRequest, counts: Counter) -> None:
    """Let the run's summary list what was counted."""
    request.node.user_properties.append(("fuzz", dict(counts)))


def times(fast: int) -> Iterator[int]:
    """Count ``fast`` turns, or as many as fit into a test's share of the time."""
    end, turn = time.monotonic() + SECONDS / _PARTS, 0
    while turn < fast or time.monotonic() < end:
        yield turn
        turn += 1


@contextmanager
def watched() -> Iterator[None]:
    """Fail where the block computes for more than 10 s, waits or takes more than a gigabyte; ask for no more than eight of address space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    deep = sys.getrecursionlimit()  # hypothesis raises it, and what ends at the usual one would go on
    before = _peak(reset=True)

    def hang(number: int, _frame: object) -> None:
        raise AssertionError(f"more than {LIMITS[number][1]} s ({signal.Signals(number).name})")

    previous = {number: signal.signal(number, hang) for number in LIMITS}
    ends = {clock: clock() + most for _, most, clock in LIMITS.values()}
    for timer, most, _ in LIMITS.values():
        signal.setitimer(timer, most)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + 8 * MOST_BYTES, hard))
    sys.setrecursionlimit(1000)
    try:
        yield
    finally:
        sys.setrecursionlimit(deep)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, (timer, *_) in LIMITS.items():
            signal.setitimer(timer, 0)
            signal.signal(number, previous[number])
    assert all(clock() < end for clock, end in ends.items())  # what was raised may have been caught
    taken = _peak() - before
    assert taken < MOST_BYTES, f"{taken / 2**20:.0f} MiB"


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _peak(reset: bool = False) -> int:
    """The most memory that this process had since the last reset; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
