"""The manifest of a profile: the sha256 of every published file, and the code that they were made with."""

import csv
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import DataError
from ...support.files import read_bytes, read_text, write_atomically
from .file_hashes import sha256
from .history import code_state
from .provenance import ALL_CODE, answer_code
from .table_changes import sums_of

MANIFEST = "manifest.json"
_FORMAT = "adabm-manifest-1"


def write_manifest(results: Path) -> Path:
    """Write ``manifest.json`` into the results of a profile, of all its files that git would take; return its path.

    The same files and the same code give the same bytes.

    Raises:
        DataError: no such folder, or a file in it that is no table though its name says so.
    """
    if not results.is_dir():
        raise DataError(f"{results}: is no folder of results; run the pipeline first")
    files = published_files(results)
    content = {"format": _FORMAT, "files": {name: sha256(results / name) for name in files}}
    content["tables"] = {name: _sums(results / name) for name in files if name.endswith(".csv")}
    content |= code_state(ALL_CODE | answer_code())
    write_atomically(results / MANIFEST, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return results / MANIFEST


def _sums(table: Path) -> dict[str, object]:
    try:
        return sums_of(table.read_bytes())
    except (UnicodeDecodeError, csv.Error, StopIteration):
        raise DataError(f"{table}: is no CSV table; delete it, or run the stage that writes it again") from None


def read_manifest(results: Path) -> dict | None:
    """Return the manifest of a profile's results, or None where there is none.

    Raises:
        DataError: it is damaged.
    """
    if not os.path.lexists(results / MANIFEST):
        return None
    try:
        content = json.loads(read_text(results / MANIFEST))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{results / MANIFEST}: cannot be read ({error})") from None
    kinds = {"format": str, "files": dict, "tables": dict, "code_sha256": dict, "definitions": dict}
    if not isinstance(content, dict) or any(not isinstance(content.get(name), kind) for name, kind in kinds.items()):
        raise DataError(f"{results / MANIFEST}: is damaged")
    if not all(isinstance(digest, str) for digest in content["files"].values()):
        raise DataError(f"{results / MANIFEST}: is damaged (a sha256 that is no text)")
    if content["format"] != _FORMAT:
        raise DataError(f"{results / MANIFEST}: has the format {content['format']!r:.40}, not {_FORMAT!r}")
    return content


def read_sums(results: Path) -> dict[str, str]:
    """Return the sha256 of the files of each question, as ``sums/*.sha256`` list them; empty where there are none."""
    files = [path for path in sorted((results / "sums").glob("*.sha256")) if path.is_file()]
    lines = [line for path in files for line in read_bytes(path).decode(errors="replace").splitlines()]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def published_files(results: Path) -> list[str]:
    """Return the files of a profile's results but its manifest, relative to them; those that git ignores do not count."""
    files = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()} - {MANIFEST}
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-standard"],
            cwd=results,
            capture_output=True,
            check=True,
        )
        files -= set(done.stdout.decode("utf-8", "surrogateescape").split("\0"))
    except (OSError, subprocess.CalledProcessError):
        pass  # no git, no ignored files
    return sorted(files)


def differing_files(
    results: Path, expected: Mapping[str, str], hashed: Callable[[Path], str | None] = sha256
) -> dict[str, str]:
    """Return ``missing`` or ``changed`` for each expected file of a profile's results that is not as it was."""
    found = {}
    for name, digest in expected.items():
        if not os.path.isfile(results / name):  # which takes any name
            found[name] = "missing"
        elif hashed(results / name) != digest:
            found[name] = "changed"
    return found
