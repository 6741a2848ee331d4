"""Repair an environment once: ``python -m adabm.repair_environment`` (``make env`` runs it; ``--remove`` undoes it).

From then on every program of this interpreter can import torchvision beside a torch that it was not built for, and
BasicSR beside torchvision 0.17 and later. Where they fit, nothing is changed.
"""

import sysconfig
from collections.abc import Sequence
from pathlib import Path

from . import _torchvision
from .support.arguments import Parser
from .support.files import write_atomically

MODULE, START = "_adabm_torchvision.py", "adabm_torchvision.pth"  # Python runs the second's line whenever it starts


def repair(folder: Path) -> None:
    """Write the two files into a folder of site packages; a repair that is there already is renewed."""
    write_atomically(folder / MODULE, Path(_torchvision.__file__).read_bytes())
    name = MODULE.removesuffix(".py")
    write_atomically(folder / START, f"import {name}; {name}.install()\n".encode())


def remove(folder: Path) -> None:
    """Delete what :func:`repair` wrote, if it is there."""
    for name in (START, MODULE):
        (folder / name).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = Parser(prog="python -m adabm.repair_environment", description=__doc__.split("\n\n")[0])
    parser.add_argument("--remove", action="store_true", help="undo the repair")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(sysconfig.get_path("purelib")),
        help="of site packages (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    (remove if args.remove else repair)(args.folder)
    print(f"{'removed from' if args.remove else 'repaired'} {args.folder}: imports of torchvision and BasicSR")


if __name__ == "__main__":
    main()
