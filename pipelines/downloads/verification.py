"""Compare files with the checksums that the manifest names."""

from pathlib import Path

from adabm.files import file_sha256

from .sources import SourceFile


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
