"""``adabm export``: from a quantized checkpoint to a file that an engine in integers runs."""

from __future__ import annotations

import argparse

from .console import Console
from .options import add_import, add_overwrite, check_output, expanded, new_parser, own_files

_DETAILS = """\
OUT is one file, a zip archive with what the engine computes, a model card and the bits of each layer. `adabm upscale`
and `adabm evaluate` take it as a checkpoint with the same --engine; docs/engines.md shows how to run it without adabm.

examples:
  adabm export w4a4.safetensors w4a4.openvino.zip --engine openvino
  adabm upscale photo.jpg photo_x4.png --checkpoint w4a4.openvino.zip --engine openvino
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``export``."""
    parser = new_parser(commands, "export", "write a quantized network for an engine in integers", _DETAILS)
    parser.add_argument("checkpoint", type=expanded, metavar="CHECKPOINT", help="written by `adabm quantize`")
    parser.add_argument("output", type=expanded, metavar="OUT", help="file to write (.zip)")
    parser.add_argument(
        "--engine",
        default="openvino",
        metavar="NAME",
        help="what shall run it: openvino or onnx (default: openvino)",
    )
    add_import(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Export and say what it is."""
    from ..checkpoints.checkpoint import load_quantized
    from ..engines.exporting import EXPORTERS
    from ..errors import ConfigError
    from ..support.files import file_sha256, write_atomically

    if args.output.suffix != ".zip":
        raise ConfigError(f"OUT {args.output}: the name must end in .zip")
    check_output(args.output, args.overwrite, [args.checkpoint, *own_files(args)])
    exporter = EXPORTERS[args.engine]
    model = load_quantized(args.checkpoint)
    write_atomically(args.output, exporter(model))
    described, size = model.descriptor, args.output.stat().st_size
    console.result(
        f"{args.output}: {described.title} x{described.scale}, {model.config.label}, for --engine {args.engine}, "
        f"{size / 2**20:.2f} MiB"
    )
    console.document(
        {
            "checkpoint": str(args.checkpoint),
            "output": str(args.output),
            "engine": args.engine,
            "bytes": size,
            "sha256": file_sha256(args.output),
        }
    )
    return 0
