"""What a benchmark notes beside its numbers: the machine, and how the page tells it."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd


def machine(note: str, packages: Sequence[str]) -> dict[str, object]:
    """What the numbers were measured with; ``note`` is what the reader has to know besides, such as that it was busy."""
    names = [line.split(":")[1].strip() for line in _processors() if line.startswith("model name")]
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "note": note,
        "versions": {name: version(name) for name in packages},
    }


def _processors() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def told(about: dict) -> str:
    """One paragraph of what :func:`machine` gave."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    note = f" {about['note']}." if about["note"] else ""
    return f"{about['date']}, {about['processor']}, {about['cores']} cores, load {about['load']}; {versions}.{note}"


def ratios(samples: pd.DataFrame, case: Sequence[str], way: str, base: str) -> pd.DataFrame:
    """How many times as fast as ``base``: by the fastest run / by the median over pairs of the same turn.

    Args:
        samples: a row a run: the columns ``case``, ``way``, ``repeat`` and ``seconds``.
        way: the column that names what was timed; each becomes a column, that of ``base`` in milliseconds.
    """
    case = list(case)
    times = samples.pivot_table(index=[*case, "repeat"], columns=way, values="seconds", sort=False)
    best = times.groupby(case, sort=False).min()
    pairs = (1 / times.div(times[base], axis=0)).groupby(case, sort=False).median()
    cells = best.rdiv(best[base], axis=0).round(2).astype(str) + " / " + pairs.round(2).astype(str)
    cells = cells.where(best.notna(), "")
    cells[base] = (best[base] * 1000).round(0).astype(int).astype(str) + " ms"
    return samples[case].drop_duplicates().merge(cells.reset_index(), on=case)  # in the order of the samples


def peak_memory() -> float:
    """Peak resident memory of this process in MiB. Linux's ``ru_maxrss`` would include the parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
