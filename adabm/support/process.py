"""How the process of a command begins and ends: signals, standard streams that are closed or full, its exit status."""

import _thread
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..errors import one_line

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)  # the last where a job's seconds are used up
FULL = (errno.ENOSPC, errno.EDQUOT)  # of errors where a disk, or what a user may have of it, is full
_AGAIN_S = 0.05  # after which a signal is sent again whose exception was lost
_PATIENCE_S = 2  # in which a further signal does not disturb the unwinding that the first one began


class Interrupted(KeyboardInterrupt):
    """The process was asked to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def unwinding() -> Iterator[Callable[[], int | None]]:
    """Inside, SIGINT, SIGTERM, SIGHUP and SIGXCPU raise :class:`Interrupted`, so that nothing half-written or temporary is left.

    One that is raised where there is nothing to raise it to, such as while an object is freed, is raised again a moment later.
    What was ignored stays ignored (``nohup``). Only the main thread can take signals; elsewhere nothing changes.

    Yields:
        A function that tells the exit status that a signal asked for, None without one: libraries turn the exception
        into another one at times, such as an ImportError.
    """
    asked: list[tuple[int, float]] = []

    def ask(number: int, _frame: object) -> None:
        now = time.monotonic()
        if asked and now - asked[-1][1] < _PATIENCE_S:
            return
        asked.append((number, now))
        raise Interrupted(number)

    again: list[threading.Timer] = []
    hook = sys.unraisablehook

    def lost(told: "sys.UnraisableHookArgs") -> None:
        if not (asked and isinstance(told.exc_value, Interrupted)):
            hook(told)
            return
        number, _ = asked.pop()
        again.append(threading.Timer(_AGAIN_S, _thread.interrupt_main, [number]))
        again[-1].start()

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, ask)
        if before:
            sys.unraisablehook = lost
        yield lambda: 128 + asked[0][0] if asked else None
    finally:
        for timer in again:
            timer.cancel()
        if before:
            sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def of_the_system(error: Exception) -> str | None:
    """Tell an error of the system in one line, and of a full disk what to do; None: another kind of error."""
    if not isinstance(error, OSError):
        return None
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        reason += "; make room and run it again"
    if reason == os.strerror(errno.EFBIG):
        reason += " for what this process may write (ulimit -f) or its disk holds; raise the limit and run it again"
    return one_line(reason if error.filename is None else f"{error.filename}: {reason}")


def plain(error: Exception) -> str:
    """Return an expected error as one line, those of the system with the name of the file first."""
    return of_the_system(error) or str(error)


def as_command(name: str, main: Callable[[], int | None], kept: str = "run it again") -> int:
    """Carry out ``main`` as all that this process does, and return its exit status; see :func:`ended`."""
    leave_imports()
    open_closed_streams()
    return ended(name, main, kept)


def ended(
    name: str,
    main: Callable[[], int | None],
    kept: str = "",
    explain: Callable[[Exception], str | None] = of_the_system,
) -> int:
    """Return the exit status of a command, however it ends; what ends it early is told in one line at most.

    128 + the number of a signal (see :func:`unwinding`), 141 where nobody reads standard output any more, 2 for an error.

    Args:
        name: begins each line.
        kept: what an interrupted run leaves, or the user may do, behind "interrupted; ".
        explain: tells an error in one line; None: it is raised.
    """
    with unwinding() as asked:
        try:
            return _status(main)
        except BaseException as error:
            status, line = _ending(error, asked(), kept, explain)
            if status is None:
                raise
            if line:
                tell(f"{name}: {line}")
            return status
        finally:
            _flush_or_forget()


def _status(main: Callable[[], int | None]) -> int:
    try:
        status = main() or 0
    except SystemExit as stop:  # argparse has printed help, the version or what is wrong
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    with naming_standard_output():
        if sys.stdout is not None:
            sys.stdout.flush()
    return status


def _ending(
    error: BaseException, asked: int | None, kept: str, explain: Callable[[Exception], str | None]
) -> tuple[int | None, str | None]:
    """Exit status and line of what ended a command; no status where that is unknown."""
    if asked is not None or isinstance(error, KeyboardInterrupt):
        return asked or getattr(error, "status", 130), f"interrupted; {kept}" if kept else "interrupted"
    if isinstance(error, BrokenPipeError):
        return 141, None  # what a shell reports for a command that SIGPIPE ended
    line = explain(error)
    return None if line is None else 2, line


def leave_imports() -> None:
    """Until a command begins nothing is written: let Ctrl-C end the process as the system does, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def naming_standard_output() -> Iterator[None]:
    """Let an error of the system, such as a full device, name standard output, which has no file name."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def tell(line: str) -> None:
    """Print on standard error; where that cannot be written, nobody is there to be told."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def open_closed_streams() -> None:
    """Let streams that are closed (``>&-``) lead nowhere: the first files that are opened would take their places."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold any bytes


def _flush_or_forget() -> None:
    """Let the interpreter's last flush go nowhere instead of failing again on a closed pipe or a full device."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
