"""Whether a step left the layers that it was given: it exchanges what is in them, not the layers themselves."""

from collections.abc import Mapping

from ..errors import ConfigError
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..steps import Step


def check_layers_kept(model: QuantizedSR, layers: Mapping[str, QuantizedLayer], step: Step) -> None:
    """Refuse a step after which a quantized layer is gone or another one: no file could be loaded with it.

    Args:
        layers: ``model.layers`` before the step.

    Raises:
        ConfigError: naming step and layer.
    """
    left = model.layers
    other = next((name for name in (*layers, *left) if left.get(name) is not layers.get(name)), None)
    if other is not None:
        what = "is gone" if other not in left else "is another one"
        raise ConfigError(
            f"step {step.name!r}: the quantized layer {other!r} {what} after it; a step may exchange a layer's activation, "
            "weight_quantizer and layer2bit, and set its bits and weights, but has to leave the layer in its place"
        )
