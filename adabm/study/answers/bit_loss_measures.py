"""Ways to meet a target of bits, tried on one calibrated model: the released bit loss, a multiplier, thresholds by quantiles."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ...pictures.reading import read_rgb
from ...quantization.bit_rule import expected_average_bits
from ...quantization.model import QuantizedSR
from ...steps.tuner import FineTuner
from ...steps.tuning_settings import TuningSettings
from ...steps.workspace import Workspace
from ..running.bench import Bench
from .probing import Patch, batch_of, image_factor, output, patches, squared_error

CALIBRATION = "calibration"
FACTORS = (-1, 0, 1)  # bits that an image adds
_ROUNDS = 3  # of the mapping in the released recipe; its rates fall after each
_SHARE = 0.1  # of the pictures that the released thresholds leave on either side
_CLOSE = 0.05  # bits
_NO_TARGET = 1e-6  # with it the bit loss is the average itself

Complexities = Mapping[str, Sequence[float]]  # by set, of its low-resolution pictures; and of those of calibration


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How a mapping is tuned and measured.

    Attributes:
        names: of the calibration pictures.
        steps: of the mapping, in three rounds, with ``speed`` times the released learning rates.
        side, count: patches of each set to measure on, LR pixels.
    """

    names: tuple[str, ...]
    seed: int
    steps: int
    speed: float
    side: int
    count: int


def complexities(model: QuantizedSR, bench: Bench, names: Sequence[str]) -> dict[str, list[float]]:
    """Return the complexities of whole pictures: of ``calibration`` and of each set."""
    scale = model.descriptor.scale
    shown = {CALIBRATION: _pictures(bench, names)}
    shown |= {found.name: [files.read(scale).low for files in found.files] for found in bench.sets}
    return {name: [_complexity(model, picture) for picture in pictures] for name, pictures in shown.items()}


def forced(model: QuantizedSR, bench: Bench, side: int, count: int) -> dict:
    """Return ``rows``: of each patch its complexity, and FAB and errors if its factor were -1, 0 or 1."""
    rows = []
    for patch in patches(bench, side, count):
        for factor in FACTORS:
            with image_factor(model, factor):
                errors = _errors(model, patch)
            rows.append(errors | dict(complexity=_complexity(model, patch.low), factor=factor))
    return {"rows": rows}


def average(model: QuantizedSR, known: Sequence[float] | None = None) -> float:
    """Return the FAB of pictures of these complexities, as the mapping is now; of None, that of a picture of factor 0."""
    with torch.no_grad():
        factors = [0.0] if known is None else model.image2bit(torch.tensor(known, device=model.device)).tolist()
    return float(np.mean(expected_average_bits(list(model.layers.values()), factors)))


def calibrated(model: QuantizedSR, bench: Bench, known: Complexities, side: int, count: int) -> dict:
    """Return what the mapping gives that is not tuned, as :func:`released` does."""
    return _found(model, bench, known, side, count) | {"trace": [], "middle": average(model)}


def released(
    model: QuantizedSR, bench: Bench, known: Complexities, weight: float, target: float, tuning: Tuning
) -> dict:
    """Tune the mapping alone with the released bit loss, which punishes what each batch of two patches uses above the target.

    Returns:
        ``bits``: FAB by set, ``rows``: errors on patches, ``trace``: FAB of the calibration pictures after each step.
    """
    with _mapping_kept(model):
        trace = []
        for tuner, batch in _steps(model, bench, weight, target, tuning):
            _step(tuner, batch)
            trace.append(average(model, known[CALIBRATION]))
        return _found(model, bench, known, tuning.side, tuning.count) | {"trace": trace}


def multiplier(
    model: QuantizedSR, bench: Bench, known: Complexities, rate: float, target: float, tuning: Tuning
) -> dict:
    """Tune the mapping with a price on bits that rises while the calibration pictures together exceed the target, and else falls.

    This is dual ascent, the price is the multiplier of the constraint. Of the steps of the last two rounds the last one is
    kept that is within 0.05 bits of the target, or the nearest.

    Args:
        rate: what an excess of one bit adds to the price in a step.

    Returns:
        As :func:`released` does; ``trace`` ends with the step that is kept.
    """
    with _mapping_kept(model):
        trace, kept, price, least = [], (_state(model), 0), 0.0, np.inf
        for tuner, batch in _steps(model, bench, 0.0, _NO_TARGET, tuning):
            price = max(0.0, price + rate * (average(model, known[CALIBRATION]) - target))
            tuner.config = dataclasses.replace(tuner.config, bit_weight=price)
            _step(tuner, batch)
            trace.append(average(model, known[CALIBRATION]))
            off = max(abs(trace[-1] - target), _CLOSE)
            if len(trace) > tuning.steps // _ROUNDS and off <= least:
                kept, least = (_state(model), len(trace)), off
        _restore(model, kept[0])
        return _found(model, bench, known, tuning.side, tuning.count) | {"trace": trace[: kept[1]]}


