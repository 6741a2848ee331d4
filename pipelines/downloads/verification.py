"""Compare files with the checksums that the manifest names."""

from pathlib import Path

from adabm.errors import DataError
from adabm.support.files import file_sha256

from .sources import Source, SourceFile


def find_fault(path: str | Path, expected: SourceFile) -> str | None:
    """Return what is wrong with the file at ``path``, or None if it is the expected one.

    Raises:
        OSError: the file cannot be read.
    """
    size = Path(path).stat().st_size
    if expected.size is not None and size != expected.size:
        return f"{size} bytes, expected {expected.size}"
    found = file_sha256(path)
    if not found.startswith(expected.sha256):
        return f"sha256 {found}, expected {expected.sha256}"
    return None


def check_downloads(sources: list[Source], downloads: Path) -> None:
    """Verify that all files are there and the expected ones.

    Raises:
        DataError: naming the first fault and the command that fetches what is missing.
    """
    for source in sources:
        for file in source.files:
            path = downloads / file.path
            fault = find_fault(path, file) if path.is_file() else "missing"
            if fault:
                names = " ".join(s.id for s in sources)
                command = f"python -m pipelines.downloads.fetch {names} --downloads {downloads}"
                raise DataError(f"{path}: {fault}; run `{command}`")
