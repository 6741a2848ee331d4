"""Quantize and evaluate one method after the other, several at once."""

import multiprocessing
import os
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from ..api import quantize
from ..config import QuantizationConfig, preset
from ..datasets import PreparedSet
from ..errors import ConfigError, DataError
from ..evaluation import evaluate
from ..fine_tuning import Step
from ..model import QuantizedSR
from ..networks import load_network

FULL_PRECISION = "fp32"


@dataclass(frozen=True)
class Run:
    """One row of a result table: a preset (or ``fp32``) at given bits with a seed."""

    method: str
    weight_bits: int = 32
    activation_bits: int = 32
    fully_quantized: bool = False
    seed: int = 0

    @classmethod
    def at(cls, method: str, setting: str, seed: int = 0) -> "Run":
        """Return the run of a method at a setting such as ``W4A4 FQ`` (fully quantized) or ``W8A6``."""
        match = re.fullmatch(r"W(\d+)A(\d+)( FQ)?", setting)
        if match is None:
            raise ConfigError(f"setting {setting!r}: expected such as 'W4A4 FQ' (fully quantized) or 'W8A6' (body alone)")
        weight_bits, activation_bits, full = match.groups()
        return cls(method, int(weight_bits), int(activation_bits), bool(full), seed)

    @property
    def setting(self) -> str:
        """``W4A4 FQ``, ``W8A6`` or, for full precision, ``FP32``."""
        if self.method == FULL_PRECISION:
            return "FP32"
        return f"W{self.weight_bits}A{self.activation_bits}" + (" FQ" if self.fully_quantized else "")


@dataclass(frozen=True)
class StudySettings:
    """What all runs of a table share.

    Attributes:
        data, backbone: prepared data set and weight file.
        patch_size, patches: calibration patches, in LR pixels, and how many.
        fine_tuning: changes to the recipe's defaults, see :class:`adabm.config.FineTuningConfig`.
        tile: None to evaluate whole pictures.
    """

    data: Path
    backbone: Path
    patch_size: int = 96
    patches: int | None = None
    fine_tuning: dict = field(default_factory=dict)
    tile: int | None = None

    def config(self, run: Run) -> QuantizationConfig:
        """Return the configuration of a run; full precision gets any, it is not used."""
        if run.method == FULL_PRECISION:
            return preset("minmax")
        return preset(
            run.method, weight_bits=run.weight_bits, activation_bits=run.activation_bits,
            fully_quantized=run.fully_quantized, fine_tuning=dict(self.fine_tuning),
        )


@dataclass(frozen=True)
class RunResult:
    """A run with its per-picture rows (:class:`adabm.evaluation.Evaluation`), means and steps."""

    run: Run
    pictures: pd.DataFrame
    summary: dict[str, float]
    steps: list[Step]


def find_root(start: Path | None = None) -> Path:
    """Return the folder of ``dvc.yaml`` at or above ``start`` (default: the working directory)."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise DataError(f"no dvc.yaml at or above {start}; start from inside the repository")


def run_one(run: Run, settings: StudySettings) -> RunResult:
    """Quantize as ``run`` says and evaluate; on one thread, so that the result is the same on any number of cores."""
    torch.set_num_threads(1)
    data, network = PreparedSet(settings.data), load_network(settings.backbone)
    pictures, config = data.evaluation_pictures(), settings.config(run)
    if run.method == FULL_PRECISION:
        model = QuantizedSR(network, config)
        with model.full_precision():
            result = evaluate(model, pictures, settings.tile)
            return RunResult(run, result.pictures, result.summary(model), [])
    images = list(data.calibration_images().values())
    model, _, steps = quantize(
        network, images, config, patch_size=settings.patch_size, patches=settings.patches, seed=run.seed
    )
    result = evaluate(model, pictures, settings.tile)
    return RunResult(run, result.pictures, result.summary(model), steps)


def run_all(runs: Sequence[Run], settings: StudySettings, workers: int | None = None) -> list[RunResult]:
    """Carry out runs in parallel processes of one thread each; results come in the order of ``runs``.

    Settings and data are checked before the first run. A run that fails stops the others and raises
    its error with the run's name.
    """
    PreparedSet(settings.data)
    for run in runs:
        settings.config(run)
    workers = min(workers or len(os.sched_getaffinity(0)), len(runs))
    if workers <= 1:
        return [run_one(run, settings) for run in tqdm(runs, unit="run")]
    results: dict[Run, RunResult] = {}
    context = multiprocessing.get_context("spawn")  # a forked torch with live threads can hang
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(run_one, run, settings): run for run in runs}
        for future in tqdm(as_completed(futures), total=len(runs), unit="run"):
            run = futures[future]
            try:
                results[run] = future.result()
            except Exception as error:
                pool.shutdown(cancel_futures=True)
                raise RuntimeError(f"{run.method} at {run.setting}, seed {run.seed}: {error}") from error
    return [results[run] for run in runs]
