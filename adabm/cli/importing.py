"""``adabm import``: from weights of another implementation to a file that the other commands take."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable

from .console import Console
from .options import add_overwrite, check_output, expanded, new_parser, own_files

_DETAILS = """\
SOURCE is a PyTorch .pt or .pth state dict (read without running code in it), a .safetensors file, an MXNet .params
file, or a folder of raw tensors with a modelinfo.json. Its kind is guessed from the tensors' names:
{kinds}
Sizes and scale are read from the tensors' shapes. What no tensor tells, such as res_scale or img_range, is what the
source's published networks have; give it with --set where yours differ.

examples:
  adabm import edsr_baseline_x4-6b446fab.pt edsr_baseline_x4.safetensors
  adabm import my_edsr.pth my_edsr.safetensors --set res_scale=0.1
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``import``."""
    parser = new_parser(commands, "import", "convert weights of another implementation or file format", "")
    without_details = parser.format_help

    def format_help() -> str:
        parser.epilog = _details()  # not before help is asked for: what readers there are is known with torch alone
        return without_details()

    parser.format_help = format_help
    parser.add_argument("source", type=expanded, metavar="SOURCE", help="weights to convert: a file or a folder")
    parser.add_argument(
        "output", type=expanded, metavar="OUTPUT", help="full-precision weights to write (.safetensors)"
    )
    parser.add_argument("--kind", metavar="KIND", help="what the weights are (default: guessed)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the network that takes precedence, e.g. res_scale=0.1 or act_type=relu; may be repeated",
    )
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Import, save and say what it is."""
    from ..checkpoints.checkpoint import network_hash
    from ..errors import ConfigError
    from ..networks import describe, import_weights, save_network
    from ..networks.backbones import weight_file
    from .models import note_unlike

    if args.output.suffix != ".safetensors":
        raise ConfigError(f"OUTPUT {args.output}: the name must end in .safetensors")
    check_output(args.output, args.overwrite, [args.source, *own_files(args)])
    source = weight_file(args.source)
    network = import_weights(source, args.kind, **_options(args.set))
    descriptor = describe(network)
    save_network(network, args.output)
    console.say(descriptor.summary())
    note_unlike(console, source, network, descriptor)
    console.result(f"{args.output}: {descriptor.title} x{descriptor.scale}, full precision")
    console.document(
        {
            "source": str(args.source),
            "output": str(args.output),
            "network": {
                "name": descriptor.name,
                "scale": descriptor.scale,
                "value_range": descriptor.value_range,
                "options": dict(descriptor.options),
                "sha256": network_hash(network.state_dict()),
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
            },
        }
    )
    return 0


def _details() -> str:
    from ..errors import NetworkError
    from ..networks.architecture import known_readers
    from ..networks.community import SOURCE, community_architectures

    try:
        readers = known_readers()
    except NetworkError as error:  # of a file of the user's; help must still be had
        return _DETAILS.format(kinds=f"  ({error})")
    origins = {kind: reader.origin for kind, reader in readers.items()} | {SOURCE: "what that library recognizes:"}
    width = max(map(len, origins))
    lines = [f"  {kind:{width}}  {origin}" for kind, origin in origins.items()]
    known = ", ".join(community_architectures())
    return _DETAILS.format(
        kinds="\n".join(
            [*lines, *textwrap.wrap(known, 116, initial_indent=" " * (width + 4), subsequent_indent=" " * (width + 4))]
        )
    )


def _options(items: Iterable[str]) -> dict[str, object]:
    """Parse ``name=value`` texts; a value is JSON (a number, true, a list) or else the text itself."""
    from ..errors import ConfigError

    options: dict[str, object] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name.isidentifier() or name in ("path", "kind"):
            raise ConfigError(f"--set {item}: expected an option of the network, e.g. --set res_scale=0.1")
        if name in options:
            raise ConfigError(f"{name} is set twice; give it once")
        try:
            options[name] = json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or none that a network could take
            options[name] = text
    return options
