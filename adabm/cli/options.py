"""Options that several commands share."""

import argparse
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..errors import AdabmError

DEFAULT_ENGINE = "simulated"  # written out, because help does not wait for the modules that register engines


_MOST_THREADS = 1024  # the system refuses more sooner or later, and torch then ends the process


def number(text: str, kind: type[int] | type[float]) -> int | float:
    """Return the number that a text is, without the underscores that Python takes between digits: ``1_0`` is a slip.

    Raises:
        ValueError: it is none.
    """
    if "_" in text:
        raise ValueError(text)
    return kind(text)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return an argparse type: a whole number of at least ``least``, and at most ``most``."""

    def parse(text: str) -> int:
        try:
            value = number(text, int)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is more than {most}")
        return value

    return parse


def side(text: str) -> int:
    """An argparse type: the side of a tile, at least 8 pixels, or 0 for whole pictures."""
    value = whole(0)(text)
    if 0 < value < 8:
        raise argparse.ArgumentTypeError(f"{value} is less than 8 pixels (0 means the whole picture)")
    return value


def expanded(text: str) -> Path:
    """An argparse type: a path; ``~``, which shells leave as it is in ``--option=~/x``, is the user's folder.

    An empty one, as of an unset variable, would be the working folder, and is refused.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; '.' is the working folder")
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} holds a zero byte, which no path can")
    return Path(os.path.expanduser(text))


def new_parser(
    commands: argparse._SubParsersAction, name: str, summary: str, details: str, aliases: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """Add a command with the options that all have; ``aliases`` are its earlier names."""
    parser = commands.add_parser(
        name,
        aliases=aliases,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no explanations")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the option that names Python files which define what a checkpoint is made of."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        type=expanded,
        metavar="FILE",
        help="Python file that registers steps, measures or a network of your own, which the checkpoint uses; may be "
        "repeated. It is executed",
    )


def add_compute(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where and how to compute."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: cpu)")
    parser.add_argument(
        "--threads", type=whole(1, _MOST_THREADS), metavar="N", help="CPU threads (default: torch's choice)"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what runs the network."""
    parser.add_argument(
        "--engine",
        default=DEFAULT_ENGINE,
        metavar="NAME_OR_FILE",
        help="what runs the network: a registered engine, or your own FILE.py, or FILE.py:NAME where it registers "
        f"several (default: {DEFAULT_ENGINE})",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")


def own_files(args: argparse.Namespace) -> list[Path]:
    """Return the user's files that ``--import``, ``--engine``, ``--recipe`` and the environment name: inputs, which no output may
    replace.
    """
    from ..networks.architecture import FILES

    engine = re.fullmatch(r"(.+\.py)(:.*)?", getattr(args, "engine", ""))
    recipe = getattr(args, "recipe", None)
    named = ([engine[1]] if engine else []) + ([recipe] if recipe is not None else [])
    named += os.environ.get(FILES, "").split(os.pathsep)
    return [*getattr(args, "imports", ()), *map(expanded, filter(None, named))]


def check_output(path: Path, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, to write over an input, a folder or, unless asked to, an existing file.

    Raises:
        AdabmError: naming the path and the remedy.
    """
    if not path.exists():
        try:
            folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        except FileNotFoundError:
            raise AdabmError("the working folder is gone; change to another one") from None
        if not folder.exists():
            raise AdabmError(f"{path}: cannot be written, because {folder} is a link that leads nowhere")
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise AdabmError(f"{path}: cannot be written, because {folder} is not a writable folder")
        return
    if path.is_dir():
        raise AdabmError(f"{path}: is a folder; name a file")
    if not path.is_file():  # replacing it would delete the device
        raise AdabmError(f"{path}: is a pipe, device or socket; name a file")
    if any(source.exists() and path.samefile(source) for source in inputs):
        raise AdabmError(f"{path}: is an input of this command; name another output")
    if not overwrite:
        raise AdabmError(f"{path}: exists; add --overwrite to replace it")
