"""Read regular files alone, write files so that none is ever left half-written, and notice when kept ones changed."""

import errno
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from ..errors import KeptFileError

_KEPT = b"adabm-kept-1 "  # begins a kept file; then the sha256 of what stands behind the line
_MOST_BYTES = 2**26  # that are read at once
_TEMPORARY = ".adabm-tmp"  # ends the names of files that are being written


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file's content in hexadecimal digits, read piece by piece.

    Raises:
        OSError: as :func:`open_regular_file` says.
    """
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular_file(path: str | Path, most: int | None = None) -> BinaryIO:
    """Open a file to read its bytes.

    Args:
        most: bytes that it may have.

    Raises:
        OSError: there is none, it cannot be read, or is too large; or it is a pipe, a device or a socket, where reading
            could wait or go on for ever.
    """
    if "\0" in os.fsdecode(path):
        raise OSError(errno.EINVAL, "a path cannot hold a zero byte", str(path))
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe, device or socket; name a regular file", str(path))
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes are more than {most:,}", str(path))
    return open(path, "rb")


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a regular file of 64 MiB at most; raises what :func:`open_regular_file` raises."""
    with open_regular_file(path, _MOST_BYTES) as file:
        return file.read()


def read_text(path: str | Path) -> str:
    r"""Return the content of such a file as text in UTF-8, each line ending in ``\n``.

    Raises:
        OSError: as :func:`open_regular_file` says.
        UnicodeDecodeError: another encoding, or no text.
    """
    return read_bytes(path).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def real(path: str | Path) -> Path:
    """Return the absolute path without links as far as there are files; where links go in a circle, the path up to there."""
    return Path(os.path.realpath(path))


def write_atomically(path: str | Path, data: bytes | memoryview) -> None:
    """Write ``data`` to a neighbour file and rename it, so that no half-written file is ever left.

    Raises:
        OSError: naming ``path``, where the system's own error names nothing (disk full) or the neighbour; or it is a pipe,
            a device or a socket, which renaming would put an end to.
    """
    path = Path(path)
    try:
        status = os.stat(path)
    except OSError:  # nothing is there, or what writing tells
        status = None
    except ValueError:  # a zero byte, or half a letter
        raise OSError(errno.EINVAL, "no name that a file can have", repr(str(path))) from None
    if status is not None and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe, device or socket, which would be replaced; name a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write_and_rename(path, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_kept(path: str | Path, content: bytes) -> None:
    """Keep ``content`` for a later run, which reads it by :func:`read_kept`; atomically, behind a line with its sha256.

    Raises:
        OSError: naming ``path``.
    """
    write_atomically(path, _headline(content) + content)


def read_kept(path: str | Path, most: int | None = None) -> bytes:
    """Return what :func:`write_kept` kept, byte for byte.

    The sha256 tells damage, not intent: who changes a file and writes its sha256 anew is believed.

    Args:
        most: bytes that such a file may have; more are not read, which takes seconds a gigabyte.

    Raises:
        KeptFileError: any bit of the file differs from what was written, another format, or more than ``most``; naming ``path``.
        FileNotFoundError: there is no such file.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise KeptFileError(f"{path}: its {size:,} bytes are more than any such file has")
        line = file.readline(len(_headline(b"")))
        if not line.startswith(_KEPT):
            raise KeptFileError(f"{path}: does not begin with the sha256 of its content")
        begin = file.tell()
        # piece by piece, and only then into memory: what damage left may be of any size
        if line != _headline_of(hashlib.file_digest(file, "sha256")):
            raise KeptFileError(f"{path}: its content does not match its sha256")
        file.seek(begin)
        return file.read()


def _headline(content: bytes) -> bytes:
    return _headline_of(hashlib.sha256(content))


def _headline_of(digest: "hashlib._Hash") -> bytes:
    return _KEPT + digest.hexdigest().encode() + b"\n"


def _write_and_rename(path: Path, data: bytes | memoryview) -> None:
    # a part of the name, since the whole may be as long as a name can be
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=_TEMPORARY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove_stale_temporaries(folder: str | Path, older_than_s: float = 86400) -> int:
    """Delete what killed processes left of :func:`write_atomically` in a folder and all below it; return how many files.

    Nothing but such files is touched, known by their names, and none that was changed in the last ``older_than_s``
    seconds, which a living process may be writing. A missing folder holds none; a file that cannot be deleted stays.
    """
    removed = 0
    for path in Path(folder).rglob(f".*{_TEMPORARY}"):
        try:
            if path.is_file() and not path.is_symlink() and time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()
                removed += 1
        except OSError:  # gone already, or another user's; tidying up is no reason to fail
            continue
    return removed


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
