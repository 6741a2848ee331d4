"""How sensitive a layer is, by seven measures, all meant to be larger where bits are worth more; and what a bit does to it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...quantization.bit_mapping import deviation
from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from ...steps.sensitivities import projected_errors
from ..running.bench import Bench
from .dealing import factors_by, known_factors, worth
from .layer_probes import Views, adaptive_layers, adding
from .probing import patches

OWN = "standard deviation (AdaBM)"
GRADIENT, FISHER, PROJECTED = "gradient", "Fisher", "projected output error"
ORACLE, RANDOM, UNIFORM = "if the worth were known", "chance", "same for all"


def _spread(layer: QuantizedLayer, x: Tensor) -> Tensor:
    return x.flatten(1).amax(1).sub(x.flatten(1).amin(1)).mean()


def _kurtosis(layer: QuantizedLayer, x: Tensor) -> Tensor:
    centred = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
    return (centred.pow(4).mean(1) / centred.square().mean(1).square().clamp_min(1e-12)).mean()


def _rounding(layer: QuantizedLayer, x: Tensor) -> Tensor:
    return (layer.activation(x, layer.activation_bits) - x).square().mean()


# of a layer's input in full precision, (N, C, H, W)
LOCAL: dict[str, Callable[[QuantizedLayer, Tensor], Tensor]] = {
    OWN: deviation,
    "range": _spread,
    "kurtosis": _kurtosis,
    "rounding error of the input": _rounding,
}
MEASURES = (*LOCAL, GRADIENT, FISHER, PROJECTED)


def measures(model: QuantizedSR, views: Views, directions: int, seed: int) -> pd.DataFrame:
    """Return a row a layer, a column a measure.

    ``gradient`` is the squared gradient of the quantized network's squared output error by the layer's input, ``Fisher``
    that of random projections of the output (in the mean the diagonal of J^T J), both summed over the input and times
    the square of the layer's quantization step; ``projected output error`` is that of step ``allocate_bits``, in the mean
    ||J e||^2 of the rounding error e. At full precision the Hessian of the squared output error is 2 J^T J, for its
    residual is zero: Fisher is half its trace (HAWQ-V2, arXiv:1911.03852) and projected output error half its
    quadratic form.

    Args:
        directions: random output vectors for each patch.
    """
    layers, images = adaptive_layers(model), views.batch
    found: dict[str, dict[str, float]] = {name: {} for name in layers}

    def look(layer: QuantizedLayer, x: Tensor) -> None:
        if layer.name in layers:
            found[layer.name] |= {name: float(of(layer, x)) for name, of in LOCAL.items()}

    with torch.no_grad(), model.full_precision(), model.visiting(look):
        full = model.infer(images).image
    generator = torch.Generator().manual_seed(seed)
    signs = [torch.randint(0, 2, full.shape, generator=generator).to(full) * 2 - 1 for _ in range(directions)]
    with torch.enable_grad():
        with _inputs(layers, images) as (nodes, shown):
            error = (model.infer(shown).image - full).square().sum()
        _add_gradients(found, layers, GRADIENT, nodes, [(error, None)])
        with _inputs(layers, images) as (nodes, shown), model.full_precision():
            image = model.infer(shown).image
        _add_gradients(found, layers, FISHER, nodes, [(image, sign) for sign in signs])
    ranges = {
        name: {layer.activation_bits: (layer.activation.lower.clone(), layer.activation.upper.clone())}
        for name, layer in layers.items()
    }
    for name, by_bits in projected_errors(model, images, ranges, directions, seed).items():
        found[name][PROJECTED] = sum(by_bits.values())
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("layer").reset_index()


@contextmanager
def _inputs(layers: Mapping[str, QuantizedLayer], images: Tensor) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Give the input of each layer, by name, and the images of the pass nodes in a graph of their own."""
    nodes: dict[str, Tensor] = {}

    def hook(name: str):
        def enter(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            nodes[name] = inputs[0].clone()
            return (nodes[name], *inputs[1:])

        return enter

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield nodes, images.detach().clone().requires_grad_()
    finally:
        for handle in handles:
            handle.remove()


def _add_gradients(found: dict, layers: Mapping, measure: str, nodes: Mapping[str, Tensor], passes: list) -> None:
    for index, (value, weights) in enumerate(passes):
        last = index == len(passes) - 1
        gradients = torch.autograd.grad(value, list(nodes.values()), weights, retain_graph=not last)
        for name, gradient in zip(nodes, gradients):
            quantizer, bits = layers[name].activation, layers[name].activation_bits
            step = float(quantizer.upper - quantizer.lower) / (2**bits - 1)
            new = float(gradient.square().sum()) * step**2 / len(passes)
            found[name][measure] = found[name].get(measure, 0.0) + new


def look(
    model: QuantizedSR, bench: Bench, side: int, count: int, directions: int, share: float, draws: int, seed: int
) -> dict:
    """Return ``layers``, measures and the error of all layers at the base but one, and ``patches``, errors by each measure.

    Of each set ``count`` patches are measured on; the measures see as many others.

    Args:
        side: of a patch, LR pixels.
        share: of the layers that get a bit more, and of those that get one fewer.
        draws: of layers by chance.
    """
    cut = patches(bench, side, 2 * count)
    views, seen = Views.of(model, cut[::2]), Views.of(model, cut[1::2])
    table = measures(model, seen, directions, seed)
    table["fp +0"] = views.to_full(model).mean()
    for more in (-1, 1):
        table[f"fp {more:+d}"] = [_with(model, views, {name: more}).mean() for name in table["layer"]]
    chosen = [(name, factors_by(table[name].to_numpy(), share)) for name in MEASURES]
    chosen += [(UNIFORM, np.zeros(len(table), int)), (ORACLE, known_factors(worth(table), share))]
    chosen += [(RANDOM, factors_by(np.random.default_rng((seed, d)).random(len(table)), share)) for d in range(draws)]
    rows = []
    for name, factors in chosen:
        with adding(model, dict(zip(table["layer"], factors.tolist()))):
            fab = model.infer(views.batch[:1]).feature_average_bits.item()
            rows += [{"measure": name, "fab": fab, **row} for row in views.rows(model)]
    return {"layers": table.to_dict("records"), "patches": rows}


def _with(model: QuantizedSR, views: Views, added: Mapping[str, int]) -> np.ndarray:
    with adding(model, added):
        return views.to_full(model)
