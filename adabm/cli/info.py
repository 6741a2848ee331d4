"""``adabm info``: what a checkpoint holds, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console, table
from .options import expanded, new_parser

if TYPE_CHECKING:
    from ..quantization.model import QuantizedSR

_HEADER = [
    "layer",
    "role",
    "policy",
    "W bits",
    "A bits",
    "layer factor",
    "A bits over images",
    "lower",
    "upper",
    "weight scale",
]
_DETAILS = """\
A bits are the base; the layer's factor and the image's factor (-1, 0 or +1) add to it. lower and upper are
the activation range, weight scale is s of the weight range [-s, s].
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``info``."""
    parser = new_parser(commands, "info", "show what a quantized or full-precision checkpoint holds", _DETAILS)
    parser.add_argument(
        "checkpoint", type=expanded, metavar="CHECKPOINT", help="quantized, or full-precision weights (.safetensors)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the descriptor and, of a quantized checkpoint, its settings and layers."""
    from .models import is_quantized

    if not is_quantized(args.checkpoint):
        return _full_precision(args.checkpoint, console)

    from ..engines.cost import size_bits
    from ..quantization.checkpoint import load_quantized, read_metadata
    from .bits import label

    metadata = read_metadata(args.checkpoint)
    model = load_quantized(args.checkpoint)
    layers = _layers(model)
    image2bit = model.image2bit
    thresholds = {"lower": image2bit.lower.item(), "upper": image2bit.upper.item()} if image2bit is not None else None
    sizes = [size_bits(model, quantized) / 8 / 1024 for quantized in (True, False)]
    console.result(model.descriptor.summary())
    console.result(
        f"{label(model)}; preset {metadata['preset']}, seed {metadata['seed']}, written by adabm {metadata['version']}"
        f"\nnetwork sha256 {metadata['network']['sha256']}\n\nsettings"
    )
    settings = model.config.to_dict()
    tuning = settings.pop("fine_tuning")
    settings |= {f"fine_tuning.{name}": value for name, value in tuning.items()} if tuning else {"fine_tuning": "none"}
    console.result("\n".join(f"  {name} = {value}" for name, value in settings.items()))
    rows = [[_cell(layer[key]) for key in layers[0]] for layer in layers]
    console.result("\n" + table(rows, _HEADER) + "\n")
    if thresholds is not None:
        console.result(
            f"image complexity: one bit less below {thresholds['lower']:.2f}, one more above {thresholds['upper']:.2f}"
        )
    console.result(
        f"theoretical size {sizes[0]:.1f} KiB, full precision {sizes[1]:.1f} KiB "
        "(the file itself stores floating point)"
    )
    console.document(
        {
            "kind": "quantized",
            "preset": metadata["preset"],
            "seed": metadata["seed"],
            "version": metadata["version"],
            "network": _identity(model.descriptor) | {"sha256": metadata["network"]["sha256"]},
            "config": model.config.to_dict(),
            "complexity_thresholds": thresholds,
            "layers": layers,
            "theoretical_size_kib": sizes[0],
            "theoretical_full_precision_size_kib": sizes[1],
        }
    )
    return 0


def _full_precision(path: Path, console: Console) -> int:
    from ..networks import describe
    from ..quantization.checkpoint import network_hash
    from .models import load_full_precision

    network = load_full_precision(path)
    descriptor = describe(network)
    size = sum(parameter.numel() for parameter in network.parameters()) * 4 / 1024
    digest = network_hash(network.state_dict())
    console.result(descriptor.summary())
    console.result(f"full precision, not quantized; size {size:.1f} KiB\nnetwork sha256 {digest}")
    console.document(
        {"kind": "full precision", "network": _identity(descriptor) | {"sha256": digest}, "size_kib": size}
    )
    return 0


def _identity(descriptor) -> dict:
    return {
        "name": descriptor.name,
        "scale": descriptor.scale,
        "value_range": descriptor.value_range,
        "options": dict(descriptor.options),
        "roles": {name: role.value for name, role in descriptor.roles.items()},
        "blocks": list(descriptor.blocks),
    }


def _layers(model: QuantizedSR) -> list[dict]:
    """One row a convolution, those in full precision included."""
    from .bits import layer_bits

    rows, quantized = [], model.layers
    for name, role in model.descriptor.roles.items():
        row = {"name": name, "role": role.value, "policy": "full precision", "weight_bits": 32, "activation_bits": 32}
        row |= dict.fromkeys(("layer_factor", "activation_bits_over_images", "lower", "upper", "scale"))
        if name in quantized:
            layer = quantized[name]
            bits = layer_bits(model, layer)
            row |= {
                "policy": layer.policy.value,
                "weight_bits": layer.weight_bits,
                "activation_bits": bits.base,
                "layer_factor": bits.layer_factor,
                "activation_bits_over_images": [bits.least, bits.most],
                "lower": layer.activation.lower.item(),
                "upper": layer.activation.upper.item(),
                "scale": layer.weight_quantizer.scale.item(),
            }
        rows.append(row)
    return rows


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return str(value[0]) if value[0] == value[1] else f"{value[0]} to {value[1]}"
    return value
