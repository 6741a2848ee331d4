"""``adabm presets``: list the named configurations."""

import argparse

from .console import Console, table
from .options import new_parser

_SENTENCES = {
    "adabm": "the released recipe: image and layer mapping, bit-aware clipping, fine-tuning",
    "adabm-relative": "adabm with learning rates relative to each range's width, and OMSE from max |W|",
    "adabm-image": "adabm without the layer mapping",
    "adabm-layer": "adabm without the image mapping",
    "adabm-noclip": "adabm without bit-aware clipping",
    "adabm-notune": "adabm without fine-tuning: calibration and clipping alone",
    "minmax": "uniform bits, activation ranges from min/max, no fine-tuning",
    "percentile": "uniform bits, activation ranges from percentiles, no fine-tuning",
    "omse": "uniform bits, activation ranges of least squared error, no fine-tuning",
    "minmax-tuned": "minmax, then fine-tuned ranges",
    "percentile-tuned": "percentile, then fine-tuned ranges",
    "omse-tuned": "omse, then fine-tuned ranges",
}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``presets``."""
    parser = new_parser(commands, "presets", "list the named configurations", "")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """List every preset with one line."""
    from ..quantization.config import PRESETS, preset

    lines = {name: _SENTENCES.get(name) or _changes(settings) for name, settings in PRESETS.items()}
    console.result(
        table([[name, line] for name, line in lines.items()], ["preset", "what it does (W4A4 unless asked otherwise)"])
    )
    console.document({name: {"summary": line, "config": preset(name).to_dict()} for name, line in lines.items()})
    return 0


def _changes(settings: dict) -> str:
    return "adabm with " + ", ".join(f"{name}={value}" for name, value in settings.items())
