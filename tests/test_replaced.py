"""Folders that are replaced as a whole: those that the pipeline wrote, and no others."""

import os
import re
from pathlib import Path

import pytest

from adabm.errors import DataError
from adabm.pictures.reading import EXTENSIONS
from pipelines.prepare.replaced import MARKER, replaced_folder


def write(output: Path, name: str) -> None:
    with replaced_folder(output) as folder:
        (folder / name).touch()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_nothing_an_empty_folder_and_its_own_are_replaced(tmp_path):
    for name in ("first", "second"):
        write(tmp_path / "new" / "out", name)
        assert names(tmp_path / "new" / "out") == {MARKER, name}
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "a")
    assert names(tmp_path) == {"new", "empty"} and names(tmp_path / "empty") == {MARKER, "a"}


def test_the_marker_is_always_the_same_and_no_picture(tmp_path):
    write(tmp_path / "a", "x")
    write(tmp_path / "b", "y")
    assert (tmp_path / "a" / MARKER).read_bytes() == (tmp_path / "b" / MARKER).read_bytes()
    assert Path(MARKER).suffix not in EXTENSIONS


@pytest.mark.parametrize("which", ["out", "out.partial"])
def test_a_folder_of_the_user_is_refused_and_stays(tmp_path, which):
    mine = tmp_path / which / "thesis" / "final.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / which}: holds files, and none called {MARKER}")):
        write(tmp_path / "out", "a")
    assert mine.read_text() == "years of work" and names(tmp_path) == {which}


def test_what_the_user_put_there_meanwhile_stays(tmp_path):
    with pytest.raises(DataError, match="holds files"), replaced_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
    assert names(tmp_path / "out") == {"mine"}


def test_a_file_and_the_root_are_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out: is no folder; name another one"):
        write(tmp_path / "out", "a")
    with pytest.raises(DataError, match="^/: holds files"):
        write(Path("/"), "a")


def test_a_link_keeps_standing(tmp_path):
    (tmp_path / "disk").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "out")
    write(tmp_path / "out", "a")
    assert (tmp_path / "out").is_symlink() and names(tmp_path / "disk") == {MARKER, "a"}


def test_a_failure_leaves_what_was_there_and_the_next_run_goes_on(tmp_path):
    write(tmp_path / "out", "first")
    with pytest.raises(ZeroDivisionError), replaced_folder(tmp_path / "out"):
        raise ZeroDivisionError
    assert names(tmp_path / "out") == {MARKER, "first"}
    write(tmp_path / "out", "second")
    assert names(tmp_path / "out") == {MARKER, "second"} and names(tmp_path) == {"out"}