def thresholds(known: Sequence[float], change: float) -> tuple[float, float]:
    """Return thresholds that change the average of pictures of these complexities by ``change`` bits, as near as their number allows.

    A tenth of the pictures on either side, as released, gives and gets a bit; half of the change is taken from each side, and
    from one where the other is used up.

    Args:
        change: from -1 to 1.

    >>> thresholds(range(10), -0.2)
    (1.5, 10.0)
    """
    number, order = len(known), np.sort(np.asarray(known, dtype=float))
    net = int(np.clip(round(change * number), -number, number))
    more = max(0, round(_SHARE * number + net / 2), net)
    if 2 * more - net > number:
        more = max(0, net)
    edges = np.concatenate([[order[0] - 1.0], (order[1:] + order[:-1]) / 2, [order[-1] + 1.0]])
    return float(edges[more - net]), float(edges[number - more])


def factors_at(known: Sequence[float], low: float, high: float) -> np.ndarray:
    """Return the factors -1, 0 and 1 of complexities at two thresholds."""
    values = np.asarray(known, dtype=float)
    return (values > high).astype(int) - (values < low).astype(int)


def _steps(
    model: QuantizedSR, bench: Bench, weight: float, target: float, tuning: Tuning
) -> Iterator[tuple[FineTuner, torch.Tensor]]:
    """Yield tuner and batch for each step of the mapping."""
    usual = TuningSettings()
    settings = TuningSettings(
        rounds=_ROUNDS,
        steps_per_round=tuning.steps // _ROUNDS,
        lr_layer=usual.lr_layer * tuning.speed,
        lr_image=usual.lr_image * tuning.speed,
        bit_weight=weight,
        target_bits=target,
        groups=("mapping",),
    )
    images, size = _pictures(bench, tuning.names), bench.effort.patch_size
    space = Workspace(images, size, None, 16, tuning.seed, model.descriptor.value_range, model.device, model.dtype)
    tuner, stream = FineTuner(model, settings), space.random(settings.batch_size)
    for _ in range(settings.rounds):
        for _ in range(settings.steps_per_round):
            yield tuner, next(stream)
        tuner.decay("mapping")


def _step(tuner: FineTuner, batch: torch.Tensor) -> None:
    with torch.enable_grad():
        tuner.step("mapping", batch)


def _pictures(bench: Bench, names: Sequence[str]) -> list[np.ndarray]:
    files = {path.name: path for path in bench.pool}
    return [read_rgb(files[name]) for name in names]


def _complexity(model: QuantizedSR, picture: np.ndarray) -> float:
    return float(model.complexity(batch_of(model, [picture])))


def _found(model: QuantizedSR, bench: Bench, known: Complexities, side: int, count: int) -> dict:
    with torch.no_grad():
        rows = [_errors(model, patch) for patch in patches(bench, side, count)]
    return {"bits": {name: average(model, values) for name, values in known.items()}, "rows": rows}


def _errors(model: QuantizedSR, patch: Patch) -> dict:
    batch, border = batch_of(model, [patch.low]), model.descriptor.scale
    with model.full_precision():
        full = output(model, batch)[0]
    image = output(model, batch)[0]
    return dict(
        dataset=patch.dataset,
        patch=patch.name,
        fab=average(model, [_complexity(model, patch.low)]),
        fp=squared_error(image, full, border),
        truth=squared_error(np.rint(image), patch.high, border),
        full=squared_error(np.rint(full), patch.high, border),
    )


def _parameters(model: QuantizedSR) -> list[torch.Tensor]:
    factors = [layer.layer2bit.factor for layer in model.layers.values() if layer.layer2bit is not None]
    return [model.image2bit.lower, model.image2bit.upper, *factors]


def _state(model: QuantizedSR) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in _parameters(model)]


@torch.no_grad()
def _restore(model: QuantizedSR, state: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(_parameters(model), state):
        parameter.copy_(value)


@contextmanager
def _mapping_kept(model: QuantizedSR) -> Iterator[None]:
    """Put the mapping back behind the block as it was."""
    state = _state(model)
    try:
        yield
    finally:
        _restore(model, state)
