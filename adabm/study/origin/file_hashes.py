"""The sha256 of files, and whether those of a study are still what they were when they were hashed."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...support.files import file_sha256

_RECENT_NS = 2 * 10**9  # within which some file systems tell no two times apart


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's relative file names and contents in sorted order, as they are now."""
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()


@dataclass
class _Hashed:
    """A file as it was when it was hashed; ``recent``: it had just been written, so that its times may not tell a change."""

    path: str
    digest: str
    state: tuple[int, ...]
    recent: bool


class FileHashes:
    """sha256 of files that do not change while the study runs, each read once; called with a path."""

    def __init__(self) -> None:
        self._hashed: dict[Path, _Hashed] = {}

    def __call__(self, path: Path) -> str:
        if path not in self._hashed:
            self._hashed[path] = _hashed(os.path.abspath(path))
        return self._hashed[path].digest

    def cache_clear(self) -> None:
        """Forget all files: an earlier study of this process may have seen other contents."""
        self._hashed.clear()

    def check_unchanged(self) -> None:
        """Compare the files with what was hashed; those whose times and sizes tell that they are the same are not read again.

        What was computed since may come from the bytes of before or of now, and must not be kept under the hash of one of them.

        Raises:
            DataError: one was replaced.
        """
        for path, hashed in [*self._hashed.items()]:
            try:
                if not hashed.recent and _state(hashed.path) == hashed.state:
                    continue
                now = _hashed(hashed.path)
            except (FileNotFoundError, NotADirectoryError):  # nothing else can have been read there
                continue
            if now.digest != hashed.digest:
                raise DataError(
                    f"{hashed.path}: changed while the study ran; what was computed with it is not kept. Run it again"
                )
            self._hashed[path] = now


def _hashed(path: str) -> _Hashed:
    state = _state(path)
    return _Hashed(path, sha256(Path(path)), state, time.time_ns() - max(state[2:]) < _RECENT_NS)


def _state(path: str) -> tuple[int, ...]:
    told = os.stat(path)
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


file_hash = FileHashes()
