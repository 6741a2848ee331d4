"""The sha256 of each file in a question's folder, in one small file that the stage ``collect`` depends on.

DVC takes no list of dependencies from parameters: the folder of these files stands for all questions, so that a new question
changes no stage. ``cd results/demo && sha256sum -c sums/*`` checks them.
"""

from pathlib import Path

from adabm.support.files import file_sha256, write_atomically


def write_sums(folder: Path, out: Path) -> None:
    """Write ``out``: a line a file of the folder, its sha256 and its path relative to the folder's parent."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{file_sha256(path)}  {path.relative_to(folder.parent).as_posix()}\n" for path in files]
    write_atomically(out, "".join(lines).encode())
