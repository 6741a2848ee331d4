"""Layer factors by several rules, fixed or computed from each picture, tried on one model (paper eq. 6 for each picture)."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...pictures.patches import calibration_batches
from ...pictures.reading import read_rgb
from ...quantization.bit_mapping import deviation, initial_layer_factors
from ...quantization.bit_rule import expected_average_bits
from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from ..plan.cells import Run
from ..running.bench import Bench
from .calibration import FULL_PRECISION
from .probing import batch_of, image_factor, output, patches, squared_error

FIXED = "fixed (AdaBM)"
OWN, THRESHOLDS = "percentiles of the picture's layers", "calibrated thresholds"  # computed for each picture
OTHER, SAME = "another picture's percentiles", "the same for all layers"
FEWER, MORE = "fixed, a bit fewer", "fixed, a bit more"  # for all images: what equal FAB is interpolated between
RULES = (FIXED, OWN, THRESHOLDS, OTHER, SAME, FEWER, MORE)
_SIGNS = {-1: "-", 0: ".", 1: "+"}


def outcomes(model: QuantizedSR, bench: Bench, run: Run, pictures: int, side: int, count: int) -> dict:
    """Return ``rows``: of each patch and rule its errors on Y to ground truth and full precision, its FAB and ``factors``.

    ``factors`` has a sign a layer, in execution order: ``-``, ``.`` or ``+``. All images have the image factor 0, but
    where a rule says a bit fewer or more.

    Args:
        run, pictures: of the model: how many random calibration pictures it has.
        side, count: of patches, see :func:`.probing.patches`.
    """
    low, high = calibrated_thresholds(model, bench, run, pictures)
    percentile, border = model.config.step("map_bits").layer_percentile, model.descriptor.scale
    rows, chosen = [], patches(bench, side, count)
    batches = [batch_of(model, [patch.low]) for patch in chosen]
    with free_factors(model) as factors:
        fixed = factors.read()
        seen = [deviations(model, batch) for batch in batches]
        own = [initial_layer_factors(sigma, percentile).int().tolist() for _, sigma in seen]
        for place, (patch, batch, (full, _)) in enumerate(zip(chosen, batches, seen)):
            other = own[(place + len(own) // 2) % len(own)]
            given = {FIXED: fixed, OWN: own[place], OTHER: other, SAME: [0] * len(fixed), FEWER: fixed, MORE: fixed}
            for rule in RULES:
                factors.write(given.get(rule, fixed))
                shift = {FEWER: -1, MORE: 1}.get(rule, 0)
                deciding = by_thresholds(model, low, high) if rule == THRESHOLDS else nullcontext()
                with image_factor(model, shift), deciding:
                    image = output(model, batch)[0]
                row = dict(dataset=patch.dataset, patch=patch.name, rule=rule, factors=factors.signs())
                row |= dict(fab=expected_average_bits(list(model.layers.values()), [shift])[0])
                row |= dict(fp=squared_error(image, full, border))
                rows.append(row | dict(truth=squared_error(np.rint(image), patch.high, border)))
            row = dict(dataset=patch.dataset, patch=patch.name, rule=FULL_PRECISION, factors="", fab=32.0, fp=0.0)
            rows.append(row | dict(truth=squared_error(np.rint(full), patch.high, border)))
    return {"rows": rows}


def times(model: QuantizedSR, bench: Bench, run: Run, pictures: int, side: int, repeats: int) -> dict:
    """Return ``rows``: measured ``seconds`` of upscaling one patch by each rule, interleaved, all samples after a first round."""
    low, high = calibrated_thresholds(model, bench, run, pictures)
    batch = batch_of(model, [patches(bench, side, 1)[0].low])
    percentile = model.config.step("map_bits").layer_percentile
    with free_factors(model) as factors:

        def thresholds() -> None:
            with by_thresholds(model, low, high):
                model.infer(batch)

        def percentiles() -> None:
            _, sigma = deviations(model, batch)
            factors.write(initial_layer_factors(sigma, percentile).tolist())
            model.infer(batch)

        parts: dict[str, Callable[[], object]] = {FIXED: lambda: model.infer(batch)}
        parts |= {THRESHOLDS: thresholds, OWN: percentiles}
        rows = []
        for sample in range(-1, repeats):
            for part, act in parts.items():
                begun = time.perf_counter()
                act()
                if sample >= 0:
                    rows.append(dict(rule=part, sample=sample, seconds=time.perf_counter() - begun))
    return {"rows": rows}


class Factors:
    """The factors of a model's adaptive layers, in execution order, to be read and written."""

    def __init__(self, model: QuantizedSR) -> None:
        self._mappings = [layer.layer2bit for layer in model.layers.values() if layer.layer2bit is not None]
        if model.image2bit is None or not self._mappings:
            raise ConfigError("the model does not map bits to images and layers; take a recipe such as adabm-own-bits")

    def read(self) -> list[int]:
        """Return the hard factors."""
        return [int(mapping.hard) for mapping in self._mappings]

    def write(self, factors: Sequence[float]) -> None:
        """Set all factors."""
        for mapping, factor in zip(self._mappings, factors, strict=True):
            mapping.factor.data.fill_(float(factor))

    def signs(self) -> str:
        """Return the factors as a text of a sign each."""
        return "".join(_SIGNS[factor] for factor in self.read())


@contextmanager
def free_factors(model: QuantizedSR) -> Iterator[Factors]:
    """Let factors be changed inside the block; afterwards they are as before.

    Raises:
        ConfigError: the model has none, or no image mapping.
    """
    factors = Factors(model)
    before = model.state_dict()
    kept = {name: value.clone() for name, value in before.items() if name.endswith("layer2bit.factor")}
    try:
        yield factors
    finally:
        for name, value in kept.items():
            before[name].copy_(value)


def deviations(model: QuantizedSR, batch: Tensor) -> tuple[np.ndarray, Tensor]:
    """Return the full-precision output of one picture, and the deviation of each adaptive layer's input, (L,)."""
    found: dict[str, float] = {}

    def visit(layer: QuantizedLayer, x: Tensor) -> None:
        if layer.layer2bit is not None:
            found[layer.name] = float(deviation(layer, x))

    with model.full_precision(), model.visiting(visit):
        full = output(model, batch)[0]
    names = [name for name, layer in model.layers.items() if layer.layer2bit is not None]
    return full, torch.tensor([found[name] for name in names], dtype=torch.float64)


def calibrated_thresholds(model: QuantizedSR, bench: Bench, run: Run, pictures: int) -> tuple[float, float]:
    """Return the thresholds of deviation between which a layer of the calibration patches kept its base bits."""
    images = [read_rgb(path) for path in bench.choose("random", pictures, run)]
    value_range = model.descriptor.value_range
    size = bench.effort.patch_size
    batches = calibration_batches(images, size, 16, run.seed, value_range, bench.effort.patches)
    sigma = torch.stack([deviations(model, batch.to(model.device, model.dtype))[1] for batch in batches]).mean(0)
    share = model.config.step("map_bits").layer_percentile / 100
    low, high = torch.quantile(sigma, torch.tensor([share, 1 - share], dtype=sigma.dtype)).tolist()
    return low, high


@contextmanager
def by_thresholds(model: QuantizedSR, low: float, high: float) -> Iterator[None]:
    """Inside the block, decide each layer's factor from its input just before it computes: one picture at a time."""

    def visit(layer: QuantizedLayer, x: Tensor) -> None:
        if layer.layer2bit is not None:
            sigma = float(deviation(layer, x))
            layer.layer2bit.factor.data.fill_(float(sigma > high) - float(sigma < low))

    with model.visiting(visit):
        yield
