"""A study in processes of its own, to be interrupted and killed."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path


def start(root: Path, workers: int, *options: str) -> subprocess.Popen:
    """Measure the plan of ``root / params.yaml`` in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "ADABM_CACHE": str(root / "cache")}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipelines.stages.measure",
            "--params",
            "params.yaml",
            "--device",
            "cpu",
            "--workers",
            str(workers),
            *options,
        ],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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
