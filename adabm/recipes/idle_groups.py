"""Groups of parameters that fine-tuning would train without any effect, since nothing is quantized with them."""

from collections.abc import Sequence

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.model import QuantizedSR
from ..steps import Step


def check_tuned_groups(model: QuantizedSR, steps: Sequence[Step]) -> None:
    """Refuse to tune the ranges of weights or activations where all of them stay in full precision.

    Raises:
        ConfigError: names the group, and how to leave it out.
    """
    layers = list(model.layers.values())
    quantized = {
        "weight": any(bits is not None and bits < FULL_PRECISION_BITS for bits in (m.weight_bits for m in layers)),
        # a factor of an image or a layer may take a bit away
        "activation": any(m.activation_bits < FULL_PRECISION_BITS for m in layers)
        or any(step.name == "map_bits" for step in steps),
    }
    for groups in (list(step.groups) for step in steps if step.name == "tune"):
        for group in groups:
            if not quantized.get(group, True):
                kept = ", ".join(name for name in groups if quantized.get(name, True))
                remedy = f"leave it out (tune.groups=[{kept}])" if kept else "leave the step out (tune=null)"
                raise ConfigError(
                    f"tune.groups: {group!r} trains nothing at {FULL_PRECISION_BITS} {group} bits; {remedy}, or give fewer bits"
                )
