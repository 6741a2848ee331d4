"""What a benchmark notes beside its numbers: the machine, and how the page tells it."""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from adabm.study import write_provenance
from adabm.study.origin.provenance import provenance_path
from adabm.support.files import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "speed"
OF_CODE = ("code_sha256", "inputs_sha256", "git_commit", "git_dirty", "carried_over")  # of a provenance


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


def run_of(args: argparse.Namespace, packages: Sequence[str]) -> dict[str, object]:
    """One run, for the provenance: the machine, its note, and the other arguments but folders."""
    given = {name: value for name, value in vars(args).items() if name != "note" and not isinstance(value, Path)}
    return machine(args.note, packages) | {"arguments": given}


def add_note(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--note``."""
    parser.add_argument(
        "--note", default="", help="what the reader has to know of the machine, such as that it was busy"
    )


def publish(
    table: Path, run: Mapping, code: Mapping[str, tuple[str, ...]], scripts: Sequence[str], added: bool = False
) -> None:
    """Write the provenance of a table that was just written.

    Args:
        run: what :func:`run_of` gave.
        code: of the package, groups of modules.
        scripts: files of this folder that measured.
        added: rows of earlier runs stay. The table then counts as one of the earliest code, so that a change since is told.
    """
    path = provenance_path(table)
    earlier = json.loads(path.read_text()) if added and path.exists() else {}
    runs = [*earlier.get("parameters", {}).get("runs", []), dict(run)]
    write_provenance(table, ROOT, {"runs": runs}, [ROOT / "benchmarks" / name for name in scripts], 0, code=code)
    record = json.loads(path.read_text()) | {name: earlier[name] for name in OF_CODE if name in earlier}
    record["packages"] |= run["versions"]
    record["threads_per_run"] = run["arguments"].get("threads", torch.get_num_threads())
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())


def runs_of(table: Path) -> list[dict]:
    """The runs that a table's rows are from, the earliest first."""
    return json.loads(provenance_path(table).read_text())["parameters"]["runs"]


def told(table: Path) -> str:
    """One paragraph of the runs that a table's rows are from."""
    runs = runs_of(table)
    versions = lambda run: ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    machines = dict.fromkeys(f"{run['processor']}, {run['cores']} cores, {versions(run)}" for run in runs)
    notes = dict.fromkeys(f" {run['note']}." for run in runs if run["note"])
    return f"{_span(runs, 'date')}, load {_span(runs, 'load')}; {' and '.join(machines)}.{''.join(notes)}"


def _span(runs: Sequence[Mapping], name: str) -> str:
    values = sorted({run[name] for run in runs})
    return " to ".join(str(value) for value in dict.fromkeys((values[0], values[-1])))


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
