"""Whether a step left the layers that it was given: it exchanges what is in them, not the layers themselves."""

import operator
from collections.abc import Mapping

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.bit_rule import least_bits
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..steps import Step
from ..validation import shown


def check_layers_kept(model: QuantizedSR, layers: Mapping[str, QuantizedLayer], step: Step) -> None:
    """Refuse a step after which a quantized layer is gone, another one or without possible bits: no file could hold it; and one that
    leaves the model computing otherwise than quantized, as blocks such as ``model.full_precision()`` that are left let it.

    Bits are possible where those of no picture are below 1, too: its values would be divided by no steps at all.

    Args:
        layers: ``model.layers`` before the step.

    Raises:
        ConfigError: naming step and layer.
    """
    context = model.context
    if not context.quantizing or context.visitor is not None or context.computing is not None:
        raise ConfigError(
            f"step {step.name!r}: leaves the model in full precision, watched, or computing in another type; let it do so inside "
            "`with model.full_precision():`, `model.visiting(...)` or `model.computing(...)` alone"
        )
    left = model.layers
    other = next((name for name in (*layers, *left) if left.get(name) is not layers.get(name)), None)
    if other is not None:
        what = "is gone" if other not in left else "is another one"
        raise ConfigError(
            f"step {step.name!r}: the quantized layer {other!r} {what} after it; a step may exchange a layer's activation, "
            "weight_quantizer and layer2bit, and set its bits and weights, but has to leave the layer in its place"
        )
    for name, layer in left.items():
        for what in ("activation_bits", "weight_bits"):
            bits = getattr(layer, what)
            if bits is not None and not _possible(bits):  # operands of products have no weights
                raise ConfigError(
                    f"step {step.name!r}: {what} of the layer {name!r} are {shown(bits)} after it; "
                    f"let it set a whole number from 1 to 16, or {FULL_PRECISION_BITS}"
                )
        if (least := least_bits(layer, model.image2bit)) < 1:
            raise ConfigError(
                f"step {step.name!r}: after it the layer {name!r} has {layer.activation_bits} bits, of which mappings leave "
                f"{least} for some pictures; let it have more, or leave the step map_bits out"
            )


def _possible(bits: object) -> bool:
    try:
        return operator.index(bits) in (*range(1, 17), FULL_PRECISION_BITS)
    except (TypeError, ValueError):
        return False
