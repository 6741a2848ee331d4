"""What fine-tuning does to a model along its steps, seen on patches that it does not train on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...api import quantize
from ...errors import FineTuningError
from ...networks import describe, fold_reparameterized, load_network
from ...networks.placing import placed
from ...pictures.reading import read_rgb
from ...quantization.model import QuantizedSR
from ...steps import TuningStep
from ..origin.fingerprint import definition_hash, folder_hash, key
from ..plan.cells import Run
from ..running.bench import Bench
from ..running.keys import measuring_code
from ..running.tasks import ModelTask, one_thread
from .probing import Patch, batch_of, patches, pixels, psnr, shown, squared_error


@dataclass(frozen=True)
class Watch:
    """What is looked at along fine-tuning: ``held_out`` pictures to choose by, ``evaluated`` patches to tell the truth.

    Attributes:
        held_out: (H, W, 3) low-resolution patches of one size, 8 bits.
        full_held_out, full_evaluated: the full-precision outputs, (N, H, W, 3), 0 to 255.
    """

    held_out: Sequence[np.ndarray]
    evaluated: Sequence[Patch]
    full_held_out: np.ndarray
    full_evaluated: np.ndarray

    @classmethod
    def of(cls, model: QuantizedSR, held_out: Sequence[np.ndarray], evaluated: Sequence[Patch]) -> "Watch":
        """Compute what full precision makes of the patches."""
        low = [patch.low for patch in evaluated]
        with torch.no_grad(), model.full_precision():
            full = [pixels(model, model.infer(batch_of(model, pictures)).image) for pictures in (held_out, low)]
        return cls(held_out, evaluated, *full)

    def seen(self, model: QuantizedSR) -> dict[str, float]:
        """Return the teacher loss (mean |difference|, 0 to 255) and PSNR to full precision, PSNR to ground truth, FAB.

        PSNR in dB on Y: to the full-precision output of the pooled error of the held-out patches, to ground truth as the
        mean over the evaluated ones.
        """
        border = model.descriptor.scale
        with torch.no_grad():
            chosen = pixels(model, model.infer(batch_of(model, self.held_out)).image)
            told = model.infer(batch_of(model, [patch.low for patch in self.evaluated]))
        errors = [squared_error(a, b, border) for a, b in zip(chosen, self.full_held_out)]
        return dict(
            held_out=float(np.abs(chosen - self.full_held_out).mean()),
            to_fp_db=float(psnr(np.mean(errors))),
            truth_db=self._truth(pixels(model, told.image), border),
            truth_fp_db=self._truth(self.full_evaluated, border),
            fab=float(told.feature_average_bits.float().mean()),
        )

    def _truth(self, images: np.ndarray, border: int) -> float:
        found = [psnr(squared_error(image.round(), patch.high, border)) for image, patch in zip(images, self.evaluated)]
        return float(np.mean(found))


def trace(bench: Bench, run: Run, pictures: int, held_out: int, side: int, count: int, every: int) -> dict:
    """Return ``looks``, what was seen before and along a fine-tuning, and why it ``diverged`` (or None).

    What was found is kept in the bench's cache. A run that diverges has the looks before.

    Args:
        pictures: random calibration pictures; ``held_out`` others of the same pool are those to choose by.
        side: of the evaluated patches, LR pixels; ``count`` of each set.
        every: steps from look to look; after each round there is one, too.
    """
    drawn = bench.choose("random", pictures + held_out, run)
    calibration, others = drawn[:pictures], drawn[pictures:]
    task = ModelTask(bench.backbone, calibration, run, bench.effort, bench.cache, bench.device)
    identity = key(
        model=task.key,
        compute=definition_hash(_traced),
        measuring=measuring_code(bench.backbone),
        held_out=folder_hash(list(others)),
        evaluated=shown(bench),
        given=[side, count, every],
    )
    kept = bench.cache.load_record(identity)
    if kept is None:
        with one_thread(bench.device):
            middles = [_middle(path, bench.effort.patch_size) for path in others]
            kept = _traced(task, middles, patches(bench, side, count), every)
        bench.cache.keep_record(identity, kept)
    return kept


def _traced(task: ModelTask, held_out: Sequence[np.ndarray], evaluated: Sequence[Patch], every: int) -> dict:
    """Fine-tune as :class:`ModelTask` does, and look at the model before, after so many steps of a round, and after each round."""
    network = fold_reparameterized(placed(load_network(task.backbone), task.device))
    pictures = [read_rgb(path) for path in task.calibration]
    config, descriptor = task.run.config(task.effort), describe(network)
    given = dict(patch_size=task.effort.patch_size, patches=task.effort.patches, seed=task.run.seed)
    before = Run(**{**vars(task.run), "changes": (*task.run.changes, ("tune", None))})
    start, _, _ = quantize(network, pictures, before.config(task.effort), descriptor, **given)
    watch = Watch.of(start, held_out, evaluated)
    looks: list[dict] = [dict(round=0, step=0, group="", training=None, **watch.seen(start))]
    length, taken, running = config.step("tune").steps_per_round, [], []

    def on_step(step: TuningStep) -> None:
        taken.append(step.pixel + step.structure)
        in_round = len(taken) - step.round * length
        if in_round % every == 0 or in_round == length:
            seen, training = watch.seen(running[-1]), float(np.mean(taken[looks[-1]["step"] :]))
            looks.append(dict(round=step.round + 1, step=len(taken), group=step.group, training=training, **seen))

    diverged = None
    try:
        quantize(network, pictures, config, descriptor, after_calibration=running.append, on_step=on_step, **given)
    except FineTuningError as error:
        diverged = str(error)
    return dict(looks=looks, diverged=diverged)


def _middle(path: Path, side: int) -> np.ndarray:
    """The square in the middle of a picture."""
    picture = read_rgb(path)
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]
