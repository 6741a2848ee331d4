"""The command's entry point: parse, run, and turn errors into one line and an exit status."""

import argparse
import os
import traceback
from collections.abc import Sequence

from .. import __version__
from ..errors import AdabmError, one_line
from ..support.arguments import Parser
from ..support.plugins import load_file, place_in_user_file
from ..support.process import ended, leave_imports, open_closed_streams
from . import evaluate, export, importing, info, quantize, recipes, upscale, verify
from .console import Console
from .failures import explain

_EPILOG = """\
exit status:
  0    success
  1    some of several inputs failed, the others are done; some results do not verify
  2    wrong usage, or an error that one line on standard error names
  130  interrupted (128 + the signal: 143 by SIGTERM, 129 where the terminal was closed)

The default engine simulates quantization in floating point: pictures and PSNR are those of the
low-bit network, speed is not (--engine openvino computes in integers). BitOPs and sizes are
theoretical counts.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; each command sets ``run``."""
    parser = Parser(
        prog="adabm",
        description="Adaptive low-bit quantization of image super-resolution networks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"adabm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (quantize, evaluate, upscale, export, importing, info, recipes, verify):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: arguments without the program's name; by default those of the process.
    """
    if argv is None:
        leave_imports()
        open_closed_streams()
    # decoders log what is wrong with a picture; the error message says it in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    debug = False

    def command() -> int:
        nonlocal debug
        args = build_parser().parse_args(argv)
        debug = args.debug
        for file in getattr(args, "imports", ()):
            load_file(file)
        try:
            return args.run(args, Console(json=args.json, quiet=args.quiet))
        except SystemExit as stop:  # no command is done by that, whatever status it asks for
            place = place_in_user_file(stop) or "code that is no part of adabm"
            raise AdabmError(f"{place}: ends the process; let it raise an error instead") from stop

    def explained(error: Exception) -> str:
        if debug:
            traceback.print_exception(error)
        return f"error: {explain(error) or _unexpected(error)}"

    return ended("adabm", command, explain=explained)


def _unexpected(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    if (place := place_in_user_file(error)) is not None:
        return one_line(f"{place}: {type(error).__name__}: {first} (--debug shows the traceback)")
    return f"unexpected {type(error).__name__}: {first} (a defect: please report it with the output of --debug)"
