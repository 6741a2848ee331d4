"""A disk that fills up while a command writes: one line, nothing half-written, and the same command completes once there is room."""

import errno
import importlib
import os
import re
import sys
from pathlib import Path

import pytest

from adabm.cli import main as adabm
from helpers.cli_files import write_files
from helpers.downloads import write_downloads, write_test_manifest
from helpers.study_tables import write_results
from pipelines.prepare.replaced import replaced_folder

_DATE = re.compile(rb"20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\d\+00:00)?")


class _Filling:
    """A file that takes the first half of what is written to it."""

    def __init__(self, file) -> None:
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Let the disk take so many files of this package, and half of the next."""
    opened, taken = os.fdopen, []

    def fdopen(descriptor: int, mode: str = "r", *more, **named):
        file = opened(descriptor, mode, *more, **named)
        if mode != "wb":
            return file
        taken.append(file)
        return file if len(taken) <= writes else _Filling(file)

    monkeypatch.setattr("os.fdopen", fdopen)


def contents(folder: Path) -> dict[str, bytes]:
    """By name, the files below a folder, but for dates."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _DATE.sub(b"", path.read_bytes()) for path in paths}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Run a command in a folder of its own; return its status."""
    monkeypatch.chdir(tmp_path)

    def run(module: str, *words: object) -> int:
        words = [str(word) for word in words]
        if module == "adabm":
            return adabm(words)
        monkeypatch.setattr(sys, "argv", [module, *words])
        return importlib.import_module(module).main()

    return run


def survives(stage, capsys, monkeypatch, root: Path, writes: int, *words: object) -> None:
    before = contents(root)
    with monkeypatch.context() as patch:
        full_after(patch, writes)
        capsys.readouterr()
        assert stage(*words) in (1, 2)
    told = capsys.readouterr()
    (line,) = [line for line in (told.err + told.out).splitlines() if "No space left" in line]
    assert re.search(r"[\w.]+\.\w+: No space left on device; make room and run it again$", line), line
    left = contents(root)
    assert stage(*words) == 0
    expected = contents(root)
    for name, content in left.items():
        assert content in (before.get(name), expected.get(name)), f"{name} is half-written"
    assert left.keys() >= before.keys()


@pytest.mark.parametrize("writes", [0, 3, 8])
def test_collect(stage, capsys, monkeypatch, tmp_path, writes):
    results = write_results(tmp_path, "set_size")
    words = ["pipelines.stages.collect", "--results", results, "--title", "A study"]
    survives(stage, capsys, monkeypatch, tmp_path, writes, *words)


@pytest.mark.slow
def test_manifest(stage, capsys, monkeypatch, tmp_path):
    words = ["pipelines.stages.manifest", write_results(tmp_path, "set_size")]
    survives(stage, capsys, monkeypatch, tmp_path, 0, *words)


@pytest.mark.slow
def test_export(stage, capsys, monkeypatch, tmp_path):
    write_files(tmp_path)
    words = ["adabm", "export", "q.safetensors", "q.zip", "--engine", "onnx"]
    survives(stage, capsys, monkeypatch, tmp_path, 0, *words)


@pytest.mark.parametrize("writes", [0, 4])
def test_prepared_folders(stage, capsys, monkeypatch, tmp_path, writes):
    """The folder that is there stays as it is, and of the new one nothing."""
    write_downloads(tmp_path / "downloads")
    manifest = write_test_manifest(tmp_path / "manifest")
    words = ["pipelines.prepare.benchmarks", "--scale", "4", "--sets", "Set5", "--downloads", "downloads"]
    words += ["--manifest", manifest, "--output", "out", "--calibration-pictures"]
    assert stage(*words, "2") == 0
    before = contents(tmp_path)
    survives(stage, capsys, monkeypatch, tmp_path, writes, *words, "3")
    with monkeypatch.context() as patch:
        full_after(patch, writes)
        assert stage(*words, "2") == 1
    assert not list(tmp_path.glob("out.*")) and stage(*words, "2") == 0 and contents(tmp_path) == before


def test_no_room_for_the_marker(tmp_path, monkeypatch):
    """The first file of a new folder; deleting one needs no room."""
    out, write = tmp_path / "out", Path.write_text

    def full(path: Path, text: str) -> None:
        write(path, "")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with replaced_folder(out) as folder:
        (folder / "old").touch()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left on device: .*written-by-adabm"), replaced_folder(out):
        raise AssertionError("there is no folder to fill")
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (out / "old").is_file()
