"""Get one file of a source into the download folder: already there, from a mirror, or from its addresses.

pooch downloads, tries again and keeps half a file under no name of ours; what it does not know are several addresses,
mirrors, sizes, and checksums of which the publisher tells the first digits alone.

A file appears under its own name only when complete and verified. Until then it lies in ``.partial`` of the download
folder, which is deleted at the end of a run, or at the start of the next one where a run was killed.
"""

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pooch
from requests.exceptions import ConnectionError, HTTPError, RequestException
from urllib3.exceptions import MaxRetryError

from .sources import SourceFile
from .verification import find_fault

STAGING = ".partial"
ATTEMPTS = 4  # at one address; pooch waits 1, 2 and 3 seconds between them
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # such an answer may be another one a moment later
_CHUNK = 1 << 15  # bytes


class Stopped(Exception):
    """The run ends: another file met a fault that concerns all, or the user interrupted."""


class _Useless(Exception):
    """A place does not give the file; the text says why."""


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

    def accepts(self, path: Path, place: object, origin: str) -> bool:
        """Verify the file at ``path``, and note where it is from or that the copy of ``place`` is damaged."""
        fault = find_fault(path, self.file)
        if fault is None:
            self.origin = origin
        else:
            self.tried.append(f"{place}: damaged: {fault}")
            self.warnings.append(self.tried[-1])
        return fault is None


@dataclass
class Transfers:
    """What the files of one run share.

    Attributes:
        downloads: folder to write to; ``<downloads>/<file.path>`` is where a file goes.
        mirrors: folders of the same layout, tried in this order before any address.
        offline: use no address.
        progress: is told by how many bytes more (or fewer) of all files are there; is called from several threads.
        timeout: seconds to wait for a connection, and for the next bytes.
        stop: set it to end all downloads soon.
    """

    downloads: Path
    mirrors: Sequence[Path] = ()
    offline: bool = False
    progress: Callable[[int], None] = lambda count: None
    timeout: tuple[float, float] = (10.0, 30.0)
    stop: threading.Event = field(default_factory=threading.Event)
    _unreachable: dict[str, str] = field(default_factory=dict)

    @property
    def _staging(self) -> Path:
        return self.downloads / STAGING / "files"

    def find(self, file: SourceFile) -> Acquired:
        """Look whether ``file`` is there already."""
        result, final = Acquired(file), self.downloads / file.path
        if final.is_file() and result.accepts(final, final, "present"):
            self.progress(final.stat().st_size)
        return result

    def acquire(self, file: SourceFile) -> Acquired:
        """Get ``file``, verified; inside :func:`staging`.

        Raises:
            Stopped: ``stop`` was set.
            OSError: the download folder cannot be read or written.
        """
        result, final, staged = self.find(file), self.downloads / file.path, self._staging / file.path
        if result.origin is not None:
            return result
        places = [(mirror / file.path, "mirror") for mirror in self.mirrors]
        places += [] if self.offline else [(url, "download") for url in file.urls]
        try:
            for folder in (final.parent, staged.parent):
                folder.mkdir(parents=True, exist_ok=True)
            for place, origin in places:
                try:
                    (self._copy if origin == "mirror" else self._download)(place, file.path, staged)
                except _Useless as error:
                    result.tried.append(f"{place}: {error}")
                    continue
                if result.accepts(staged, place, origin):
                    os.replace(staged, final)
                    break
                self.progress(-staged.stat().st_size)
                staged.unlink()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(final)) from error
        return result

    def _copy(self, source: Path, _: str, staged: Path) -> None:
        if self.stop.is_set():
            raise Stopped
        if not source.is_file():
            raise _Useless("missing")
        if not os.access(source, os.R_OK):
            raise _Useless("cannot be read")
        shutil.copyfile(source, staged)
        self.progress(staged.stat().st_size)

    def _download(self, url: str, path: str, staged: Path) -> None:
        # One host that cannot be reached would otherwise cost every one of hundreds of files all attempts.
        host = urlsplit(url).netloc
        if host in self._unreachable:
            raise _Useless(f"{host} could not be reached ({self._unreachable[host]})")
        # No checksum is given, since pooch knows whole ones alone: `accepts` compares.
        registry = dict(registry={path: None}, urls={path: url})
        retriever = pooch.create(self._staging, base_url="", **registry, retry_if_failed=ATTEMPTS - 1)
        try:
            retriever.fetch(path, downloader=self._attempt)
        except RequestException as error:
            if isinstance(error, ConnectionError) and any(isinstance(a, MaxRetryError) for a in error.args):
                self._unreachable[host] = _reason(error)
            raise _Useless(f"{_reason(error)} ({ATTEMPTS} attempts)") from None

    def _attempt(self, url: str, output: str, _: pooch.Pooch) -> None:
        """Download ``url`` to ``output``: what pooch calls, again after any ``RequestException``."""
        counted = _Counted(self)
        # Compressed transfer would make lengths those of other bytes.
        get = pooch.HTTPDownloader(counted, _CHUNK, timeout=self.timeout, headers={"Accept-Encoding": "identity"})
        try:
            get(url, output, None)
        except BaseException as error:
            self.progress(-counted.count)
            passing = not isinstance(error, HTTPError) or error.response.status_code in _PASSING
            if isinstance(error, RequestException) and (not passing or isinstance(error, ValueError)):
                raise _Useless(_reason(error)) from None  # also an address without sense
            raise


class _Counted:
    """The progress bar that pooch wants for a file, which adds to that of all files."""

    def __init__(self, transfers: Transfers) -> None:
        self.transfers, self.count, self.total = transfers, 0, 0

    def update(self, count: int) -> None:
        """Count a piece; pooch calls the last one as long as the others."""
        if self.transfers.stop.is_set():
            raise Stopped
        count = min(count, self.total - self.count) if self.total else count
        self.count += count
        self.transfers.progress(count)

    def reset(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def staging(downloads: Path) -> Iterator[None]:
    """Hold the folder of partial files for this run alone, waiting while another run holds it; empty at the start."""
    folder = downloads / STAGING
    with _locked(folder):
        shutil.rmtree(folder / "files", ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> BinaryIO:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock.fileno()).st_nlink:
            return lock
        lock.close()  # the run that held it has meanwhile deleted the file that was opened here


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"answered {error.response.status_code} {error.response.reason or ''}".rstrip()
    while inner := [a for a in (getattr(error, "reason", None), *error.args) if isinstance(a, BaseException)]:
        error = inner[0]
    text = re.sub(r"^\w*Connection[^:]*: ", "", " ".join(str(error).split()))  # the host is named anyway
    return text or type(error).__name__
