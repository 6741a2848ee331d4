"""Processes in a copy of the project."""

import os
import sys
from pathlib import Path

_SPARED = "rfc3987_syntax"  # imported by nbformat, which takes a second and checks formats that no notebook has


def environment_in(root: Path) -> dict[str, str]:
    """The variables of a process that imports the copy at ``root``, keeps what it compiled there, and imports no more than it needs."""
    spared = root / "spared"
    spared.mkdir(exist_ok=True)
    (spared / f"{_SPARED}.py").write_text("raise ImportError")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join((str(root), str(spared))),
        "DVC_NO_ANALYTICS": "1",
    }
