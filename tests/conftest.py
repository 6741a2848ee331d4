"""One thread a test process: the suite runs several processes at once. Ctrl-C reaches what tests interrupt."""

import gc
import signal
import sys
from collections import Counter

import pytest

# Files that take longest, the longest first: one that began last would leave the other processes idle.
LONGEST = (
    "answers",
    "parity",
    "integer_engines",
    "fuzz",
    "rivals",
    "kills",
    "closed_form",
    "extending",
    "refine",
    "bench",
    "community",
    "executors",
    "checkpoint",
    "runs",
    "cache",
    "answer_sensitivity",
)

# Importing the tests makes nothing but what stays, which collecting garbage would go through again and again.
gc.disable()

# nbformat's imports compile grammars of this package for more than a second, to check formats that no notebook has.
sys.modules["rfc3987_syntax"] = None

# A script's background job starts with SIGINT ignored, and hands that on to its processes, which then could not be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, those beyond :data:`LONGEST` by their names as they were, once all of them are imported."""
    import torch  # not above: the process that hands tests out needs none

    torch.set_num_threads(1)
    gc.enable()
    gc.freeze()  # the libraries stay: going through all that they hold takes a collection of garbage a second
    place = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


def pytest_terminal_summary(terminalreporter) -> None:
    """Tell how many damaged files were tried (tests/helpers/fuzzing.py), and what became of them."""
    rows, total = [], Counter()
    for reports in (terminalreporter.stats.get(outcome, []) for outcome in ("passed", "failed")):
        for report in reports:
            for name, counts in getattr(report, "user_properties", []):
                if name == "fuzz":
                    counts = Counter(counts)
                    counts["silently wrong or raw"] += report.failed
                    rows.append((report.nodeid, counts))
                    total += counts
    if rows:
        terminalreporter.section("damaged files")
        for nodeid, counts in [*rows, ("all", total)]:
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()) if count)
            terminalreporter.line(f"{nodeid}: {sum(counts.values())} tried: {told}")
        terminalreporter.line(f"silently wrong or raw: {total['silently wrong or raw']}")
