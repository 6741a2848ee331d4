"""What questions share that look into a quantized model: patches of a bench's pictures, kept records, errors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...engines.metrics import luma
from ...full_precision import FULL_PRECISION_SETTING
from ...networks.scale import file_scale
from ...pictures.tensors import to_batch
from ...quantization.model import QuantizedSR
from ..origin.fingerprint import definition_hash, file_hash, key
from ..plan.cells import Run
from ..running.bench import Bench
from ..running.keys import measuring_code
from ..running.runs import MEASURED
from ..running.tasks import ModelTask, loaded, one_thread
from ..tables.schema import study_table
from .calibration import FULL_PRECISION


@dataclass(frozen=True)
class Patch:
    """A part of a picture: (H, W, 3) low and (scale*H, scale*W, 3) high resolution, 8 bits."""

    dataset: str
    name: str
    low: np.ndarray
    high: np.ndarray


def patches(bench: Bench, side: int, count: int) -> list[Patch]:
    """Cut the sets' pictures into squares of ``side`` LR pixels; of each set, ``count`` at even distances."""
    chosen = []
    for pictures in bench.sets:
        found = []
        for files in pictures.files:
            pair = files.read(bench_scale(bench))
            for top in range(0, pair.low.shape[0] - side + 1, side):
                for left in range(0, pair.low.shape[1] - side + 1, side):
                    high = (
                        slice(top * pair.scale, (top + side) * pair.scale),
                        slice(left * pair.scale, (left + side) * pair.scale),
                    )
                    low = pair.low[top : top + side, left : left + side]
                    found.append(Patch(pictures.name, f"{files.name} {top}-{left}", low, pair.high[high]))
        places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
        chosen += [found[place] for place in places]
    return chosen


def bench_scale(bench: Bench) -> int:
    """The factor by which the bench's network enlarges."""
    return file_scale(bench.backbone)


def shown(bench: Bench) -> list[tuple[str, str, list[str]]]:
    """The bench's pictures for a key: set, name and contents of each, since patches are told, and chosen, by set and name."""
    return [
        (pictures.name, files.name, [file_hash(path) for path in (files.high, files.low) if path is not None])
        for pictures in bench.sets
        for files in pictures.files
    ]


@dataclass(frozen=True)
class Probe:
    """One quantized model of a bench, looked into on one thread; what is found is kept in the bench's cache."""

    bench: Bench
    run: Run
    calibration: tuple

    @property
    def task(self) -> ModelTask:
        return ModelTask(
            self.bench.backbone, self.calibration, self.run, self.bench.effort, self.bench.cache, self.bench.device
        )

    def found(self, compute: Callable[..., dict], *given: object) -> dict:
        """Return ``compute(model, bench, *given)``, JSON-ready, or what it returned at an earlier time.

        Args:
            compute: a function of a module; its code, the model, the pictures and ``given`` (told by ``repr``) are the key. Give
                lists and names: of a long array ``repr`` leaves out the middle, so that two would have one key.
        """
        identity = key(
            model=self.task.key,
            compute=definition_hash(compute),
            measuring=measuring_code(self.bench.backbone),
            pictures=shown(self.bench),
            given=repr(given),
        )
        kept = self.bench.cache.load_record(identity)
        if kept is None:
            with one_thread(self.bench.device), torch.no_grad():
                kept = compute(loaded(self.task, self.task.key), self.bench, *given)
            self.bench.cache.keep_record(identity, kept)
        return kept


def output(model: QuantizedSR, batch: Tensor) -> np.ndarray:
    """Return the network's outputs as (N, H, W, 3) values 0 to 255, not rounded."""
    return pixels(model, model.infer(batch).image)


def pixels(model: QuantizedSR, image: Tensor) -> np.ndarray:
    """Return a network's output (N, C, H, W) as (N, H, W, 3) values 0 to 255, not rounded."""
    values = image.float() * (255.0 / model.descriptor.value_range)
    return values.clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()


@contextmanager
def image_factor(model: QuantizedSR, factor: int) -> Iterator[None]:
    """Give all images this factor inside the block, whatever the mapping says."""
    hook = model.image2bit.register_forward_hook(lambda _m, _i, out: torch.full_like(out, factor))
    try:
        yield
    finally:
        hook.remove()


def batch_of(model: QuantizedSR, pictures: Sequence[np.ndarray]) -> Tensor:
    """Return pictures of one size as the batch that the model takes."""
    return to_batch(np.stack(pictures), model.descriptor.value_range, next(model.parameters()))


def squared_error(image: np.ndarray, reference: np.ndarray, border: int) -> float:
    """Mean squared difference on Y of two (H, W, 3) pictures, a border cropped."""
    crop = slice(border, -border)
    return float(np.mean((luma(image)[crop, crop] - luma(reference)[crop, crop]) ** 2))


def psnr(error: float | np.ndarray) -> float | np.ndarray:
    """PSNR in dB of a mean squared error of 8-bit values."""
    return 10 * np.log10(255.0**2 / np.maximum(error, 1e-9))


def mapping_table(question: str, rows: Sequence[dict], full: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return a table of the study: full precision of each network and set, then ``rows``, measured.

    Args:
        rows: with backbone, dataset, setting, series, variable, level, seed, psnr_y_db, fab and counts.
        full: PSNR of full precision in dB, by network and set.
    """
    first = [
        dict(
            question=question,
            backbone=backbone,
            dataset=dataset,
            setting=FULL_PRECISION_SETTING,
            series=FULL_PRECISION,
            variable="none",
            level="none",
            seed=0,
            sample=0,
            status=MEASURED,
            psnr_y_db=value,
            loss_db=0.0,
            fab=32.0,
        )
        for (backbone, dataset), value in full.items()
    ]
    others = [
        row
        | dict(question=question, sample=0, status=MEASURED)
        | dict(loss_db=full[row["backbone"], row["dataset"]] - row["psnr_y_db"])
        for row in rows
    ]
    return study_table([*first, *others])
