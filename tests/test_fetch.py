"""Fetching, against a local server that fails in every way that servers do."""

import errno
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest

import pipelines.downloads.acquire
import pipelines.downloads.fetch
from adabm.errors import DataError
from helpers.file_server import FileServer, make_sources, write_manifest
from helpers.slow import slow
from pipelines.downloads.fetch import fetch, main

ROOT = Path(__file__).parents[1]
A, B, C = (np.random.default_rng(i).bytes(60_000) for i in range(3))
CONTENT = {"Set": {"a b@1.png": A, "sub/b.png": B, "c.png": C}}
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let pooch not wait before it tries again."""
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def server():
    server = FileServer()
    server.files = {f"Set/{path}": data for path, data in CONTENT["Set"].items()}
    yield server
    server.close()


@pytest.fixture
def get(tmp_path, server):
    """Fetch; its attribute ``said`` holds the lines that the user would see."""

    def get(*urls: str, content: dict = CONTENT, mirrors: tuple = (), digits: int = 64, sizes: bool = True, **options):
        sources = make_sources(tmp_path / "manifest", content, *(urls or (server.url,)), digits=digits, sizes=sizes)
        get.said = []
        return fetch(
            sources,
            tmp_path / "downloads",
            sources=sources,
            mirrors=mirrors,
            timeout=(5.0, options.pop("timeout", 5.0)),
            say=get.said.append,
            **options,
        )

    return get


ONE = {"Set": {"c.png": C}}


def stored(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def complete(folder: Path) -> bool:
    return stored(folder) == {f"Set/{path}": data for path, data in CONTENT["Set"].items()}


def mirror(folder: Path, **changed: bytes) -> Path:
    for path, data in CONTENT["Set"].items():
        (folder / "Set" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "Set" / path).write_bytes(changed.get(Path(path).stem, data))
    return folder


def test_downloads_once(get, server, tmp_path):
    where = get()
    assert where == {"Set": tmp_path / "downloads" / "Set"} and complete(tmp_path / "downloads")
    assert "3 downloaded" in get.said[0]
    get()
    assert len(server.requests) == 3 and "3 present" in get.said[0]


def test_one_file_is_returned_itself(get, tmp_path):
    assert get(content=ONE) == {"Set": tmp_path / "downloads" / "Set" / "c.png"}


def test_a_file_that_was_damaged_is_fetched_again(get, tmp_path):
    mirror(tmp_path / "downloads", c=C[:-1] + b"x")
    get()
    assert complete(tmp_path / "downloads")
    assert any(re.search(r"c\.png: damaged: sha256 \w{64}, expected \w{64}", line) for line in get.said)


def test_downloads_are_a_mirror(get, server, tmp_path):
    get()
    (tmp_path / "downloads").rename(tmp_path / "elsewhere")
    get(NOWHERE, mirrors=(tmp_path / "nothing here", tmp_path / "elsewhere"), offline=True)
    assert complete(tmp_path / "downloads") and len(server.requests) == 3
    assert "3 from a mirror" in get.said[0]


def test_damaged_mirror_is_reported_and_passed_over(get, server, tmp_path):
    bad = mirror(tmp_path / "mirror", c=b"x" + C[1:])
    get(mirrors=[bad])
    assert complete(tmp_path / "downloads") and [path for path, _ in server.requests] == ["Set/c.png"]
    found, expected = (hashlib.sha256(data).hexdigest() for data in (b"x" + C[1:], C))
    assert f"warning: {bad}/Set/c.png: damaged: sha256 {found}, expected {expected}" in get.said


def test_a_cut_connection_is_tried_again(get, server, tmp_path):
    server.faults["Set/c.png"] = [("cut", 20_000), ("cut", 10_000)]
    get()
    assert complete(tmp_path / "downloads") and len(server.requests) == 5


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_killed_run_left(get, server, tmp_path, whole):
    if whole:
        mirror(tmp_path / "downloads")
    for name in (".partial/files/tmpabc", ".partial/files/Set/c.png", ".partial/lock"):
        (tmp_path / "downloads" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "downloads" / name).write_bytes(C[:30_000])
    get()
    assert complete(tmp_path / "downloads") and len(server.requests) == (0 if whole else 3)
    assert not (tmp_path / "downloads" / ".partial").exists()


@pytest.mark.parametrize("fault", [503, 429, 500, ("cut", 0), ("stall", 100)], ids=str)
def test_passing_faults(get, server, tmp_path, fault):
    server.faults["Set/c.png"] = [fault, fault]
    get(timeout=0.2)
    assert complete(tmp_path / "downloads") and len(server.requests) == 5


def test_lasting_faults_name_everything(get, server, tmp_path):
    server.faults["Set/c.png"] = [503] * 4
    server.faults["Set/sub/b.png"] = [404]
    with pytest.raises(DataError) as error:
        get(mirrors=[tmp_path / "mirror"])
    text = str(error.value)
    assert "Set: 2 files could not be had" in text
    assert f"c.png (sha256 {hashlib.sha256(C).hexdigest()}, 60000 bytes)" in text
    assert f"tried {tmp_path}/mirror/Set/c.png: missing" in text
    assert f"tried {server.url}/Set/c.png: answered 503 Service Unavailable (4 attempts)" in text
    assert f"tried {server.url}/Set/sub/b.png: answered 404 Not Found\n" in text  # tried once
    assert f"put it at {tmp_path}/downloads/Set/c.png or {tmp_path}/mirror/Set/c.png" in text
    assert stored(tmp_path / "downloads") == {"Set/a b@1.png": A}
    get()
    assert complete(tmp_path / "downloads")


def test_many_missing_files_are_told_briefly(get, tmp_path):
    with pytest.raises(DataError) as error:
        get(content={"Set": {f"{i}.png": b"%d" % i for i in range(300)}}, offline=True)
    assert "300 files could not be had" in str(error.value) and len(str(error.value).splitlines()) < 12
    assert "and 298 more: `python -m pipelines.downloads.fetch --list Set` names all" in str(error.value)
    assert "ADABM_MIRROR=DIR" in str(error.value)


def test_wrong_bytes_then_another_address(get, server, tmp_path):
    server.files["copy/Set/c.png"] = C
    server.faults["Set/c.png"] = [("other", B)]
    get(server.url, f"{server.url}/copy", content=ONE)
    assert stored(tmp_path / "downloads") == {"Set/c.png": C}
    assert any("Set/c.png: damaged: sha256" in line for line in get.said)


@pytest.mark.parametrize("data", [B, C + b"x", b""], ids=["other", "longer", "empty"])
def test_wrong_bytes_never_get_the_name(get, server, tmp_path, data):
    server.files["Set/c.png"] = data
    with pytest.raises(
        DataError, match="damaged: sha256|damaged: 60001 bytes, expected 60000|damaged: 0 bytes, expected 60000"
    ):
        get(content=ONE)
    assert not (tmp_path / "downloads" / "Set" / "c.png").exists()
    server.files["Set/c.png"] = C
    get(content=ONE)
    assert stored(tmp_path / "downloads") == {"Set/c.png": C}


def test_published_beginning_of_a_checksum(get, server, tmp_path):
    get(content=ONE, digits=8, sizes=False)
    digest = hashlib.sha256(C).hexdigest()
    assert f"c.png: only {digest[:8]}... of its sha256 is published; it is {digest}" in get.said
    (tmp_path / "downloads" / "Set" / "c.png").unlink()
    server.files["Set/c.png"] = B
    with pytest.raises(DataError, match=f"expected {digest[:8]}"):
        get(content=ONE, digits=8, sizes=False)


def test_an_unreachable_host_is_asked_for_one_file_only(get, tmp_path):
    with pytest.raises(DataError) as error:
        get(NOWHERE, jobs=1)
    assert "refused" in str(error.value) and "127.0.0.1:9 could not be reached" in str(error.value)


def test_another_address_when_a_host_is_unreachable(get, server, tmp_path):
    get(NOWHERE, server.url)
    assert complete(tmp_path / "downloads")


def test_several_files_at_once(get, server, tmp_path):
    together = threading.Barrier(3)
    server.before = lambda path: together.wait(30)  # answers none before all three have been asked for
    get(jobs=3)
    assert complete(tmp_path / "downloads")


def test_two_runs_at_once(get, server, tmp_path):
    """The second waits for the first, or finds its files; none is downloaded twice."""
    server.pause = 0.001
    sources = make_sources(tmp_path / "manifest", CONTENT, server.url)
    failures = []

    def run() -> None:
        try:
            fetch(["Set"], tmp_path / "downloads", sources=sources, mirrors=[], say=lambda line: None)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and complete(tmp_path / "downloads") and len(server.requests) == 3


class FullDisk(io.FileIO):
    """Room for 30000 bytes a file."""

    def write(self, data: bytes) -> int:
        if self.tell() + len(data) > 30_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("mirrored", [False, True])
def test_disk_full(server, tmp_path, monkeypatch, capsys, mirrored):
    manifest = write_manifest(tmp_path / "manifest", CONTENT, server.url)
    command = ["Set", "--manifest", str(manifest), "--downloads", str(tmp_path / "downloads")]
    monkeypatch.setenv("ADABM_MIRROR", str(mirror(tmp_path / "mirror")) if mirrored else "")
    small = lambda path, mode, *_: FullDisk(path, mode) if "w" in mode else open(path, mode)
    for module in (pooch.downloaders, shutil):
        monkeypatch.setattr(module, "open", small, raising=False)
    if mirrored:  # shutil asks the system to copy where it can
        monkeypatch.setattr(shutil, "_USE_CP_SENDFILE", False)
    assert main(command) == 1
    message = capsys.readouterr().err
    assert re.fullmatch(r"fetch: \S+/downloads/Set/.*: No space left on device; complete files stay.*\n", message)
    assert stored(tmp_path / "downloads") == {}
    monkeypatch.undo()
    monkeypatch.delenv("ADABM_MIRROR", raising=False)
    assert main(command) == 0 and complete(tmp_path / "downloads")


def test_a_disk_without_room_is_told_before(get, server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    with pytest.raises(DataError, match=r"downloads: 0\.2 MB are lacking, but only 0\.1 MB are free there; make room"):
        get()
    assert server.requests == [] and not (tmp_path / "downloads").exists()
    mirror(tmp_path / "downloads", c=b"")
    get()  # one file alone has room


def test_a_read_only_file_system(server, tmp_path, monkeypatch, capsys):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    manifest = write_manifest(tmp_path / "manifest", CONTENT, server.url)
    monkeypatch.delenv("ADABM_MIRROR", raising=False)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["Set", "--manifest", str(manifest), "--downloads", str(tmp_path / "d")]) == 1
    assert re.fullmatch(r"fetch: \S+/d/\S*: Read-only file system; .*\n", capsys.readouterr().err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(get, tmp_path):
    (tmp_path / "downloads").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        get()


def test_a_complete_folder_need_not_be_writable(server, tmp_path, monkeypatch):
    sources = make_sources(tmp_path / "manifest", CONTENT, server.url)
    fetch(["Set"], tmp_path / "downloads", sources=sources, mirrors=[])
    monkeypatch.setattr(Path, "mkdir", None)
    monkeypatch.setattr(pipelines.downloads.acquire, "open", None, raising=False)
    fetch(["Set"], tmp_path / "downloads", sources=sources, mirrors=[])
    assert len(server.requests) == 3


def start(manifest: Path, downloads: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ADABM_MIRROR": ""}
    arguments = ["Set", "--manifest", str(manifest), "--downloads", str(downloads)]
    command = [sys.executable, "-m", "pipelines.downloads.fetch", *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [3, slow(30)])
def test_killed_again_and_again(server, tmp_path, kills):
    """At random points; no file is ever half there under its name, and what is there is not asked for again."""
    rng = np.random.default_rng(0)
    content = {"Set": {f"{i}.png": rng.bytes(200_000) for i in range(6 * kills)}}
    server.files = {f"Set/{path}": data for path, data in content["Set"].items()}
    manifest, downloads = write_manifest(tmp_path / "manifest", content, server.url), tmp_path / "downloads"
    server.pause, halves = 0.001, 0
    for _ in range(kills):
        limit = server.sent + int(rng.integers(1, 1_500_000))
        reached = threading.Event()
        server.on_sent = lambda sent: reached.set() if sent >= limit else None
        process = start(manifest, downloads)
        assert reached.wait(60)
        process.kill()
        process.communicate()
        there = stored(downloads)
        whole = {name: data for name, data in there.items() if not name.startswith(".partial/")}
        assert all(data == server.files[name] for name, data in whole.items())
        assert len(whole) < len(server.files)
        halves += any(name.startswith(".partial/files/") for name in there)
        server.settle()
        server.requests.clear()
    assert halves > 0 and whole  # the kills did hit files that were being written, and left complete ones
    server.pause = 0.0
    process = start(manifest, downloads)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 0, message
    assert stored(downloads) == server.files and not (downloads / ".partial").exists()
    assert sorted(path for path, _ in server.requests) == sorted(server.files.keys() - whole.keys())
    print(f"{kills} kills, {halves} of them while a file was half-written; {len(whole)} files were complete before")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(server, tmp_path, number, status):
    manifest, downloads = write_manifest(tmp_path / "manifest", CONTENT, server.url), tmp_path / "downloads"
    server.faults["Set/c.png"] = [("stall", 30_000)]
    reached = threading.Event()
    server.on_sent = lambda sent: reached.set() if sent >= 150_000 else None  # all that comes before the silence
    process = start(manifest, downloads)
    assert reached.wait(60)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == status
    assert message == "fetch: interrupted; complete files stay, run the same command again to go on\n"
    assert all(data == server.files[name] for name, data in stored(downloads).items())


def test_command_line(monkeypatch, capsys, tmp_path):
    assert main(["--list"]) == 0
    assert re.search(r"^Set5_x4 +10 files +0.9 MB", capsys.readouterr().out, re.MULTILINE)
    assert main(["--list", "Set5_x4"]) == 0
    assert capsys.readouterr().out.count("https://raw.githubusercontent.com/") == 10
    assert main(["set5x4"]) == 1
    assert "no source is called 'set5x4'; did you mean Set5_x4?" in capsys.readouterr().err
    monkeypatch.setenv("ADABM_MIRROR", f"{tmp_path}:{tmp_path}/nowhere")
    assert main(["Set5_x4"]) == 1
    assert f"ADABM_MIRROR names {tmp_path}/nowhere, which is no folder" in capsys.readouterr().err
    for wrong in ([], ["Set5_x4", "--jobs", "0"]):
        with pytest.raises(SystemExit) as error:
            main(wrong)
        assert error.value.code == 2


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_readable(server, tmp_path, monkeypatch, terminal):
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    with pipelines.downloads.fetch._progress_bar(1000) as bar:
        bar.delay, bar.mininterval = 0, 0
        bar.update(500)
        bar.refresh()
    assert "50%" in stream.getvalue() and ("\r" in stream.getvalue()) == terminal
