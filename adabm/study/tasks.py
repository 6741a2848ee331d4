"""The two kinds of work of a study: quantize a network, measure a model on pictures. Each fills the cache."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ..api import quantize
from ..calibration import CalibrationRecord, calibrate
from ..datasets import PictureFiles
from ..errors import FineTuningError
from ..evaluation import Measurement, measure
from ..fine_tuning import Step
from ..images import read_rgb
from ..model import QuantizedSR
from ..networks import load_network
from ..patches import calibration_batches
from .cache import ResultCache
from .fingerprint import MEASURING, QUANTIZING, code_hash, file_hash, folder_hash, key
from .plan import FULL_PRECISION, Recipe, Run


@dataclass(frozen=True)
class ModelTask:
    """A network to be quantized (or not, for ``fp32``) and where to keep it."""

    backbone: Path
    calibration: tuple[Path, ...]
    run: Run
    recipe: Recipe
    cache: ResultCache
    device: str = "cpu"

    @property
    def key(self) -> str:
        """Hash of all that the model depends on."""
        if self.run.method == FULL_PRECISION:
            return key(network=file_hash(self.backbone))
        config = self.run.config(self.recipe.fine_tuning)
        return key(
            network=file_hash(self.backbone), calibration=folder_hash(list(self.calibration)), config=config.to_dict(),
            patch_size=self.recipe.patch_size, patches=self.recipe.patches, seed=self.run.seed,
            device=self.device, code=code_hash(QUANTIZING),
        )

    def done(self) -> bool:
        return self.run.method == FULL_PRECISION or self.cache.has_model(self.key) or self.divergence() is not None

    def divergence(self) -> str | None:
        """Why fine-tuning failed, if it did."""
        kept = self.cache.load_picture(key(diverged=self.key))
        return kept["reason"] if kept is not None else None

    def carry_out(self, on_step: Callable[[Step], None] | None = None) -> None:
        """Quantize and keep the model, or keep the reason why fine-tuning failed."""
        network = load_network(self.backbone).to(self.device, memory_format=torch.channels_last)  # a tenth faster
        images = [read_rgb(path) for path in self.calibration]
        try:
            model, _, steps = quantize(
                network, images, self.run.config(self.recipe.fine_tuning), patch_size=self.recipe.patch_size,
                patches=self.recipe.patches, seed=self.run.seed, on_step=on_step, progress=self.cache.progress(self.key),
            )
        except FineTuningError as error:
            self.cache.keep_picture(key(diverged=self.key), {"reason": str(error)})
            return
        self.cache.keep_model(self.key, model, steps, self.run.seed)


    def model(self) -> tuple[QuantizedSR, CalibrationRecord, list[Step]]:
        """Return the model, quantized now unless it is kept, what its calibration saw, and its fine-tuning steps.

        Raises:
            FineTuningError: fine-tuning diverged.
        """
        if not self.done():
            self.carry_out()
        if (reason := self.divergence()) is not None:
            raise FineTuningError(reason)
        model, steps = self.cache.load_model(self.key)
        images = [read_rgb(path) for path in self.calibration]
        value_range = model.descriptor.value_range
        batches = calibration_batches(images, self.recipe.patch_size, 16, self.run.seed, value_range, self.recipe.patches)
        fresh = QuantizedSR(load_network(self.backbone), self.run.config(self.recipe.fine_tuning))
        return model.to(self.device), calibrate(fresh, batches), steps


@dataclass(frozen=True)
class MeasureTask:
    """Pictures to be measured with one model, tile by tile or whole."""

    model: ModelTask
    files: tuple[PictureFiles, ...]
    tile: int | None

    def picture_key(self, files: PictureFiles) -> str:
        """Hash of all that the measurement on one picture depends on."""
        low = file_hash(files.low) if files.low is not None else None
        return key(model=self.model.key, high=file_hash(files.high), low=low, tile=self.tile, device=self.model.device, code=code_hash(MEASURING))

    def missing(self) -> list[PictureFiles]:
        """The pictures without a kept measurement."""
        return [files for files in self.files if self.model.cache.load_picture(self.picture_key(files)) is None]

    def results(self) -> list[Measurement]:
        """All measurements, which must be there."""
        kept = [self.model.cache.load_picture(self.picture_key(files)) for files in self.files]
        return [Measurement(files.name, **result) for files, result in zip(self.files, kept)]

    def carry_out(self, on_picture: Callable[[PictureFiles], None] | None = None) -> None:
        """Measure each picture that is missing, and keep the result at once."""
        missing = self.missing()
        if not missing:
            return
        model = _model(self.model)
        scale = model.descriptor.scale
        for files in missing:
            with model.full_precision() if self.model.run.method == FULL_PRECISION else nullcontext():
                result = vars(measure(model, files.read(scale), self.tile))
            self.model.cache.keep_picture(self.picture_key(files), {k: v for k, v in result.items() if k != "picture"})
            if on_picture is not None:
                on_picture(files)


@lru_cache(maxsize=1)
def _model(task: ModelTask) -> QuantizedSR:
    """The model of the last task of this process: consecutive tasks often share it."""
    if task.run.method == FULL_PRECISION:
        model = QuantizedSR(load_network(task.backbone), task.run.config({}))
    else:
        kept = task.cache.load_model(task.key)
        if kept is None:  # has_model saw the files, so one is damaged
            task.carry_out()
            kept = task.cache.load_model(task.key)
        model = kept[0]
    return model.to(task.device, memory_format=torch.channels_last)
