"""What rounding one layer alone does to each patch, at several bits; and what bits chosen for both at once make of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...pictures.reading import read_rgb
from ...quantization.bit_mapping import deviation
from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from ..running.bench import Bench
from .layer_probes import Views, adaptive_layers, adding
from .probing import batch_of, output, patches, squared_error

FINE = 8  # bits more than the base, at which rounding no longer counts


def errors(model: QuantizedSR, bench: Bench, names: Sequence[str], side: int, count: int, added: Sequence[int]) -> dict:
    """Return ``rows``, one a patch and layer, and what AdaBM's mappings see: ``complexity`` by patch, ``deviation`` by layer.

    A row holds, for each of ``added``, the mean squared difference on Y that the layer alone makes with as many bits more
    than the base, where all other layers that adapt have 8 more; weights are quantized all along.

    Args:
        model: calibrated, without mappings, at the same bits everywhere.
        names: of the calibration pictures, from whose middles deviations are.
        side, count: patches of each evaluated set, LR pixels.
    """
    views, layers = Views.of(model, patches(bench, side, count)), list(adaptive_layers(model))
    fine, border = dict.fromkeys(layers, FINE), model.descriptor.scale
    with adding(model, fine):
        reference = output(model, views.batch)
    rows = []
    for layer in layers:
        found = {}
        for more in added:
            with adding(model, fine | {layer: more}):
                images = output(model, views.batch)
            found[f"{more:+d}"] = [squared_error(image, whole, border) for image, whole in zip(images, reference)]
        for index, patch in enumerate(views.patches):
            here = {name: values[index] for name, values in found.items()}
            rows.append(dict(dataset=patch.dataset, patch=patch.name, layer=layer, **here))
    complexities = dict(zip([_name(patch) for patch in views.patches], model.complexity(views.batch).tolist()))
    return {"rows": rows, "complexity": complexities, "deviation": _deviations(model, bench, names, side)}


def policies(
    model: QuantizedSR, bench: Bench, chosen: Mapping[str, Mapping[str, Mapping[str, int]]], side: int, count: int
) -> dict:
    """Return ``rows``, one a policy and patch: errors as the model is with the bits that the policy adds, and the FAB.

    Args:
        chosen: by policy and patch, the bits that each layer adds.
    """
    views, rows = Views.of(model, patches(bench, side, count)), []
    for policy, by_patch in chosen.items():
        for index, patch in enumerate(views.patches):
            with adding(model, by_patch[_name(patch)]):
                fab = model.infer(views.batch[index : index + 1]).feature_average_bits.item()
                rows += [dict(policy=policy, fab=fab, **row) for row in views.single(index).rows(model)]
    return {"rows": rows}


def _name(patch) -> str:
    return f"{patch.dataset} {patch.name}"


def _deviations(model: QuantizedSR, bench: Bench, names: Sequence[str], side: int) -> dict[str, float]:
    pictures = [read_rgb(path) for path in bench.pool if path.name in set(names)]
    side = min(side, *(length for picture in pictures for length in picture.shape[:2]))
    middle = lambda length: slice((length - side) // 2, (length - side) // 2 + side)
    batch = batch_of(model, [picture[middle(picture.shape[0]), middle(picture.shape[1])] for picture in pictures])
    layers, found = adaptive_layers(model), {}

    def look(layer: QuantizedLayer, x: torch.Tensor) -> None:
        if layer.name in layers:
            found[layer.name] = float(deviation(layer, x))

    with torch.no_grad(), model.full_precision(), model.visiting(look):
        model.infer(batch)
    return {name: found[name] for name in layers}


def best_joint(table: np.ndarray, added: Sequence[int]) -> np.ndarray:
    """Return the bits that each patch and layer adds so that the sum of their errors is least and they add none in the mean.

    Args:
        table: (patches, layers, bits) errors, the last axis as ``added``.

    Returns:
        (patches, layers) of ``added``.
    """
    shape, flat = table.shape[:2], table.reshape(-1, table.shape[2])
    return _least(flat, added).reshape(shape)


def best_separate(table: np.ndarray, added: Sequence[int], reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits that each patch and each layer adds, none in the mean of either, whose sums have the least error.

    Patches and layers are chosen in turns, each exactly, until nothing changes, from a start at none; ``reach`` bits up and
    down each.
    """
    place = {more: index for index, more in enumerate(added)}
    steps = list(range(-reach, reach + 1))
    images, layers = np.zeros(table.shape[0], int), np.zeros(table.shape[1], int)
    rows, columns = np.arange(table.shape[0]), np.arange(table.shape[1])
    while True:
        before = images.copy(), layers.copy()
        by_layer = [[table[rows, k, [place[a + c] for a in images]].sum() for c in steps] for k in columns]
        layers = _least(np.array(by_layer), steps)
        by_image = [[table[i, columns, [place[a + c] for c in layers]].sum() for a in steps] for i in rows]
        images = _least(np.array(by_image), steps)
        if (images == before[0]).all() and (layers == before[1]).all():
            return images, layers


def _least(errors: np.ndarray, added: Sequence[int]) -> np.ndarray:
    """Choose a column for each row so that the sum is least and the mean of ``added`` at most 0."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes a third of a second
    from scipy.sparse import csr_array

    number, options = errors.shape
    every = np.arange(number * options)
    one_each = csr_array((np.ones(len(every)), (every // options, every)))
    total = LinearConstraint(np.tile(np.asarray(added, float), number)[None], ub=0)
    costs = errors.ravel() / errors.max()
    limits = dict(
        integrality=np.ones(len(every)), bounds=Bounds(0, 1), constraints=[LinearConstraint(one_each, 1, 1), total]
    )
    taken = milp(costs, **limits, options={"mip_rel_gap": 1e-6}).x.reshape(number, options)
    return np.asarray(added)[taken.argmax(1)]
