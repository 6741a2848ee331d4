"""The error that quantizing would make on a picture, predicted by the full-precision network, as measures of its complexity."""

import numpy as np
import torch
from torch import Tensor

from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from ...steps.sensitivities import projected_errors
from ..running.bench import Bench
from .complexity_measures import MEASURES
from .layer_probes import adaptive_layers
from .probing import batch_of, patches

ROUNDING, PROJECTED = "predicted rounding error", "predicted output error"
PREDICTED = (ROUNDING, PROJECTED)
ALL_MEASURES = (*MEASURES, *PREDICTED)
DIRECTIONS = 4  # random output vectors of a picture


def rounding_error(model: QuantizedSR, batch: Tensor) -> float:
    """Predict how much quantizing loses of a picture's layer inputs at the base bits, each layer by itself.

    Args:
        batch: one picture, (1, C, H, W).

    Returns:
        The mean squared error in squared steps of the quantizer (1/12 where values fill the steps evenly, more where they are
        clipped), mean of the layers whose bits adapt; each sees its input in full precision.
    """
    layers, errors = adaptive_layers(model), []

    def look(layer: QuantizedLayer, x: Tensor) -> None:
        if layer.name in layers:
            quantizer, bits = layer.activation, layer.activation_bits
            step = float(quantizer.upper - quantizer.lower) / (2**bits - 1)
            errors.append(float((quantizer(x, bits) - x).square().mean()) / step**2)

    with torch.no_grad(), model.full_precision(), model.visiting(look):
        model.infer(batch)
    return float(np.mean(errors))


def output_error(model: QuantizedSR, batch: Tensor, seed: int = 0) -> float:
    """Predict the output's squared error from the rounding of each layer's input at the base bits, to first order.

    Args:
        batch: one picture, (1, C, H, W).
        seed: of :data:`DIRECTIONS` random output vectors.

    Returns:
        The sum over the layers whose bits adapt, of :func:`adabm.steps.sensitivities.projected_errors`: squared error summed over
        the output's values, in the network's value range squared.
    """
    ranges = {
        name: {layer.activation_bits: (layer.activation.lower.clone(), layer.activation.upper.clone())}
        for name, layer in adaptive_layers(model).items()
    }
    found = projected_errors(model, batch, ranges, DIRECTIONS, seed)
    return float(sum(error for by_bits in found.values() for error in by_bits.values()))


def predictions(model: QuantizedSR, bench: Bench, side: int, count: int) -> dict:
    """Return ``rows``: of each patch, as :func:`.complexity_measures.errors` cuts them, the predicted errors."""
    rows = []
    for patch in patches(bench, side, count):
        batch = batch_of(model, [patch.low])
        predicted = {ROUNDING: rounding_error(model, batch), PROJECTED: output_error(model, batch)}
        rows.append({"dataset": patch.dataset, "patch": patch.name} | predicted)
    return {"rows": rows}
