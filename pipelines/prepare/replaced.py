"""Folders that a stage replaces as a whole, and how it knows that nothing of the user's is deleted with them."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adabm.errors import DataError

MARKER = ".written-by-adabm"
_TEXT = "The pipeline wrote this folder and replaces it as a whole. Keep nothing of your own in it.\n"


@contextmanager
def replaced_folder(output: Path, earlier: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """Give a new folder to fill; it takes the place of ``output`` when the block ends without an error, and else goes.

    Args:
        output: does not exist, is empty, or is a folder that this function wrote: it then holds the file ``MARKER``.
        earlier: tells whether a version of this project that wrote no marker wrote a folder.

    Raises:
        DataError: ``output`` is something else; nothing is changed.
        OSError: it cannot be replaced.
    """
    output = output.resolve()  # a link keeps standing where the folder is replaced that it leads to
    _check(output, earlier)
    partial = output.with_name(output.name + ".partial")
    _check(partial, earlier)
    _delete(partial)
    replaced = output.with_name(output.name + ".replaced")
    try:
        partial.mkdir(parents=True)
        _mark(partial)
        yield partial
        _check(output, earlier)  # the block may have taken minutes
        # set aside first: a run that is killed on the way leaves the whole folder or none
        _check(replaced, earlier)
        _delete(replaced)
    except BaseException:
        with suppress(OSError):  # what ended the block is what is told
            _delete(partial)
        raise
    try:
        _exchange(output, partial, replaced)
    except KeyboardInterrupt:  # a moment, whatever it interrupted
        _exchange(output, partial, replaced)
        raise


def _mark(folder: Path) -> None:
    try:
        (folder / MARKER).write_text(_TEXT)
    except OSError as error:  # of a full disk, which names no file
        raise OSError(error.errno, error.strerror, str(folder / MARKER)) from error


def _exchange(output: Path, partial: Path, replaced: Path) -> None:
    """Go on from wherever an earlier call was interrupted."""
    if partial.exists():
        if output.exists():
            output.rename(replaced)
        partial.rename(output)
    _delete(replaced)


def files_below(folder: Path) -> set[str]:
    """Return the POSIX paths, relative to a folder, of what is no folder in it and all below."""
    found = ((Path(parent) / name).relative_to(folder) for parent, _, names in os.walk(folder) for name in names)
    return {path.as_posix() for path in found}


def _check(folder: Path, earlier: Callable[[Path], bool]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; name another one with --output")
    if (folder / MARKER).is_file() or not any(folder.iterdir()) or earlier(folder):
        return
    raise DataError(
        f"{folder}: holds files, and none called {MARKER} that tells that the pipeline wrote them; it would be replaced as "
        "a whole: delete it yourself if nothing in it is needed, or name another folder with --output"
    )


def _delete(folder: Path) -> None:
    """Delete a folder, the marker last: what a killed run leaves of it can be told, and deleted, by the next."""
    if not folder.exists():
        return
    (folder / MARKER).touch()  # that of an earlier version has none; its text would not go on a full disk
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
    (folder / MARKER).unlink()
    folder.rmdir()
