"""A web server in a thread that serves files from memory and misbehaves on demand, and manifests that point at it."""

import hashlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import yaml

from pipelines.downloads.sources import Source, read_sources

PIECE = 8192


class FileServer:
    """Serves ``files`` below http://127.0.0.1:port/.

    ``faults[path]`` lists what happens to the next requests of a file: a status to answer, or

    * ``("cut", n)``: close the connection after n bytes,
    * ``("stall", n)``: fall silent after n bytes, until the server closes,
    * ``("other", data)``: send other bytes,
    * ``None``: nothing.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = defaultdict(list)
        self.ranges = True
        self.pause = 0.0  # seconds after each piece
        self.requests: list[tuple[str, str | None]] = []  # path and Range
        self.sent = 0
        self.on_sent: Callable[[int], None] = lambda sent: None
        self.before: Callable[[str], None] = lambda path: None
        self.closing = threading.Event()
        self._open, self._counting = 0, threading.Lock()  # connections
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def settle(self) -> None:
        """Wait until no connection is open or about to be, so that no request of a killed client comes later."""
        quiet, until = 0, time.monotonic() + 20
        while quiet < 10:
            assert time.monotonic() < until, "a client is still connected"
            time.sleep(0.02)
            quiet = quiet + 1 if self._open == 0 else 0

    def _count(self, connections: int) -> None:
        with self._counting:
            self._open += connections

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                server._count(1)
                super().setup()

            def finish(self) -> None:
                try:
                    super().finish()
                finally:
                    server._count(-1)

            def do_GET(self) -> None:
                try:
                    server.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client was killed

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.lstrip("/"))
        self.requests.append((path, request.headers.get("Range")))
        self.before(path)
        fault = self.faults[path].pop(0) if self.faults[path] else None
        if isinstance(fault, int) or path not in self.files:
            request.send_response(fault or 404)
            request.send_header("Retry-After", "0")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        kind, value = fault or ("", None)
        data = value if kind == "other" else self.files[path]
        begin = re.match(r"bytes=(\d+)-$", request.headers.get("Range", "")) if self.ranges else None
        offset = int(begin[1]) if begin else 0
        if offset >= len(data) > 0:
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {offset}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - offset))
        request.end_headers()
        self._send(request, data[offset : offset + value if kind in ("cut", "stall") else None])
        if kind == "stall":
            self.closing.wait(20)
        if kind:
            request.close_connection = True

    def _send(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            request.wfile.write(data[start : start + PIECE])
            self.sent += len(data[start : start + PIECE])
            self.on_sent(self.sent)
            if self.pause:
                time.sleep(self.pause)


def write_manifest(
    folder: Path,
    sources: dict[str, dict[str, bytes]],
    *urls: str,
    digits: int = 64,
    sizes: bool = True,
    uses: dict[str, dict] | None = None,
) -> Path:
    """Write ``sources.yaml`` and checksums of files given by id and path; return the manifest.

    Args:
        urls: templates, tried in this order.
        digits: of the checksums.
        sizes: whether they are told.
        uses: by id, further keys of the entry.
    """
    fields = dict(kind="dataset", title="a title", licence="a licence", citation="a citation")
    entries = {name: {**fields, "urls": [f"{url}/{{path}}" for url in urls], "folder": name} for name in sources}
    for name, more in (uses or {}).items():
        entries[name] |= more
    (folder / "checksums").mkdir(parents=True, exist_ok=True)
    for name, files in sources.items():
        with open(folder / "checksums" / f"{name}.txt", "w") as file:
            for path, data in files.items():
                digest = hashlib.sha256(data).hexdigest()[:digits]
                file.write(f"{digest}  {len(data) if sizes else '-'}  {path}\n")
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": entries}))
    return folder / "sources.yaml"


def make_sources(
    folder: Path, sources: dict[str, dict[str, bytes]], *urls: str, **options: object
) -> dict[str, Source]:
    """As :func:`write_manifest`, read again."""
    return read_sources(write_manifest(folder, sources, *urls, **options))
