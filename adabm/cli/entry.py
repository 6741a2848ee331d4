"""The command's entry point: parse, run, and turn errors into one line and an exit status."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from .. import __version__
from ..plugins import load_file
from . import evaluate, export, importing, info, quantize, recipes, upscale, verify
from .console import Console
from .failures import explain
from .options import Parser

_EPILOG = """\
exit status:
  0    success
  1    some of several inputs failed, the others are done; some results do not verify
  2    wrong usage, or an error that one line on standard error names
  130  interrupted

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
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed help, the version or what is wrong
        return int(stop.code or 0)
    # decoders log what is wrong with a picture; the error message says it in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold any bytes
    try:
        for file in getattr(args, "imports", ()):
            load_file(file)
        status = args.run(args, Console(json=args.json, quiet=args.quiet))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("adabm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _forget_stdout()
        return 141  # what a shell reports for a command that SIGPIPE ended
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        print(f"adabm: error: {explain(error) or _unexpected(error)}", file=sys.stderr)
        return 2


def _unexpected(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"unexpected {type(error).__name__}: {first} (a defect: please report it with the output of --debug)"


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing on the closed pipe again."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real file descriptor
        pass
