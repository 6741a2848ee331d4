"""PSNR in the course of a fine-tuning: one run, measured after chosen steps."""

from dataclasses import dataclass

import numpy as np

from ...engines.evaluation import measure
from ...errors import ConfigError, DataError
from ...pictures.pairs import PictureFiles
from ...quantization.model import QuantizedSR
from ...steps import TuningStep
from ..origin.fingerprint import file_hash, key
from .keys import measuring_code
from .tasks import ModelTask


@dataclass(frozen=True)
class TraceTask:
    """A fine-tuning that is measured on pictures after each of ``steps`` (counted from 1; the last is the recipe's).

    The quantized model that it ends with is kept like any other.
    """

    model: ModelTask
    files: tuple[PictureFiles, ...]
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        tuning = self.model.run.config(self.model.effort).step("tune")
        if tuning is None:
            raise ConfigError(f"{self.model.run.method}: this run does not fine-tune, there is nothing to trace")
        last = tuning.total_steps
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1 or self.steps[-1] != last:
            raise ConfigError(f"steps = {self.steps}: must rise from at least 1 to the recipe's last step, {last}")

    def _key(self, step: int) -> str:
        pictures = [(file_hash(f.high), file_hash(f.low) if f.low is not None else None) for f in self.files]
        return key(trace=self.model.key, step=step, pictures=pictures, code=measuring_code(self.model.backbone))

    @property
    def identity(self) -> str:
        """What tells whether another process has the same files and code."""
        return self._key(self.steps[-1])

    @property
    def progress_key(self) -> str:
        """Of the state of the unfinished fine-tuning, and of its duration."""
        return key(trace=self.model.key, steps=self.steps)

    def done(self) -> bool:
        """Whether nothing is to be computed: all is measured, or fine-tuning diverged."""
        return self.model.divergence() is not None or all(
            self.model.cache.load_record(self._key(s)) for s in self.steps
        )

    def carry_out(self) -> None:
        """Quantize and measure on the way; an interrupted run goes on behind its last whole round."""
        task = self.model
        running: list[QuantizedSR] = []
        tuning = task.run.config(task.effort).step("tune")
        position = [-1, 0]  # round, steps of it

        def on_step(step: TuningStep) -> None:
            position[:] = [step.round, position[1] + 1 if step.round == position[0] else 1]
            taken = step.round * tuning.steps_per_round + position[1]
            if taken in self.steps and task.cache.load_record(self._key(taken)) is None:
                task.cache.keep_record(
                    self._key(taken), dict(step=taken, group=step.group, **self._measured(running[-1]))
                )

        progress_key = self.progress_key
        with task.cache.claimed(progress_key), task.cache.claimed(task.key):  # it ends with that model
            if not self.done():
                task.quantize_and_keep(progress_key, running.append, on_step)

    def _measured(self, model: QuantizedSR) -> dict[str, float]:
        results = [measure(model, files.read(model.descriptor.scale)) for files in self.files]
        return {name: float(np.mean([getattr(r, name) for r in results])) for name in ("psnr_y_db", "ssim_y", "fab")}

    def results(self) -> list[dict]:
        """Return ``step, group, psnr_y_db, ssim_y, fab`` after each of the steps, means over the pictures.

        A run that diverged gives what was measured before.

        Raises:
            DataError: a measurement is missing although the run did not diverge.
        """
        kept = [self.model.cache.load_record(self._key(step)) for step in self.steps]
        if None in kept and self.model.divergence() is None:
            raise DataError(f"step {self.steps[kept.index(None)]}: its measurement is not there; run the trace first")
        return [record for record in kept if record is not None]
