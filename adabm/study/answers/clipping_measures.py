"""What a clipped range is worth at other bits than those it was found for: ranges, errors on patches, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ...pictures.reading import read_rgb
from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from ...steps.clip import clip_ranges
from ...steps.workspace import Workspace
from ..running.bench import Bench
from .layer_probes import adding
from .probing import Patch, batch_of, patches, pixels, squared_error

# of what is searched on: the two patches that the released clipping sees, or all that calibration saw
BATCH, ALL = "one batch", "all calibration patches"
MINMAX, BASE, RELEASED = "no clipping", "base bits", "layer's bits, half-way (released)"
OWN, OWN_ALL, FOLLOWING = "layer's bits", "layer's bits, all patches", "layer's and image's bits"
RULES = (MINMAX, BASE, RELEASED, OWN, OWN_ALL, FOLLOWING)
EVERY = "all layers"
_AT_ONCE = 8  # patches

Ranges = Mapping[str, Sequence[float]]  # (lower, upper) by layer


def ranges(model: QuantizedSR, bench: Bench, names: Sequence[str], seed: int, bits: Sequence[int]) -> dict:
    """Return the range of each layer: ``minmax``, as calibrated, and ``found`` by the released search on one batch.

    Found is, by bits, the best shrunk range where all layers that adapt compute at these bits; ``all`` is that of the base
    bits on all calibration patches. The search goes all the way, where the released one stops half-way.

    Args:
        names: of the calibration pictures.
    """
    found = {"minmax": _ranges(model), "found": {}}
    for count in bits:
        with _uniform(model, count):
            found["found"][str(count)] = _searched(model, batches(model, bench, names, seed, BATCH))
    with _uniform(model, model.config.activation_bits):
        found["all"] = _searched(model, batches(model, bench, names, seed, ALL))
    return found


def mismatch(
    model: QuantizedSR, bench: Bench, found: Mapping[str, Ranges], bits: Sequence[int], side: int, count: int
) -> dict:
    """Return ``rows``: the errors on each patch with the ranges found for some bits, used at others."""
    shown, rows = patches(bench, side, count), []
    full = _full_precision(model, shown)
    for used in bits:
        for of in bits:
            with _uniform(model, used), _with(model, found[str(of)]):
                errors = _errors(model, shown, full)
            rows += [dict(row, series=f"found for {of} bits", level=str(used), fab=float(used)) for row in errors]
    return {"rows": rows + _unquantized(shown, full, model.descriptor.scale)}


def owed(model: QuantizedSR, bench: Bench, matched: Ranges, other: Ranges, bits: int, side: int, count: int) -> dict:
    """Return what the other range costs at ``bits`` in mean squared error to full precision: by layer, in it alone; in all."""
    shown = patches(bench, side, count)
    full = _full_precision(model, shown)

    def error(ranges: Ranges) -> float:
        with _with(model, ranges):
            return float(np.mean([row["fp"] for row in _errors(model, shown, full)]))

    with _uniform(model, bits):
        least = error(matched)
        return {name: error({**matched, name: other[name]}) - least for name in matched} | {EVERY: error(other) - least}


def rules(model: QuantizedSR, bench: Bench, names: Sequence[str], seed: int, side: int, count: int) -> dict:
    """Return ``rows``: the errors on each patch of the mapped model with ranges by each of :data:`RULES`.

    Bits are those of both mappings. The rules differ in the bits that a range is searched for, in the patches that are
    searched on, and in how far a range goes towards the best one.
    """
    shown, base = patches(bench, side, count), model.config.activation_bits
    one, every = (batches(model, bench, names, seed, which) for which in (BATCH, ALL))
    full = _full_precision(model, shown)
    with _uniform(model, base):
        at_base = _searched(model, one)
    own = {0: _searched(model, one)}
    with _without_images(model):
        for factor in (-1, 1):
            with adding(model, dict.fromkeys(clipped_layers(model), factor)):
                own[factor] = _searched(model, one)
    chosen = (_ranges(model), at_base, _searched(model, one, share=0.5), own[0], _searched(model, every))
    rows = []
    for rule, ranges in zip(RULES[:-1], chosen):
        with _with(model, ranges):
            rows += [dict(row, series="search", level=rule) for row in _errors(model, shown, full)]
    factors = [int(model.image2bit(model.complexity(batch_of(model, [patch.low])))) for patch in shown]
    by_factor = {}
    for factor in sorted(set(factors)):
        with _with(model, own[factor]):
            by_factor[factor] = _errors(model, shown, full)
    rows += [dict(by_factor[factor][place], series="search", level=FOLLOWING) for place, factor in enumerate(factors)]
    return {"rows": rows + _unquantized(shown, full, model.descriptor.scale)}


def batches(model: QuantizedSR, bench: Bench, names: Sequence[str], seed: int, which: str) -> torch.Tensor:
    """Return the first batch of fine-tuning, on which the released recipe clips, or all calibration patches in one."""
    pictures = {path.name: path for path in bench.pool}
    images = [read_rgb(pictures[name]) for name in names]
    size, number = bench.effort.patch_size, bench.effort.patches
    space = Workspace(images, size, number, 16, seed, model.descriptor.value_range, model.device, model.dtype)
    return next(space.random(2)) if which == BATCH else torch.cat(list(space.calibration()))


def clipped_layers(model: QuantizedSR) -> dict[str, QuantizedLayer]:
    """The layers that bit-aware clipping changes, by name."""
    return {name: layer for name, layer in model.layers.items() if model.counts_in_fab(name)}


def _ranges(model: QuantizedSR) -> dict[str, list[float]]:
    return {n: [float(of.activation.lower), float(of.activation.upper)] for n, of in clipped_layers(model).items()}


def _searched(model: QuantizedSR, images: torch.Tensor, share: float = 0.0) -> dict[str, list[float]]:
    """What the released search finds on ``images`` at the bits that layers have now; the model stays as it is."""
    with _with(model, {}):
        clip_ranges(model, images, share)
        return _ranges(model)


@contextmanager
def _with(model: QuantizedSR, chosen: Ranges) -> Iterator[None]:
    """Use other ranges inside the block, and those of before behind it, whatever happened to them."""
    layers, before = clipped_layers(model), _ranges(model)
    _set(layers, chosen)
    try:
        yield
    finally:
        _set(layers, before)


def _set(layers: Mapping[str, QuantizedLayer], chosen: Ranges) -> None:
    for name, (lower, upper) in chosen.items():
        layers[name].activation.set_range(torch.tensor([lower]), torch.tensor([upper]))


@contextmanager
def _without_images(model: QuantizedSR) -> Iterator[None]:
    """Let no image change the bits inside the block."""
    mapping, model.image2bit = model.image2bit, None
    try:
        yield
    finally:
        model.image2bit = mapping


@contextmanager
def _uniform(model: QuantizedSR, bits: int) -> Iterator[None]:
    """Compute all layers that adapt at the same bits inside the block."""
    layers = clipped_layers(model).values()
    before = [(layer.activation_bits, layer.layer2bit) for layer in layers]
    try:
        for layer in layers:
            layer.activation_bits, layer.layer2bit = bits, None
        with _without_images(model):
            yield
    finally:
        for layer, (own, mapping) in zip(layers, before):
            layer.activation_bits, layer.layer2bit = own, mapping


def _full_precision(model: QuantizedSR, shown: Sequence[Patch]) -> np.ndarray:
    with model.full_precision():
        return _outputs(model, shown)[0]


def _outputs(model: QuantizedSR, shown: Sequence[Patch]) -> tuple[np.ndarray, np.ndarray]:
    """The upscaled patches (N, H, W, 3), and the FAB of each."""
    images, bits = [], []
    for begin in range(0, len(shown), _AT_ONCE):
        batch = batch_of(model, [patch.low for patch in shown[begin : begin + _AT_ONCE]])
        found = model.infer(batch)
        images.append(pixels(model, found.image))
        bits.append(found.feature_average_bits)
    return np.concatenate(images), torch.cat(bits).cpu().numpy()


def _errors(model: QuantizedSR, shown: Sequence[Patch], full: np.ndarray) -> list[dict]:
    images, bits = _outputs(model, shown)
    border = model.descriptor.scale
    return [
        dict(
            dataset=patch.dataset,
            patch=patch.name,
            fab=float(fab),
            fp=squared_error(image, reference, border),
            truth=squared_error(np.rint(image), patch.high, border),
        )
        for patch, image, reference, fab in zip(shown, images, full, bits)
    ]


def _unquantized(shown: Sequence[Patch], full: np.ndarray, border: int) -> list[dict]:
    return [
        dict(dataset=patch.dataset, patch=patch.name, fab=32.0, fp=0.0, series="full precision", level="none")
        | dict(truth=squared_error(np.rint(image), patch.high, border))
        for patch, image in zip(shown, full)
    ]
