"""Processes in a copy of the project."""

import json
import os
import subprocess
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


def stages(root: Path) -> dict[str, dict]:
    """The stages of all profiles as DVC resolves them, by name and file."""
    code = (
        "import json, dvc.repo; repo = dvc.repo.Repo('.'); print(json.dumps({s.addressing: "
        "dict(cmd=s.cmd, deps=[d.def_path for d in s.deps], outs=[o.def_path for o in s.outs]) for s in repo.index.stages}))"
    )
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
