"""One pass over calibration batches sets ranges, thresholds and layer factors (method section 3)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError, NetworkError
from ..quantization.bit_mapping import layer_factors
from ..quantization.layers import QuantizedConv2d
from ..quantization.model import QuantizedSR
from ..quantization.observers import observe_activation, observe_weight, quantile


@dataclass(frozen=True)
class CalibrationRecord:
    """What calibration saw, for study and plots; the model itself needs none of it.

    Attributes:
        complexities: (images,) image complexities.
        sensitivities: by layer name, the mean standard deviation of its input (sigma_k); all
            quantized layers, adaptive or not.
        layer_factors: by name, the initial factor -1, 0 or +1 of each adaptive layer.
    """

    complexities: Tensor
    sensitivities: dict[str, float]
    layer_factors: dict[str, float]


@torch.no_grad()
def calibrate(model: QuantizedSR, batches: Iterable[Tensor]) -> CalibrationRecord:
    """Set all quantization parameters of ``model`` from low-resolution images.

    Args:
        model: freshly wrapped or calibrated before; earlier ranges are overwritten.
        batches: (N, C, H, W) tensors in the network's value range. The first batch sets each
            activation range, later ones update it by an exponential moving average.

    Raises:
        DataError: no batch, or a batch with NaN or infinite values or outside the value range.
        NetworkError: the network itself produces NaN or infinite activations.
    """
    config = model.config
    sensitivities: dict[str, list[Tensor]] = defaultdict(list)
    complexities: list[Tensor] = []
    thresholds: tuple[Tensor, Tensor] | None = None

    def observe(layer: QuantizedConv2d, x: Tensor) -> None:
        lower, upper = observe_activation(x, config.activation_observer, config.activation_bits, config.percentile)
        spread = x.flatten(1).std(1).mean()
        if not torch.isfinite(lower + upper + spread):  # a percentile range hides a few NaN, the spread does not
            raise NetworkError(f"the input of {layer.name} is not finite; check the network's weights")
        if layer.name in sensitivities:
            lower = _moving_average(layer.activation.lower, lower, config.ema)
            upper = _moving_average(layer.activation.upper, upper, config.ema)
        else:
            # the released code searches the weight range at the base bits in 8-bit layers as well
            bits = layer.weight_bits if config.weight_observer == "omse_own_bits" else config.weight_bits
            scale = observe_weight(layer.weight, config.weight_observer, bits, config.percentile)
            layer.weight_quantizer.set_scale(scale)
        layer.activation.set_range(lower, upper)
        sensitivities[layer.name].append(spread)

    with model.full_precision(), model.visiting(observe):
        for batch in batches:
            _check_batch(batch, model.descriptor.value_range)
            complexity = model.complexity(batch)
            complexities.append(complexity.cpu())
            low = quantile(complexity, config.image_percentile / 100)
            high = quantile(complexity, 1 - config.image_percentile / 100)
            if thresholds is not None:
                low, high = (_moving_average(old, new, config.ema) for old, new in zip(thresholds, (low, high)))
            thresholds = low, high
            model.infer(batch)
    if thresholds is None:
        raise DataError("no calibration batch was given")
    if model.image2bit is not None:
        model.image2bit.set_thresholds(*(t.view(1) for t in thresholds))
    sigma = {name: float(torch.stack(values).mean()) for name, values in sensitivities.items()}
    adaptive = {name: layer for name, layer in model.layers.items() if layer.layer2bit is not None}
    factors: dict[str, float] = {}
    if adaptive:
        values = layer_factors(
            torch.tensor([sigma[name] for name in adaptive], dtype=torch.float64), config.layer_percentile
        )
        for layer, factor in zip(adaptive.values(), values):
            layer.layer2bit.factor.fill_(float(factor))
            factors[layer.name] = float(factor)
    model.calibrated, model.clipped = True, not config.clipping
    return CalibrationRecord(torch.cat(complexities), sigma, factors)


def _moving_average(old: Tensor, new: Tensor, keep: float) -> Tensor:
    return old * keep + new * (1 - keep)


def _check_batch(batch: Tensor, value_range: float) -> None:
    if batch.ndim != 4:
        raise DataError(f"a calibration batch has shape {tuple(batch.shape)}; expected (N, C, H, W)")
    if not torch.isfinite(batch).all():
        raise DataError("a calibration batch holds NaN or infinite values")
    low, high = batch.min().item(), batch.max().item()
    if low < 0 or high > value_range or (value_range == 255 and 0 < high <= 1):
        raise DataError(f"calibration values span {low:g} to {high:g}; this network expects 0 to {value_range:g}")
