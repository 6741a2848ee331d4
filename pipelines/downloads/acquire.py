"""Get one file of a source into the download folder: already there, from a mirror, or from its addresses.

A file appears under its own name only when complete and verified. Until then it is ``<name>.part``, which
the next run resumes and whose lock keeps two runs from writing it at once.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .sources import SourceFile
from .transfer import Network, Stopped, TransferError
from .verification import find_fault

PART = ".part"
_CHUNK = 1 << 20
_LOCK_WAIT = 0.2  # seconds between two looks at a lock that another run holds


@dataclass
class Acquired:
    """What became of one file.

    Attributes:
        origin: "present", "mirror" or "download"; None if the file could not be had.
        tried: one line for each place that did not give it.
        warnings: what the user should hear of even if the file could be had: damaged copies.
    """

    file: SourceFile
    origin: str | None = None
    tried: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def damaged(self, place: object, fault: str) -> None:
        """Note a copy that is not the expected file."""
        self.tried.append(f"{place}: damaged: {fault}")
        self.warnings.append(f"{place}: damaged: {fault}")


def acquire(
    file: SourceFile,
    downloads: Path,
    mirrors: Sequence[Path],
    network: Network,
    offline: bool,
    progress: Callable[[int], None],
) -> Acquired:
    """Get ``file`` to ``downloads/<file.path>``, verified.

    Args:
        mirrors: folders of the same layout, tried in this order before any address.
        offline: use no address.
        progress: is told by how many bytes of the file more (or fewer) are there.

    Raises:
        Stopped: ``network.stop`` was set.
        OSError: the download folder cannot be read or written.
    """
    final, result = downloads / file.path, Acquired(file)
    if _is_present(final, result):
        progress(final.stat().st_size)
        return result
    mirrored = _find_in_mirrors(final, mirrors, result)
    if mirrored is None and offline:
        return result
    final.parent.mkdir(parents=True, exist_ok=True)
    with _alone(final.with_name(final.name + PART), network) as part:
        try:
            if _is_present(final, Acquired(file)):  # by another run, while this one waited for the lock
                progress(final.stat().st_size)
                result.origin = "present"
            elif mirrored is not None:
                _copy(mirrored, part, network, progress)
                fault = find_fault(part.name, file)
                if fault:  # it was whole a moment ago
                    raise OSError(None, f"copied with a fault: {fault}", str(final))
                result.origin = "mirror"
            elif _download(part, network, result, progress):
                result.origin = "download"
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(final)) from error
        if result.origin in ("mirror", "download"):
            os.replace(part.name, final)
        elif result.origin == "present" or os.fstat(part.fileno()).st_size == 0:
            os.unlink(part.name)
    return result


def _is_present(final: Path, result: Acquired) -> bool:
    if not final.is_file():
        return False
    fault = find_fault(final, result.file)
    if fault is None:
        result.origin = "present"
    else:
        result.damaged(final, fault)
    return fault is None


def _find_in_mirrors(final: Path, mirrors: Sequence[Path], result: Acquired) -> Path | None:
    for mirror in mirrors:
        path = mirror / result.file.path
        if not path.is_file():
            result.tried.append(f"{path}: missing")
        elif not (final.is_file() and os.path.samefile(path, final)):
            try:
                fault = find_fault(path, result.file)
            except OSError as error:
                fault = error.strerror
            if fault is None:
                return path
            result.damaged(path, fault)
    return None


def _copy(source: Path, part: BinaryIO, network: Network, progress: Callable[[int], None]) -> None:
    part.seek(0)
    part.truncate()
    with open(source, "rb") as file:
        while chunk := file.read(_CHUNK):
            if network.stop.is_set():
                raise Stopped
            part.write(chunk)
            progress(len(chunk))
    part.flush()


def _download(part: BinaryIO, network: Network, result: Acquired, progress: Callable[[int], None]) -> bool:
    """Complete and verify ``part`` from the first address that has the expected bytes."""
    progress(part.seek(0, 2))
    for url in result.file.urls:
        while True:
            # All addresses give the same bytes, so what one began another may complete.
            continued = part.seek(0, 2)
            try:
                network.download(url, part, result.file.size, progress)
            except TransferError as error:
                result.tried.append(f"{url}: {error}")
                break
            fault = find_fault(part.name, result.file)
            if fault is None:
                return True
            progress(-part.seek(0, 2))
            part.seek(0)
            part.truncate()
            if not continued:  # else the rest of an earlier run may be at fault: once more, from the beginning
                result.damaged(url, fault)
                break
    return False


@contextmanager
def _alone(path: Path, network: Network) -> Iterator[BinaryIO]:
    """Open the partial file at ``path`` for this run alone, waiting while another run writes it."""
    while True:
        file = open(path, "a+b")
        try:
            while not _lock(file):
                if network.stop.wait(_LOCK_WAIT):
                    raise Stopped
            # The run that held the lock has meanwhile renamed the file that was opened here.
            if _is_at(file, path):
                break
        except BaseException:
            file.close()
            raise
        file.close()
    with file:
        yield file


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
