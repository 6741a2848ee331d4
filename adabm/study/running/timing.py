"""Measure time and memory of the parts of quantizing and upscaling: interleaved, raw samples kept, one process at a time."""

import dataclasses
import gc
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...api import quantize
from ...errors import ConfigError
from ...networks import load_network
from ...networks.placing import placed
from ...pictures.patches import calibration_batches, random_batches
from ...pictures.reading import read_rgb
from ...pictures.tensors import to_batch
from ...quantization.model import QuantizedSR
from ...recipes import calibrate
from ...steps.clip import clip_ranges
from ...steps.tuner import FineTuner
from ..plan.cells import Run
from ..plan.effort import Effort
from .runs import find_device
from .tasks import one_thread

LOADED = ("none", "network loaded")
WHOLE = "whole recipe"  # the series of what the leaderboard shows


@dataclass(frozen=True)
class Part:
    """Something to be timed: ``act`` alone counts, ``prepare`` restores the state that it starts from."""

    series: str
    variable: str
    level: str
    act: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Workload:
    """What the parts work on; ready to be sent to another process.

    Attributes:
        pool: calibration pictures; the first ``sizes`` of them are used.
        sizes: numbers of calibration pictures, one patch each.
        steps: numbers of fine-tuning steps, the groups taking turns step by step.
        picture: low-resolution picture for inference.
        recipes: whole recipes to be carried out at the setting of ``run``, on all pictures that are used, a patch each.
    """

    backbone: Path
    pool: tuple[Path, ...]
    effort: Effort
    run: Run
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    picture: Path
    device: str = "cpu"
    recipes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", find_device(self.device))
        if self.run.config(self.effort).step("tune") is None:
            raise ConfigError(f"{self.run.method}: this run does not fine-tune; time one that does, such as adabm")
        if not self.sizes or max(self.sizes) > len(self.pool) or min(self.sizes) < 1:
            raise ConfigError(
                f"sizes = {list(self.sizes)}: must be numbers from 1 to the {len(self.pool)} pictures of the pool"
            )
        if not self.steps or min(self.steps) < 1:
            raise ConfigError(f"steps = {list(self.steps)}: must be numbers of at least 1")
        for recipe in self.recipes:
            Run.at(recipe, self.run.setting).config(self.effort)  # refuses an unknown one before anything is timed

    def parts(self) -> list[Part]:
        """Return the parts; calibrated models are made on the way."""
        images = [read_rgb(path) for path in self.pool[: max(self.sizes)]]
        size = self.effort.patch_size
        config = self.run.config(self.effort)
        model = self._model(self.run)
        value_range = model.descriptor.value_range
        # batch by batch as the recipe has it, cut from the pictures before the clock starts
        batches = {n: self._moved(calibration_batches(images[:n], size, 16, 0, value_range)) for n in self.sizes}
        stream = random_batches(images, size, config.step("tune").batch_size, 0, value_range)
        tuning_batches = self._moved([next(stream) for _ in range(max(self.steps))])
        low = to_batch([read_rgb(self.picture)], value_range).to(self.device)
        calibrate(model, batches[max(self.sizes)])
        calibrated = {name: value.clone() for name, value in model.state_dict().items()}
        clip_ranges(model, tuning_batches[0])
        clipped = {name: value.clone() for name, value in model.state_dict().items()}
        uniform = self._model(Run.at("minmax", self.run.setting))
        calibrate(uniform, batches[max(self.sizes)])

        def restore(state: dict[str, torch.Tensor]) -> Callable[[], object]:
            return lambda: model.load_state_dict(state)

        def tune(count: int) -> None:
            tuner = FineTuner(model, config.step("tune"))
            for index in range(count):
                tuner.step(tuner.groups[index % len(tuner.groups)], tuning_batches[index])

        def full_precision() -> None:
            with model.full_precision(), torch.no_grad():
                model(low)

        def image2bit() -> None:
            with torch.no_grad():
                model.image2bit(model.complexity(low))

        parts = [
            Part("calibration", "calibration pictures", str(n), lambda n=n: calibrate(model, batches[n]))
            for n in self.sizes
        ]
        parts += [
            Part("fine-tuning", "fine-tuning steps", str(n), lambda n=n: tune(n), restore(clipped)) for n in self.steps
        ]
        parts.append(
            Part("quantize", "part", "clipping", lambda: clip_ranges(model, tuning_batches[0]), restore(calibrated))
        )
        for group in FineTuner(model, config.step("tune")).groups:
            parts.append(
                Part(
                    "quantize",
                    "part",
                    f"one {group} step",
                    self._one_step(model, group, tuning_batches[0]),
                    restore(clipped),
                )
            )
        parts += [
            Part("upscale", "part", "full precision", full_precision),
            Part("upscale", "part", "uniform bits, simulated", lambda: self._upscale(uniform, low)),
            Part("upscale", "part", "adaptive bits, simulated", lambda: self._upscale(model, low), restore(clipped)),
        ]
        if model.image2bit is not None:
            parts.append(Part("upscale", "part", "of which Image2Bit", image2bit, restore(clipped)))
        return parts + [self._whole(recipe, images) for recipe in self.recipes]

    def _whole(self, recipe: str, images: Sequence[np.ndarray]) -> Part:
        network = load_network(self.backbone).to(self.device, memory_format=torch.channels_last)
        config = Run.at(recipe, self.run.setting).config(self.effort)
        size = self.effort.patch_size
        return Part(WHOLE, "recipe", recipe, lambda: quantize(network, images, config, patch_size=size))

    def _model(self, run: Run) -> QuantizedSR:
        network = placed(load_network(self.backbone), self.device)
        return QuantizedSR(network, run.config(self.effort))

    def _moved(self, batches: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [batch.to(self.device) for batch in batches]

    @staticmethod
    def _one_step(model: QuantizedSR, group: str, batch: torch.Tensor) -> Callable[[], object]:
        return lambda: FineTuner(model, model.config.step("tune")).step(group, batch)

    @staticmethod
    def _upscale(model: QuantizedSR, low: torch.Tensor) -> None:
        with torch.no_grad():
            model(low)


def time_parts(workload: Workload, repeats: int) -> Iterator[tuple[Part, int, float]]:
    """Yield (part, sample, seconds); each round visits all parts once, so that a disturbance hits all alike.

    One round before the first sample warms caches and allocators up. On the CPU one thread computes.
    """
    if repeats < 1:
        raise ConfigError(f"repeats = {repeats}: must be at least 1")
    with one_thread(workload.device):
        parts = workload.parts()
        with tqdm(total=(repeats + 1) * len(parts), unit="part", mininterval=1.0) as bar:
            for sample in range(-1, repeats):
                for part in parts:
                    part.prepare()
                    seconds = _timed(part.act, workload.device)
                    bar.update()
                    if sample >= 0:
                        yield part, sample, seconds


def _timed(act: Callable[[], object], device: str) -> float:
    gc.collect()
    gc.disable()  # a collection inside would be timed with whatever it hits
    try:
        _synchronize(device)
        begin = time.perf_counter()
        act()
        _synchronize(device)
        return time.perf_counter() - begin
    finally:
        gc.enable()


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def peak_memory(workload: Workload, parts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return the peak memory in MiB of a fresh process that carries out one part, by the part's (series, level).

    ``LOADED`` stands for a process that has done no more than load the network. On a GPU only the
    computer's memory is measured.

    Raises:
        ConfigError: no part has such a level.
    """
    peaks: dict[tuple[str, str], float] = {}
    context = multiprocessing.get_context("spawn")
    for part in tqdm(parts, unit="process"):
        with context.Pool(1) as pool:
            peaks[part] = pool.apply(_peak_of, (workload, part))
    return peaks


def _peak_of(workload: Workload, named: tuple[str, str]) -> float:
    with one_thread(workload.device):
        if named == LOADED:
            workload._model(workload.run)
        else:
            # what comes before a part, calibration on one patch, must not need more than the part itself
            small = workload if named[0] == "calibration" else dataclasses.replace(workload, sizes=(1,), steps=(1,))
            parts = {(part.series, part.level): part for part in small.parts()}
            if named not in parts:
                known = ", ".join(str(names) for names in (LOADED, *parts))
                raise ConfigError(f"there is no part {named} whose memory could be measured; choose one of {known}")
            part = parts[named]
            part.prepare()
            part.act()
    return _peak_mib()


def _peak_mib() -> float:
    """Peak resident memory of this process. Linux's ru_maxrss includes the parent's at the time of the fork."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def linear_fit(counts: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return (seconds at zero, seconds a unit) of the least-squares line through measured times."""
    slope, start = np.polyfit(np.asarray(counts, dtype=float), np.asarray(seconds, dtype=float), 1)
    return float(start), float(slope)
