"""Compare files with the checksums that the manifest names."""

import hashlib
from pathlib import Path

from .sources import SourceFile

_CHUNK = 1 << 20


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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
