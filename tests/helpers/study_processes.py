"""A study in processes of its own, to be interrupted and killed."""

import contextlib
import multiprocessing
import signal
import time
from pathlib import Path

from adabm.study import ResultCache
from helpers.forked import CONTEXT, Forked


def start(root: Path, workers: int, *options: str) -> Forked:
    """Measure the plan of ``root / params.yaml`` in a process group of its own."""
    words = ["--params", "params.yaml", "--device", "cpu", "--workers", workers, *options]
    return Forked(root, "pipelines.stages.measure", *words, ADABM_CACHE=str(root / "cache"))


def claiming(root: Path, key: str) -> multiprocessing.Process:
    """A process that has claimed a key of the cache ``root``, and holds it."""
    here, there = multiprocessing.Pipe()
    process = CONTEXT.Process(target=_claim, args=(root, key, there))
    process.start()
    assert here.recv() == "claimed"
    return process


def _claim(root: Path, key: str, connection) -> None:
    with ResultCache(root).claimed(key):
        connection.send("claimed")
        signal.pause()


def kept(root: Path) -> dict[Path, int]:
    """The pictures measured, with the times of their files."""
    paths = [path for path in (root / "cache" / "pictures").rglob("*.json") if not path.name.startswith(".")]
    return {path: path.stat().st_mtime_ns for path in paths}


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def group(leader: int) -> list[int]:
    """The processes alive of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found
