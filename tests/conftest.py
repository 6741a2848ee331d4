"""One thread a test process: the suite runs several processes at once. Ctrl-C reaches what tests interrupt."""

import signal
from collections import Counter

import torch

torch.set_num_threads(1)

# A script's background job starts with SIGINT ignored, and hands that on to its processes, which then could not be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
