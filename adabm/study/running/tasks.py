"""The two kinds of work of a study: quantize a network, measure a model on pictures. Each fills the cache."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ...api import quantize
from ...engines import open_engine
from ...engines.evaluation import Measurement, measure
from ...engines.registry import find
from ...engines.simulated import SIMULATED, SimulatedEngine
from ...errors import DataError, FineTuningError, ProgressError
from ...full_precision import FULL_PRECISION
from ...networks import describe, fold_reparameterized, load_network
from ...networks.placing import placed
from ...pictures.pairs import PictureFiles
from ...pictures.patches import calibration_batches
from ...pictures.reading import read_rgb
from ...quantization.model import QuantizedSR
from ...recipes import calibrate
from ...steps import CalibrationRecord, TuningStep
from ...support.plugins import load_file
from ..origin.fingerprint import definition_hash, file_hash, folder_hash, key
from ..plan.cells import Run
from ..plan.effort import Effort
from .cache import ResultCache, weight_bits
from .keys import measuring_code, quantizing_code


@dataclass(frozen=True)
class ModelTask:
    """A network to be quantized (or not, for ``fp32``) and where to keep it."""

    backbone: Path
    calibration: tuple[Path, ...]
    run: Run
    effort: Effort
    cache: ResultCache
    device: str = "cpu"
    imports: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """Hash of all that the model depends on."""
        for file in self.imports:  # in whatever process this is
            load_file(file)
        if self.run.method == FULL_PRECISION:
            return key(network=file_hash(self.backbone))
        config = self.run.config(self.effort)
        return key(
            network=file_hash(self.backbone),
            calibration=folder_hash(list(self.calibration)),
            bits=config.bits,
            steps=list(config.recipe.to_dict().items()),
            patch_size=self.effort.patch_size,
            patches=self.effort.patches,
            seed=self.run.seed,
            device=self.device,
            code=quantizing_code(config.recipe, self.backbone),
        )

    def done(self) -> bool:
        """Whether nothing is to be computed: a readable model is kept, or that it diverged."""
        return (
            self.run.method == FULL_PRECISION
            or self.divergence() is not None
            or self.cache.load_model(self.key) is not None
        )

    def divergence(self) -> str | None:
        """Why fine-tuning failed, if it did."""
        kept = self.cache.load_record(key(diverged=self.key))
        return kept["reason"] if kept is not None else None

    @property
    def identity(self) -> str:
        """What tells whether another process has the same files and code."""
        return self.key

    def carry_out(self) -> None:
        """Quantize and keep the model, or keep the reason why fine-tuning failed; nothing where another study just did."""
        with self.cache.claimed(self.key):
            if not self.done():
                self.quantize_and_keep(self.key)

    def quantize_and_keep(
        self,
        progress_key: str,
        on_start: Callable[[QuantizedSR], None] | None = None,
        on_step: Callable[[TuningStep], None] | None = None,
    ) -> None:
        """Quantize and keep the model, whether there is one or not, or keep the reason why fine-tuning failed.

        Args:
            progress_key: of the state of an unfinished fine-tuning, and of its duration.
            on_start: called with the calibrated model, which fine-tuning then changes.
            on_step: called after each step of fine-tuning.
        """
        progress = self.cache.progress(progress_key)
        resumed, begun = progress.exists(), time.perf_counter()
        try:
            try:
                model, steps = self._quantize(progress, on_start, on_step)
            except ProgressError as error:  # damaged, or of another processor, which calibrates to other last digits
                warnings.warn(f"{error}; fine-tuning begins anew", stacklevel=2)
                progress.unlink()
                model, steps = self._quantize(progress, on_start, on_step)
        except FineTuningError as error:
            self.cache.keep_record(key(diverged=self.key), {"reason": str(error)})
        else:
            self.cache.keep_model(self.key, model, steps, self.run.seed)
            if not resumed:
                self.cache.keep_seconds(progress_key, time.perf_counter() - begun)
        progress.unlink(missing_ok=True)

    def _quantize(
        self,
        progress: Path,
        on_start: Callable[[QuantizedSR], None] | None = None,
        on_step: Callable[[TuningStep], None] | None = None,
    ) -> tuple[QuantizedSR, list[TuningStep]]:
        with one_thread(self.device):
            network = fold_reparameterized(placed(load_network(self.backbone), self.device))
            model, _, steps = quantize(
                network,
                [read_rgb(path) for path in self.calibration],
                self.run.config(self.effort),
                describe(network),  # the study's own process tells what was guessed
                patch_size=self.effort.patch_size,
                patches=self.effort.patches,
                seed=self.run.seed,
                progress=progress,
                after_calibration=on_start,
                on_step=on_step,
            )
        return model, steps

    def load(self) -> tuple[QuantizedSR, list[TuningStep]]:
        """Return the kept model and its fine-tuning steps; what was damaged or deleted meanwhile is computed again.

        Raises:
            FineTuningError: fine-tuning diverged.
        """
        if not self.done():
            self.carry_out()
        if (reason := self.divergence()) is not None:
            raise FineTuningError(reason)
        kept = self.cache.load_model(self.key)
        if kept is None:
            raise DataError(
                f"{self.cache.folder}: the model just kept there cannot be read again; is the disk in order?"
            )
        return kept

    def weight_bits(self) -> dict[str, int | None]:
        """Return the weight bits of each layer of the kept model, which its steps may have changed; none for ``fp32``."""
        if self.run.method == FULL_PRECISION:
            return {}
        kept = self.cache.load_weight_bits(self.key)
        return kept if kept is not None else weight_bits(self.load()[0])

    def model(self) -> tuple[QuantizedSR, CalibrationRecord, list[TuningStep]]:
        """Return the quantized model as :meth:`load` does, with what its calibration saw."""
        model, steps = self.load()
        batches = calibration_batches(
            [read_rgb(path) for path in self.calibration],
            self.effort.patch_size,
            16,
            self.run.seed,
            model.descriptor.value_range,
            self.effort.patches,
        )
        with one_thread(self.device):
            network = load_network(self.backbone)
            record = calibrate(QuantizedSR(network, model.config, model.descriptor), batches)
        return model.to(self.device), record, steps


@dataclass(frozen=True)
class MeasureTask:
    """Pictures to be measured with one model, tile by tile or whole, as an engine runs it."""

    model: ModelTask
    files: tuple[PictureFiles, ...]
    tile: int | None
    engine: str = SIMULATED

    def picture_key(self, files: PictureFiles) -> str:
        """Hash of all that the measurement on one picture depends on."""
        low = file_hash(files.low) if files.low is not None else None
        engine = (
            {}
            if self.engine == SIMULATED
            else {"engine": self.engine, "opens": definition_hash(find(self.engine).open)}
        )
        return key(
            model=self.model.key,
            high=file_hash(files.high),
            low=low,
            tile=self.tile,
            device=self.model.device,
            code=measuring_code(self.model.backbone),
            **engine,
        )

    def missing(self) -> list[PictureFiles]:
        """The pictures without a kept measurement."""
        return [files for files in self.files if self.model.cache.load_record(self.picture_key(files)) is None]

    def results(self) -> list[Measurement]:
        """All measurements.

        Raises:
            DataError: one is missing.
        """
        kept = [self.model.cache.load_record(self.picture_key(files)) for files in self.files]
        if None in kept:
            raise DataError(
                f"{self.files[kept.index(None)].name}: its measurement is not there; the code, a picture or the cache changed "
                "while the study ran. Run it again"
            )
        return [Measurement(files.name, **result) for files, result in zip(self.files, kept)]

    @property
    def identity(self) -> str:
        """What tells whether another process has the same files and code."""
        return self.picture_key(self.files[0])

    def carry_out(self) -> None:
        """Measure each picture that is missing, and keep the result at once."""
        for files in self.files:
            picture_key = self.picture_key(files)
            if (
                self.model.cache.load_record(picture_key) is not None
            ):  # another study on this cache may have measured it
                continue
            model, full = loaded(self.model, self.model.key), self.model.run.method == FULL_PRECISION
            begun = time.perf_counter()
            simulated = self.engine == SIMULATED
            engine = SimulatedEngine(model, full_precision=full) if simulated else open_engine(self.engine, model)
            with one_thread(self.model.device):
                result = vars(measure(engine, files.read(engine.scale), self.tile))
            self.model.cache.keep_record(picture_key, {k: v for k, v in result.items() if k != "picture"})
            self.model.cache.keep_seconds(picture_key, time.perf_counter() - begun)


@lru_cache(maxsize=1)
def loaded(task: ModelTask, _key: str) -> QuantizedSR:
    """The model of the last task of this process, known by task and key: consecutive tasks often share it."""
    if task.run.method == FULL_PRECISION:
        network = fold_reparameterized(load_network(task.backbone))
        model = QuantizedSR(network, task.run.config(), describe(network))
    else:
        model, _ = task.load()
    return placed(model, task.device)


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Compute on one thread of the CPU inside: numbers depend on how many share a sum."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
