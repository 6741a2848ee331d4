"""How commands end: by signals, on closed and full standard streams; one line and an exit status that tells."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adabm.cli import main
from adabm.support.process import Interrupted, ended, unwinding

ROOT = Path(__file__).parents[1]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGXCPU: 152}


@pytest.fixture(autouse=True)
def hangup():
    """As a terminal leaves it: ``nohup`` ignores SIGHUP, which the tests may have been started with."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def raising(error: BaseException):
    def command():
        raise error

    return command


def sent(number: int) -> None:
    signal.raise_signal(number)  # to this thread: os.kill may choose another, which takes it later


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (raising(SystemExit(2)), 2, ""),
        (raising(SystemExit()), 0, ""),
        (raising(KeyboardInterrupt()), 130, "x: interrupted; run it again\n"),
        (raising(BrokenPipeError()), 141, ""),
        (
            raising(OSError(27, "File too large", "a")),
            2,
            "x: a: File too large for what this process may write (ulimit -f) or its disk holds; raise the limit and run it again\n",
        ),
        (
            raising(OSError(28, "No space left on device", "a\nb")),
            2,
            "x: a\\nb: No space left on device; make room and run it again\n",
        ),
        (
            raising(OSError(28, "No space left on device")),
            2,
            "x: No space left on device; make room and run it again\n",
        ),
        *[(lambda n=n: sent(n), status, "x: interrupted; run it again\n") for n, status in SIGNALS.items()],
    ],
)
def test_statuses(capsys, command, status, line):
    before = [signal.getsignal(number) for number in SIGNALS]
    assert ended("x", command, "run it again") == status
    assert capsys.readouterr().err == line
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_defect_is_raised():
    with pytest.raises(ZeroDivisionError):
        ended("x", lambda: 1 / 0)


def test_a_signal_that_became_another_error_on_the_way(capsys):
    """As a library makes an ImportError of what interrupts its import."""

    def command():
        try:
            sent(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("no such module") from None

    assert ended("x", command) == 143 and capsys.readouterr().err == "x: interrupted\n"


def test_a_signal_while_an_object_is_freed(capsys):
    """Python has nothing to raise its exception to, and would go on."""

    class Freed:
        def __del__(self) -> None:
            sent(signal.SIGTERM)

    def command():
        freed = Freed()
        del freed
        for _ in range(10_000):
            time.sleep(0.001)

    before = sys.unraisablehook
    assert ended("x", command) == 143 and capsys.readouterr().err == "x: interrupted\n"
    assert sys.unraisablehook is before


def test_further_signals_do_not_disturb_the_unwinding():
    with unwinding() as asked, pytest.raises(Interrupted):
        try:
            sent(signal.SIGHUP)
        finally:
            sent(signal.SIGTERM)
            assert asked() == 129


def test_what_is_ignored_stays_so():
    """``nohup`` ignores SIGHUP, a shell SIGINT in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ended("x", lambda: sent(signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


PROGRAM = """
import os, subprocess, sys
from adabm.support.process import as_command

def main():
    with open("out", "wb", buffering=0) as file:
        os.write(1, b"told by a library")
        os.write(2, b"told by a library")
        print("told")
        print("told", file=sys.stderr)
        file.write(b"right")
    assert subprocess.run([sys.executable, "-c", "import sys; sys.exit(None in (sys.stdin, sys.stdout))"]).returncode == 0

sys.exit(as_command("x", main))
"""


@pytest.mark.parametrize(
    ("streams", "status", "told"),
    [
        ("<&- >&- 2>&-", 0, ""),
        (">&-", 0, "told by a librarytold\n"),
        (">/dev/full", 2, "x: No space left on device; make room and run it again\n"),
        (">out.txt 2>/dev/full", 2, ""),
    ],
)
def test_closed_and_full_streams(tmp_path, streams, status, told):
    """What is written to them never gets into a file that was opened in their place."""
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {streams}', sys.executable, PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status and done.stderr == told
    assert (tmp_path / "out").read_bytes() == (b"right" if status == 0 else b"")


@pytest.mark.parametrize("words", [["--help"], ["recipes", "--json"], ["recipes"]])
def test_the_command_line_on_a_full_device(monkeypatch, capsys, words):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(words) == 2
        monkeypatch.undo()
        assert (
            capsys.readouterr().err
            == "adabm: error: standard output: No space left on device; make room and run it again\n"
        )
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_notes_on_a_full_device_end_nothing(monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr("sys.stderr", full)
        assert main(["info", "nowhere"]) == 2
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
