"""Download one file over HTTP: resume what is there, try again after passing faults."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ProtocolError, ReadTimeoutError

_CHUNK = 1 << 13  # bytes; what a broken connection brought of the last piece is lost
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # such an answer may be another one a moment later
_ENOUGH = 1 << 20  # an attempt that brought so many bytes does not count as failed
_LONGEST_WAIT = 30.0  # seconds, whatever the server asks for


class TransferError(Exception):
    """An address did not give the file; the text says why."""


class Stopped(Exception):
    """The run ends: another file met a fault that concerns all, or the user interrupted."""


@dataclass
class Network:
    """What the downloads of one run share.

    Attributes:
        attempts: per address, before it is given up.
        backoff: seconds to wait after the first failed attempt; doubles with each.
        timeout: seconds to wait for a connection, and for the next bytes.
        stop: set it to end all downloads soon.
    """

    attempts: int = 4
    backoff: float = 0.5
    timeout: tuple[float, float] = (10.0, 30.0)
    stop: threading.Event = field(default_factory=threading.Event)
    _unreachable: dict[str, str] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)

    def download(self, url: str, part: BinaryIO, size: int | None, progress: Callable[[int], None]) -> None:
        """Complete the partial file ``part`` from ``url``; keep what it holds where the server can resume.

        Args:
            part: open for reading and writing; need not be empty.
            size: bytes expected, None if not known.
            progress: is told by how many bytes the file grew (negative: it had to be begun anew).

        Raises:
            TransferError: the address is of no use; what was received stays in ``part``.
            Stopped: ``stop`` was set.
            OSError: ``part`` cannot be written.
        """
        host, failed = urlsplit(url).netloc, 0
        while True:
            # One host that cannot be reached would otherwise cost every one of hundreds of files all attempts.
            if host in self._unreachable:
                raise TransferError(f"{host} could not be reached ({self._unreachable[host]})")
            begun = part.seek(0, 2)
            if size is not None and begun == size:
                return
            wait, connected = None, True
            try:
                return self._attempt(url, part, size, progress)
            except _Passing as error:
                reason, wait = str(error), error.wait
            except requests.exceptions.ConnectionError as error:
                reason, connected = _reason(error), _was_connected(error)
            except (requests.exceptions.ChunkedEncodingError, requests.exceptions.Timeout) as error:
                reason = _reason(error)
            except requests.exceptions.RequestException as error:  # an address without sense, endless redirects
                raise TransferError(_reason(error)) from None
            gained = part.seek(0, 2) - begun
            failed = 0 if gained >= _ENOUGH else failed + 1
            if failed >= self.attempts:
                if not connected and not gained:
                    self._unreachable[host] = reason
                raise TransferError(f"{reason} ({self.attempts} attempts)")
            wait = self.backoff * 2 ** max(0, failed - 1) if wait is None else wait
            if self.stop.wait(min(wait, _LONGEST_WAIT)):
                raise Stopped

    def _attempt(self, url: str, part: BinaryIO, size: int | None, progress: Callable[[int], None]) -> None:
        offset = part.seek(0, 2)
        if size is not None and offset > size:
            offset = _begin_anew(part, progress)
        # Compressed transfer would make offsets and lengths those of other bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with self._session().get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if response.status_code == 416:
                _begin_anew(part, progress)
                raise _Passing("the server could not resume", wait=0.0)
            if response.status_code in _PASSING:
                raise _Passing(_status(response), wait=_retry_after(response))
            if response.status_code not in (200, 206):
                raise TransferError(_status(response))
            resumed = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            if offset and not (response.status_code == 206 and resumed):
                if response.status_code == 206:
                    raise TransferError("the server resumed at another place than asked")
                _begin_anew(part, progress)
            for chunk in response.iter_content(_CHUNK):
                if self.stop.is_set():
                    raise Stopped
                part.write(chunk)
                progress(len(chunk))
                if size is not None and part.tell() > size:
                    raise TransferError(f"more than the expected {size} bytes")
        part.flush()
        if size is not None and part.tell() < size:
            raise _Passing(f"ended after {part.tell()} of {size} bytes")

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):  # sessions are not safe to share between threads
            self._local.session = requests.Session()
        return self._local.session


class _Passing(Exception):
    """An attempt failed in a way that may pass; ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def _begin_anew(part: BinaryIO, progress: Callable[[int], None]) -> int:
    progress(-part.seek(0, 2))
    part.seek(0)
    part.truncate()
    return 0


def _status(response: requests.Response) -> str:
    return f"answered {response.status_code} {response.reason or ''}".rstrip()


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and those that it wraps, the outermost first."""
    chain = [error]
    while True:
        error = chain[-1]
        inner = [a for a in (getattr(error, "reason", None), *error.args) if isinstance(a, BaseException)]
        if not inner:
            return chain
        chain.append(inner[0])


def _reason(error: BaseException) -> str:
    last = _chain(error)[-1]
    text = re.sub(r"^<?\w*Connection\w*[^:]*?\)?>?: ", "", " ".join(str(last).split()))  # the host is named anyway
    return text or type(last).__name__


def _was_connected(error: BaseException) -> bool:
    return any(isinstance(e, (ProtocolError, ReadTimeoutError)) for e in _chain(error))
