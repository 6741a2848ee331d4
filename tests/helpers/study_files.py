"""A tiny study on disk: a network of 8 features, pictures of 32x32, a plan; and what its tests count."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from adabm.networks import build_network, save_network
from adabm.pictures.writing import write_image
from adabm.study import Effort
from adabm.study.origin import fingerprint
from adabm.study.running import tasks
from adabm.study.running.executors import EXECUTORS, Request, Workers
from adabm.study.variables import EXECUTOR_VARIABLE

EFFORT = Effort(patch_size=12, patches=4, rounds=3, steps_per_round=2)


def write_network(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_network(build_network("SRResNet", num_feat=8, num_block=1, upscale=2).eval(), path)
    return path


def write_pictures(folder: Path, count: int, side: int = 32, seed: int = 0) -> None:
    """Smooth pictures with some noise, so that complexities differ."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        corner = rng.integers(0, 200, (2, 2, 3))
        ramp = np.linspace(0, 1, side)[:, None, None]
        smooth = (
            corner[0, 0]
            + (corner[0, 1] - corner[0, 0]) * ramp
            + (corner[1, 0] - corner[0, 0]) * ramp.transpose(1, 0, 2)
        )
        noisy = smooth + rng.normal(0, 5 + 10 * index, (side, side, 3))
        write_image(folder / f"{'abcdefghij'[index]}.png", noisy.clip(0, 255).astype(np.uint8))


def write_study(root: Path, pictures: int = 2) -> Path:
    """Write ``net.safetensors`` and ``data`` with the sets ``First`` and ``Second``; return ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").touch()
    write_network(root / "net.safetensors")
    write_pictures(root / "data" / "calibration" / "LR", 3, 16)
    write_pictures(root / "data" / "First" / "HR", pictures, seed=1)
    write_pictures(root / "data" / "Second", 1, seed=2)
    return root


def write_pool(folder: Path, scenes: int = 3, excerpts: int = 2, side: int = 16) -> None:
    """Write low-resolution pictures ``a@00.png``, ``a@01.png``, ``b@00.png`` ...: excerpts of scenes."""
    rng = np.random.default_rng(7)
    for scene in range(scenes):
        for index in range(excerpts):
            noise = rng.normal(120, 10 + 15 * scene + 5 * index, (side, side, 3))
            write_image(folder / "LR" / f"{'abcdefghij'[scene]}@{index:02d}.png", noise.clip(0, 255).astype(np.uint8))


def part(**changes) -> dict:
    """A part of a plan of :func:`write_study`; a change to ``...`` removes the key."""
    whole = dict(backbone="net.safetensors", data="data", sets=["First"], settings=["W4A4 FQ"], methods=["minmax"])
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


class Counted:
    """How often networks were quantized and pictures measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.quantized, self.measured = 0, 0
        quantize, measure = tasks.quantize, tasks.measure

        def counting_quantize(*arguments, **options):
            self.quantized += 1
            return quantize(*arguments, **options)

        def counting_measure(*arguments):
            self.measured += 1
            return measure(*arguments)

        monkeypatch.setattr(tasks, "quantize", counting_quantize)
        monkeypatch.setattr(tasks, "measure", counting_measure)

    def take(self) -> tuple[int, int]:
        """Return both numbers and begin anew."""
        numbers, self.quantized, self.measured = (self.quantized, self.measured), 0, 0
        return numbers


class _Here(Executor):
    """Carries out each task at once, in this process."""

    def submit(self, function, /, *arguments, **named) -> Future:
        future = Future()
        future.set_result(function(*arguments, **named))
        return future


@EXECUTORS.register("here")
@contextmanager
def _here(_request: Request) -> Iterator[Workers]:
    yield Workers(_Here(), lambda: 1)


def compute_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies start no process."""
    monkeypatch.setenv(EXECUTOR_VARIABLE, "here")


def forget() -> None:
    """As a new process would, forget contents of files and the last model."""
    fingerprint.file_hash.cache_clear()
    tasks.loaded.cache_clear()


def write_study_with_pool(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a study and its pool, whose tasks are then computed in this process and kept in its own cache."""
    forget()
    compute_here(monkeypatch)
    monkeypatch.delenv("ADABM_CACHE", raising=False)
    write_pool(write_study(root) / "data" / "pool")


def enter_study_of_two(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a study with its pool and a second network, ``other.safetensors``; make it the working directory, and return it."""
    write_study_with_pool(root, monkeypatch)
    write_network(root / "other.safetensors", seed=1)
    monkeypatch.chdir(root)
    return root
