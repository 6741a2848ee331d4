"""Where a table comes from: code, parameters, inputs, software, machine, date."""

import datetime
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePath

import torch

from ... import __version__
from ...errors import TableError
from ...support.files import read_text, real, write_atomically
from ...support.yaml_files import read_yaml
from ..variables import STAGE_VARIABLE
from .file_hashes import sha256
from .fingerprint import INTERVENING, MEASURING, NETWORKS, QUANTIZING, SAMPLING, STEPS, STUDYING, code_hash
from .named_files import named_files, names_engine
from .named_recipes import RECIPES, named_recipes, recipe_hashes

PACKAGES = (
    "torch",
    "torchvision",
    "basicsr",
    "spandrel",
    "numpy",
    "scikit-image",
    "opencv-python",
    "safetensors",
    "pandas",
)
CODE = {
    "quantizing": (*QUANTIZING, *STEPS, *NETWORKS),
    "measuring": (*MEASURING, *NETWORKS),
}  # what every table depends on
STUDY_CODE = CODE | {
    "sampling": SAMPLING,
    "interventions": INTERVENING,
    "study": STUDYING,
}  # and those of the questions
# What the benchmarks of speed depend on (results/speed): they time parts of the package, without the study.
SPEED_CODE = {
    "engines": ("engines.integer", "engines.simulated"),
    "tuning": ("steps.calibrate", "steps.clip", "steps.tuner"),
}
# What computes the tables that the stage collect makes of others; the labels of methods stand in them.
COLLECTING_CODE = {
    "collecting": (
        "study.tables.leaderboard",
        "study.tables.methods",
        "study.tables.reference",
        "study.tables.study_summary",
        "study.tables.summary",
    )
}
ALL_CODE = STUDY_CODE | SPEED_CODE | COLLECTING_CODE
_PACKAGES = "site-packages"  # folder of installed packages
OUTSIDE = "..."  # begins the names of inputs outside the repository; no file is looked for under them
_TRACKED = (
    "adabm",
    "pipelines",
    "notebooks",
    "params.yaml",
    "dvc.yaml",
    "profiles",
    "data",
    ":(exclude)profiles/*/dvc.lock",
)
_HOMES = ("home", "Users")


def write_provenance(
    table: str | Path,
    root: Path,
    parameters: Mapping,
    inputs: Sequence[Path],
    seed: int | list[int],
    *,
    device: str = "cpu",
    code: Mapping[str, tuple[str, ...]] = CODE,
    params_file: str | Path | None = None,
    block: str | None = None,
    notebook: str | Path | None = None,
) -> None:
    """Write ``<table without suffix>.provenance.json`` beside a table that was just written.

    Args:
        table: the table (.csv), in ``results/<profile>/<question>``.
        parameters: what the numbers were computed with, JSON-ready.
        inputs: files and folders that were read; the user's own files that ``parameters`` name are added, and what they import.
        device: where the networks were computed.
        code: what the numbers depend on, groups of roots of ``ALL_CODE``; that of the engines is added
            where ``parameters`` name one other than the simulation.
        params_file, block: file and block that the parameters come from; ``adabm verify-results`` compares them with it.
        notebook: the notebook (its source) that wrote the table. Inside a stage of the pipeline these three need not be
            given: the environment tells them, and which parameters the run had instead of those of its block.

    Raises:
        TableError: the table is not there, or ``params_file`` has no such block.
    """
    table, root = Path(table), Path(root).resolve()
    stage = json.loads(os.environ.get(STAGE_VARIABLE, "{}"))
    params_file = params_file or stage.get("params_file")
    block, notebook = block or stage.get("block"), notebook or stage.get("notebook")
    parameters = {**stage.get("replaced", {}), **parameters}
    record = {"table": table_id(table), "table_sha256": _table_hash(table)}
    record["version"] = table_version(record["table_sha256"])
    if names_engine(parameters):
        code = {**code, "engines": SPEED_CODE["engines"]}
    record |= provenance(root, parameters, _with_named(inputs, parameters, root), seed, device, code)
    if params_file is not None:
        values = stage.get("values") if block == stage.get("block") else None  # of when the run began
        values = values or read_block_values(root / params_file, block)
        record |= {"params_file": input_names(root, [root / params_file])[0], "block": block, "block_values": values}
    if notebook is not None:
        code_then = stage.get("notebook_code_sha256") if str(notebook) == stage.get("notebook") else None
        record["notebook"] = input_names(root, [root / notebook])[0]
        record["notebook_code_sha256"] = code_then or notebook_code_hash(root / notebook)
    write_atomically(provenance_path(table), (json.dumps(record, indent=2, default=str) + "\n").encode())


