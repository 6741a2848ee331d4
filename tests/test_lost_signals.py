"""Ctrl-C and SIGTERM end a study though code that ran when they came kept the exception to itself."""

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adabm.study import ResultCache, read_plan, run_plan
from adabm.study.running import scheduling
from adabm.study.running.executors import Workers
from adabm.support.process import as_command
from helpers.study_files import EFFORT, forget, part, write_study


class Swallowing(ThreadPoolExecutor):
    """Gets a signal while it takes its first task, and keeps the exception to itself."""

    def __init__(self, ending: signal.Signals) -> None:
        super().__init__(1)
        self.ending, self.taken = ending, 0

    def submit(self, *positional, **named) -> Future:
        self.taken += 1
        with suppress(BaseException):
            if self.taken == 1:
                os.kill(os.getpid(), self.ending)
        return super().submit(*positional, **named)


@pytest.fixture
def executor(request, monkeypatch):
    with Swallowing(request.param) as executor:

        @contextmanager
        def opened(_name, _request):
            yield Workers(executor, lambda: 1)

        monkeypatch.setattr(scheduling, "open_workers", opened)
        yield executor


def study(root: Path) -> None:
    cells = read_plan([part(settings=[], methods=[], sets=["First", "Second"])], root, EFFORT)
    run_plan(cells, EFFORT, ResultCache(root / "cache"), 1, "cpu")


@pytest.mark.parametrize("executor", [signal.SIGINT], indirect=True)
def test_a_lost_interrupt_ends_a_study(executor, tmp_path):
    forget()
    root = write_study(tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        study(root)
    assert executor.taken == 1 and before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("executor", [signal.SIGINT, signal.SIGTERM], indirect=True)
def test_the_status_of_a_command_tells_the_lost_signal(executor, tmp_path, capfd):
    forget()
    root = write_study(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert as_command("measure", lambda: study(root)) == 128 + executor.ending
    finally:
        signal.signal(signal.SIGINT, before)  # as_command is all that its process does
    assert executor.taken == 1 and "measure: interrupted; run it again" in capfd.readouterr().err


@pytest.mark.parametrize("executor", [signal.SIGTERM], indirect=True)
def test_sigterm_ends_a_study_of_a_program_that_does_not_take_it(executor, tmp_path):
    forget()
    root = write_study(tmp_path)
    with pytest.raises(SystemExit) as ended:
        study(root)
    assert ended.value.code == 143 and executor.taken == 1


@pytest.mark.parametrize("executor", [signal.SIGINT], indirect=True)
def test_a_handler_that_goes_on_is_let_go_on(executor, tmp_path):
    forget()
    root = write_study(tmp_path)
    noted = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        study(root)
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [signal.SIGINT] and executor.taken > 1
