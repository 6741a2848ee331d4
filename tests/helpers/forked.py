"""Processes that are forked from one which has imported torch and what comes with it, so that a start costs no seconds of imports.

Nothing of this package is imported there, and nothing else was done: a process goes on as a fresh one would.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch._dynamo", "torchvision", "basicsr", "cv2", "pandas", "scipy.ndimage"])


class Forked:
    """``python -m MODULE WORDS`` in a folder and a process group of its own; handled as one of :mod:`subprocess`.

    Processes that it starts with :mod:`multiprocessing` are forked, too.

    Args:
        folder: the working directory; what is printed goes into files of it.
        variables: of the environment, besides those that there are.
    """

    def __init__(self, folder: Path, module: str, *words: object, **variables: str) -> None:
        self._files = [folder / "stdout.txt", folder / "stderr.txt"]
        for file in self._files:
            file.unlink(missing_ok=True)
        words, variables = [str(word) for word in words], {**os.environ, **variables}
        self._process = CONTEXT.Process(target=_carry_out, args=(folder, self._files, module, words, variables))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    @property
    def begun(self) -> bool:
        """Whether the command was reached, and not only what is before it in a forked process."""
        return self._files[1].exists()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, number)

    def communicate(self, seconds: float | None = None) -> tuple[str, str]:
        """Wait for its end; return what it printed on standard output and standard error."""
        self._process.join(seconds)
        out, errors = (file.read_text() if file.exists() else "" for file in self._files)
        assert self.returncode is not None, f"has not ended: {errors[-3000:]}"
        return out, errors


def _carry_out(folder: Path, files: list[Path], module: str, words: list[str], variables: dict[str, str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.setpgid(0, 0)
    os.environ.clear()  # those of the process that all are forked from
    os.environ.update(variables)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command itself takes it
    # where the process that all are forked from was started by an executor of a test, which keeps Ctrl-C from its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for file, stream in zip(files, (sys.stdout, sys.stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), stream.fileno())
    sys.argv = [module, *words]
    sys.path[:0] = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    context = _OfGroup(os.getpid())
    multiprocessing.get_context = lambda method=None: context
    forkserver._forkserver.ensure_running = lambda: None  # that of the tests is; Python would start another one here
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class _OfGroup(ForkServerContext):
    """Makes processes that join a process group, as those do that a process starts itself."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self._group = group

    def Process(self, *positional, **named) -> multiprocessing.Process:
        return _Joining(self._group, *positional, **named)


class _Joining(CONTEXT.Process):
    def __init__(self, group: int, *positional, **named) -> None:
        super().__init__(*positional, **named)
        self._joined = group

    def run(self) -> None:
        with suppress(OSError):  # its processes have ended
            os.setpgid(0, self._joined)
        super().run()


def fork_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes be forked here that would be spawned, and would import torch."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: CONTEXT)
