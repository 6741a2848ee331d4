"""Where a table comes from: code, parameters, inputs, software, machine, date."""

import datetime
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

from .. import __version__
from ..images import write_atomically

PACKAGES = ("torch", "torchvision", "basicsr", "numpy", "scikit-image", "opencv-python", "safetensors", "pandas")


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's relative file names and contents in sorted order."""
    digest = hashlib.sha256()
    if path.is_file():
        digest.update(path.read_bytes())
        return digest.hexdigest()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def provenance(root: Path, parameters: dict, inputs: Sequence[Path], seed: int | list[int]) -> dict:
    """Return everything needed to tell whether a table can be compared with another run."""
    status = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "adabm", "pipelines", "notebooks", "params.yaml", "dvc.yaml", "profiles", "data", ":(exclude)profiles/*/dvc.lock")
    return {
        "adabm_version": __version__,
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
        "parameters": parameters,
        "inputs_sha256": {_name(root, path): sha256(path) for path in inputs},
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads_per_run": 1,
        "device": "cpu",
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "seed": seed,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _name(root: Path, path: Path) -> str:
    path = path.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write_provenance(table: str | Path, root: Path, parameters: dict, inputs: Sequence[Path], seed: int | list[int]) -> None:
    """Write ``<table without suffix>.provenance.json`` beside a table."""
    record = provenance(root.resolve(), parameters, inputs, seed)
    write_atomically(Path(table).with_suffix(".provenance.json"), (json.dumps(record, indent=2) + "\n").encode())
