"""``adabm info``: what a checkpoint holds, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..full_precision import FULL_PRECISION_BITS
from .console import Console, table
from .options import add_import, expanded, new_parser

if TYPE_CHECKING:
    import torch

    from ..quantization.layers import QuantizedLayer
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
_FULL = dict.fromkeys(("weight_bits", "activation_bits"), FULL_PRECISION_BITS)
_DETAILS = """\
A bits are the base; the layer's factor and the image's factor (-1, 0 or +1) add to it. lower and upper are
the activation range, weight scale is s of the weight range [-s, s].
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``info``."""
    parser = new_parser(
        commands, "info", "show what a quantized, exported or full-precision checkpoint holds", _DETAILS
    )
    parser.add_argument(
        "checkpoint",
        type=expanded,
        metavar="CHECKPOINT",
        help="quantized, exported, or full-precision weights: a file, or a network's name",
    )
    add_import(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the descriptor and, of a quantized checkpoint, its settings and layers."""
    from ..engines.integer.exported import is_exported
    from ..networks.backbones import weight_file
    from .models import is_quantized

    path = weight_file(args.checkpoint)
    if is_exported(path):
        return _exported(path, console)
    if not is_quantized(path):
        return _full_precision(path, console)

    from ..checkpoints.checkpoint import load_quantized, read_metadata
    from ..engines.cost import size_bits

    metadata = read_metadata(path)
    model = load_quantized(path)
    layers = _layers(model)
    image2bit = model.image2bit
    thresholds = {"lower": image2bit.lower.item(), "upper": image2bit.upper.item()} if image2bit is not None else None
    sizes = [size_bits(model, quantized) / 8 / 1024 for quantized in (True, False)]
    console.result(model.descriptor.summary())
    console.result(
        f"{model.config.label}; recipe {metadata['preset']}, seed {metadata['seed']}, written by adabm {metadata['version']}"
        f"\nnetwork sha256 {metadata['network']['sha256']}\n\nsettings"
    )
    settings = dict(model.config.bits)
    for step, of_step in model.config.recipe.to_dict().items():
        settings |= {f"{step}.{name}": value for name, value in of_step.items()}
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
            "recipe": metadata["preset"],
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


def _exported(path: Path, console: Console) -> int:
    from ..engines.integer.exported import read_exported

    card = read_exported(path).card
    factors = sorted(card["bits"], key=int)
    console.result(
        f"{card['network']} x{card['scale']}, {card['setting']}; recipe {card['recipe']}\n"
        f"exported by adabm {card['version']} for --engine {card['engine']}, which `adabm upscale` and `adabm evaluate` take\n"
    )
    rows = [
        [name, layer["weight_bits"], *(card["bits"][factor][name] for factor in factors), layer["computed"]]
        for name, layer in card["layers"].items()
    ]
    console.result(
        table(rows, ["layer", "W bits", *(f"A bits at factor {factor}" for factor in factors), "computed in"])
    )
    if (mapping := card["image2bit"]) is not None:
        console.result(
            f"\nimage complexity ({mapping['complexity']}): factor -1 below {mapping['lower']:.2f}, +1 above {mapping['upper']:.2f}"
        )
    console.document({"kind": "exported"} | card)
    return 0


def _full_precision(path: Path, console: Console) -> int:
    from ..checkpoints.checkpoint import network_hash
    from ..networks import describe
    from ..support.metadata import has_digest
    from ..support.serialization import file_metadata
    from .models import load_full_precision, note_unlike

    network = load_full_precision(path)
    descriptor = describe(network)
    note_unlike(console, path, network, descriptor)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    size = parameters * 4 / 1024
    digest = network_hash(network.state_dict())
    verified = has_digest(file_metadata(path))
    console.result(descriptor.summary())
    console.result(
        f"{_built(descriptor)}full precision, not quantized; {descriptor.channels} channels, {parameters} parameters, size {size:.1f} KiB\n"
        f"network sha256 {digest}"
        + ("" if verified else "\nthe file records no sha256 of its content, by which an edit could be told")
    )
    console.document(
        {
            "kind": "full precision",
            "verified": verified,
            "network": _identity(descriptor) | {"sha256": digest, "parameters": parameters},
            "size_kib": size,
        }
    )
    return 0


def _built(descriptor) -> str:
    """A line of the network's options, among which are numbers that no tensor tells; none where there are none."""
    options = ", ".join(f"{name} = {value}" for name, value in descriptor.options.items())
    return f"built with {options}\n" if options else ""


def _identity(descriptor) -> dict:
    return {
        "name": descriptor.name,
        "scale": descriptor.scale,
        "value_range": descriptor.value_range,
        "source": descriptor.source,
        "options": dict(descriptor.options),
        "channels": descriptor.channels,
        "size_multiple": descriptor.size_multiple,
        "minimum_size": descriptor.minimum_size,
        "roles": {name: role.value for name, role in descriptor.roles.items()},
        "blocks": list(descriptor.blocks),
        "unquantized": dict(descriptor.unquantized),
    }


def _layers(model: QuantizedSR) -> list[dict]:
    """One row a layer and an operand of a product, those in full precision included."""
    rows, by_role = [], model.layers_by_role
    for name, role in model.descriptor.roles.items():
        layers = by_role[name]
        rows += [_row(model, layer) for layer in layers]
        if not layers:
            row = {"name": name, "role": role.value, "policy": "full precision", **_FULL}
            rows.append(row | dict.fromkeys(("layer_factor", "activation_bits_over_images", "lower", "upper", "scale")))
    return rows


def _row(model: QuantizedSR, layer: QuantizedLayer) -> dict:
    from ..quantization.bit_rule import bit_range

    bits = bit_range(layer, model.image2bit.reach if model.image2bit is not None else 0)
    return {
        "name": layer.name,
        "role": layer.role.value,
        "policy": layer.policy.value,
        "weight_bits": layer.weight_bits,
        "activation_bits": bits.base,
        "layer_factor": bits.layer_factor,
        "activation_bits_over_images": [bits.least, bits.most],
        "lower": _range(layer.activation, "lower"),
        "upper": _range(layer.activation, "upper"),
        "scale": _range(getattr(layer, "weight_quantizer", None), "scale"),
    }


def _range(quantizer: torch.nn.Module | None, name: str) -> float | list[float] | None:
    """One number, or the least and greatest of several, such as one a channel; None where a quantizer has none."""
    value = getattr(quantizer, name, None)
    if value is None or value.numel() == 1:
        return None if value is None else value.item()
    return [value.min().item(), value.max().item()]


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and isinstance(value[0], float):
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if isinstance(value, list):
        return str(value[0]) if value[0] == value[1] else f"{value[0]} to {value[1]}"
    return value