def provenance(
    root: Path,
    parameters: Mapping,
    inputs: Sequence[Path],
    seed: int | list[int],
    device: str = "cpu",
    code: Mapping[str, tuple[str, ...]] = CODE,
) -> dict:
    """Return everything needed to tell whether a table can be compared with another run."""
    return {
        "adabm_version": __version__,
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_dirty": _dirty(root),
        "code_sha256": {name: code_hash(*roots) for name, roots in code.items()},
        "parameters": dict(parameters),
        RECIPES: recipe_hashes(named_recipes(parameters, study="study" in code)),
        "inputs_sha256": {name: sha256(Path(path)) for name, path in zip(input_names(root, inputs), inputs)},
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads_per_run": 1,
        "device": device,
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "seed": seed,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def study_code(question: str) -> dict[str, tuple[str, ...]]:
    """Return the groups of modules that the table of a question of the study depends on, its own answer among them.

    A question that no module of ``adabm.study.answers`` answers, such as one tried in a notebook, has no such group.
    """
    answered = (Path(__file__).parents[1] / "answers" / f"{question}.py").is_file()
    return STUDY_CODE | ({"answer": (f"study.answers.{question}",)} if answered else {})


def code_of(question: str) -> dict[str, tuple[str, ...]]:
    """Return all groups of modules that a table may depend on: of a question, of speed, or collected from others."""
    return ALL_CODE | study_code(question)


def answer_code() -> dict[str, tuple[str, ...]]:
    """Return the code of the answer to each question of the study, by the question."""
    answers = Path(__file__).parents[1] / "answers"
    names = sorted(path.stem for path in answers.glob("*.py") if path.stem != "__init__")
    return {f"answer {name}": (f"study.answers.{name}",) for name in names}


def provenance_path(table: Path) -> Path:
    """The file beside a table that tells where it comes from."""
    return table.with_suffix(".provenance.json")


def table_id(table: Path) -> str:
    """Profile and name, such as ``demo/set_size``, which a citation gives.

    Args:
        table: in a folder of the profile's, such as ``results/demo/set_size/set_size.csv``.
    """
    return f"{real(table).parents[1].name}/{table.stem}"


def table_version(table_sha256: str) -> str:
    """The version of a table: that of the package and, after ``+``, the first digits of the table's hash."""
    return f"{__version__}+{table_sha256[:8]}"


def input_names(root: Path, paths: Sequence[Path]) -> list[str]:
    """Name inputs: relative to the repository, or by the end of their path, as long as needed to tell them apart.

    What an installed package holds is outside, wherever the environment lies. The names of inputs outside begin with ``.../`` and never hold the user's home.
    """
    tails: dict[int, tuple[str, ...]] = {}
    names = [""] * len(paths)
    for index, path in enumerate(paths):
        here = Path(os.path.abspath(path))  # links inside the repository keep their names
        places = [p for p in (here, here.resolve()) if p.is_relative_to(root) and _PACKAGES not in p.parts]
        inside = next(iter(places), None)
        if inside is not None:
            names[index] = inside.relative_to(root).as_posix()
        else:
            tails[index] = _without_home(here)
    for index, tail in tails.items():
        others = set(tails.values()) - {tail}
        length = next(
            n
            for n in range(min(2, len(tail)), len(tail) + 1)
            if n == len(tail) or all(t[-n:] != tail[-n:] for t in others)
        )
        same = sorted({os.path.abspath(paths[i]) for i in tails if tails[i] == tail})  # the same place in two homes
        names[index] = "/".join((OUTSIDE, *tail[-length:])) + (
            f" ({same.index(os.path.abspath(paths[index])) + 1})" if len(same) > 1 else ""
        )
    return names


def read_block_values(params_file: Path, block: str | None) -> dict:
    """Return a block of a file of parameters.

    Raises:
        TableError: the file cannot be read or has no such block of ``name: value`` pairs.
    """
    blocks = read_yaml(params_file, TableError)
    values = blocks.get(block) if isinstance(blocks, dict) else None
    if not isinstance(values, dict):
        raise TableError(f"{params_file}: has no block {block!r} of parameters")
    return values


def notebook_code_hash(notebook: Path) -> str:
    """Hash the code of a notebook: neither its text and outputs, nor the cell of default parameters.

    Raises:
        TableError: it cannot be read.
    """
    try:
        cells = json.loads(read_text(notebook))["cells"]
        code = [
            "".join(cell["source"])
            for cell in cells
            if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TableError(f"{notebook}: cannot be read as a notebook ({type(error).__name__}: {error})") from None
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def _with_named(inputs: Sequence[Path], parameters: Mapping, root: Path) -> list[Path]:
    known = {Path(path).resolve() for path in inputs}
    return [*inputs, *(file for file in named_files(parameters, root) if file.resolve() not in known)]


def _table_hash(table: Path) -> str:
    if not table.is_file():
        raise TableError(f"{table}: is missing; write the table before its provenance")
    return sha256(table)


def _without_home(path: Path) -> tuple[str, ...]:
    parts = PurePath(path).parts[1:]
    if path.is_relative_to(Path.home()) and path != Path.home():
        return path.relative_to(Path.home()).parts
    return parts[2:] if len(parts) > 2 and parts[0] in _HOMES else parts


def _dirty(root: Path) -> bool | None:
    """Whether the commit does not tell the code: tracked files are changed, or there is code that git does not have; None without git."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *_TRACKED)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "adabm/*.py", "pipelines/*.py")
    return None if changed is None else bool(changed or new)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    if package == "torch":
        return torch.__version__  # with the build, which the code's hash holds too
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
