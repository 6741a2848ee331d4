"""The folder that the paths of a study are relative to."""

from pathlib import Path

from ...errors import DataError


def find_root(start: Path | None = None) -> Path:
    """Return the folder of ``dvc.yaml`` at or above ``start`` (default: the working directory)."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise DataError(f"no dvc.yaml at or above {start}; start from inside the repository")


def working_root() -> Path:
    """Return :func:`find_root`, or the working directory where that is outside a repository."""
    try:
        return find_root()
    except DataError:
        return Path.cwd()
