"""Are the published files of a profile, and what pages show of them, still those that its manifest names?"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

from ...errors import DataError
from ...support.files import read_bytes, read_text, real
from ...validation import shown as told
from .file_hashes import sha256
from .findings import AGAIN, NOTE, PROBLEM, WARNING, Finding, Hashed, Judged
from .manifest import MANIFEST, differing_files, published_files, read_manifest, read_sums
from .table_changes import tell_changes

_NAMED = 3  # files named with a manifest that is not the committed one

# What stands between <!-- marker:start --> and <!-- marker:end --> of a page: all of a file (None), or rows of the first
# table below a heading of it.
SHOWN = {
    ("README.md", "short"): ("results/demo/report/evaluation.md", "### edsr_f32b8_x4, demo-photos"),
    ("docs/results.md", "results"): ("results/demo/report/evaluation.md", None),
    ("docs/results.md", "reference"): ("results/paper/report/reference.md", None),
    ("docs/results.md", "comparison"): ("results/paper/report/comparison.md", None),
    ("docs/results.md", "networks"): ("results/paper/report/networks.md", None),
    ("docs/results.md", "answers"): ("results/paper/report/answers.md", None),
    ("docs/engines.md", "speed"): ("results/speed/engines/README.md", "## Speed"),
    ("docs/engines.md", "equality"): ("results/speed/engines/README.md", "## Equality"),
    ("docs/engines.md", "quantizing"): (
        "results/speed/quantizing/README.md",
        "# Quantizing: speed and memory against the released algorithm",
    ),
}


@dataclass(frozen=True)
class Published(Judged):
    """What was found about the files of a profile, or about pages; verified unless there is a problem.

    Attributes:
        place: folder of the profile's results, or the page.
        compared: how many files or marked parts were compared.
    """

    place: Path
    compared: int
    findings: tuple[Finding, ...] = ()


def verify_files(
    results: Path, root: Path, below: Sequence[Path], hashed: Hashed = sha256, regenerated: bool = False
) -> Published:
    """Compare the files of a profile's results with its manifest or, where there is none, with the sums of its questions.

    Args:
        root: of the repository.
        below: folders to which the comparison is restricted.
        regenerated: a manifest that differs from the committed one is a warning only.
    """
    try:
        manifest = read_manifest(results)
    except DataError as error:
        return Published(
            results, 0, (Finding("manifest", PROBLEM, str(error), f"restore it (git checkout), or {AGAIN}"),)
        )
    expected = manifest["files"] if manifest is not None else read_sums(results)
    inside = [real(folder) for folder in below]
    # by its name, not by where it leads: a file that became a link to another place is still a published one
    concerned = lambda name: any(Path(os.path.normpath(real(results) / name)).is_relative_to(f) for f in inside)
    found = [*_manifest(results, root, manifest, regenerated), *_elsewhere(results, expected)]
    expected = {name: digest for name, digest in expected.items() if concerned(name)}
    for name, how in differing_files(results, expected, hashed).items():
        path = results / name
        what = (
            f"{_relative(path, root)} is missing"
            if how == "missing"
            else f"{_relative(path, root)} is not the published one"
        )
        if how == "changed" and name.endswith(".csv"):
            sums = manifest["tables"].get(name) if manifest is not None else None
            cells = tell_changes(path, root, expected[name], sums)
            what += f": {cells}" if cells else ""
        found.append(Finding("file", PROBLEM, what, f"restore it (git checkout), or {AGAIN}"))
    if manifest is not None:
        for name in published_files(results):
            if name not in manifest["files"] and concerned(name):
                found.append(Finding("file", WARNING, f"{_relative(results / name, root)} is not in {MANIFEST}"))
    return Published(results, len(expected), tuple(found))


def verify_pages(root: Path, below: Sequence[Path]) -> list[Published]:
    """Compare what pages of the repository show between their markers with the results that they show.

    Args:
        below: only what stands in these folders of results is compared.
    """
    pages: dict[str, list[list[Finding]]] = {}
    for (page, marker), (name, section) in SHOWN.items():
        inside = any(real(root / name).is_relative_to(real(folder)) for folder in below)
        if inside and ((root / page).is_file() or _committed(root, page) is not None):
            pages.setdefault(page, []).append([*_page(root, page, marker, name, section)])
    return [
        Published(root / page, len(parts), tuple(f for part in parts for f in part)) for page, parts in pages.items()
    ]


def _manifest(results: Path, root: Path, manifest: Mapping | None, regenerated: bool) -> Iterator[Finding]:
    """Compare the manifest with the committed one: else table, provenance and manifest could be changed together."""
    path, there = results / MANIFEST, manifest is not None
    shown = _relative(path, root)
    committed = _committed(root, shown)
    if not there and committed is not None:
        yield Finding("manifest", PROBLEM, f"{shown} is missing", f"restore it (git checkout), or {AGAIN}")
    elif not there:
        what = f"{shown} is absent: the report is not compared, nor whether tables were changed together with their provenance"
        yield Finding("manifest", WARNING, what, f"python -m pipelines.stages.manifest {_relative(results, root)}")
    elif committed is None:
        what = f"git has no {shown} to compare it with; results that were changed together with it are not noticed"
        yield Finding("manifest", NOTE, what)
    elif committed != read_bytes(path):
        what = f"{shown} is not the committed one{_other_sums(manifest, committed)}"
        remedy = "restore it (git checkout), or commit what was made anew; until then --regenerated takes it as it is"
        yield Finding("manifest", WARNING if regenerated else PROBLEM, what, remedy)


def _other_sums(manifest: Mapping, committed: bytes) -> str:
    """Name the files that a manifest and the committed one do not agree upon."""
    try:
        before = dict(json.loads(committed)["files"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    names = sorted(name for name in {*before, *manifest["files"]} if before.get(name) != manifest["files"].get(name))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f": it has other sums of {', '.join(map(told, names[:_NAMED]))}{more}" if names else ""


def _elsewhere(results: Path, names: Iterable[str]) -> Iterator[Finding]:
    """What no manifest of a profile names: a place outside of it."""
    for name in names:
        if os.path.isabs(name) or os.path.normpath(name).split("/")[0] in (".", "..") or "\0" in name:
            yield Finding(
                "manifest", PROBLEM, f"{MANIFEST} names {told(name)}, which is no file of the profile", "make it anew"
            )


def _page(root: Path, page: str, marker: str, name: str, section: str | None) -> Iterator[Finding]:
    remedy = f"restore {page} or {name}, or show the one in the other again"
    try:
        text = read_text(root / page)
    except FileNotFoundError:
        yield Finding("page", PROBLEM, f"{page} is missing", f"restore it (git checkout {page})")
        return
    except (OSError, UnicodeDecodeError):
        yield Finding("page", PROBLEM, f"{page} cannot be read as text", remedy)
        return
    parts = list(re.finditer(rf"<!-- {marker}:start -->\n(.*?)<!-- {marker}:end -->", text, re.DOTALL))
    if len(parts) > 1:
        yield Finding(
            "page",
            PROBLEM,
            f"{page} has {len(parts)} parts between the markers {marker}:start and {marker}:end",
            remedy,
        )
        return
    match = parts[0] if parts else None
    if match is None:
        yield Finding(
            "page", PROBLEM, f"{page} has no part between the markers {marker}:start and {marker}:end", remedy
        )
        return
    shown = match.group(1)
    try:
        source = read_text(root / name)
    except (OSError, UnicodeDecodeError):
        yield Finding("page", PROBLEM, f"{name}, which {page} shows, is missing or damaged", remedy)
        return
    if not (line := _foreign(shown, source, section)):
        return
    committed = _committed(root, name)
    if committed is not None and not _foreign(shown, committed.decode("utf-8", "replace"), section):
        yield Finding("page", NOTE, f"{page} ({marker}) shows the committed {name}, which was made anew since")
        return
    number = text[: match.start(1)].count("\n") + line
    below = f" below {section!r}" if section is not None else ""
    yield Finding("page", PROBLEM, f"{page}, line {number} ({marker}), is not what {name} says{below}", remedy)


def _foreign(shown: str, source: str, section: str | None) -> int:
    """Return the number of the first line of ``shown`` that is not the source's, from 1; 0 where all are.

    Args:
        section: heading of the table that rows are shown of; None: the whole source is shown.
    """
    lines, expected = shown.splitlines(), source.splitlines()
    if section is not None:  # its head and some rows, in their order
        head, *rows = _table_below(section, expected) or [""]
        rest, (first, *others) = iter(rows), lines or [""]
        if first != head or not head:
            return 1
        return next((number for number, line in enumerate(others, 2) if line not in rest), 0)
    pairs = zip(lines, expected)
    first = next((number for number, (line, other) in enumerate(pairs, 1) if line != other), 0)
    return first or (min(len(lines), len(expected)) + 1 if len(lines) != len(expected) else 0)


def _table_below(heading: str, lines: Sequence[str]) -> list[str]:
    """The first table between a heading and the next one; empty where there is none."""
    if heading not in lines:
        return []
    section = takewhile(lambda line: not line.startswith("#"), lines[lines.index(heading) + 1 :])
    return [*takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), section))]


def _committed(root: Path, name: str) -> bytes | None:
    try:
        return subprocess.run(["git", "show", f"HEAD:./{name}"], cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def committed_below(folder: Path, root: Path, name: str) -> list[Path]:
    """Return where files of a name lie below a folder in the commit that is checked out; nowhere where there is no git."""
    words = ["git", "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", f"{_relative(real(folder), root)}/"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    paths = [root / path for path in done.stdout.decode("utf-8", "surrogateescape").split("\0")]
    return [path for path in paths if path.name == name]


def _relative(path: Path, root: Path) -> str:
    path, root = real(path.parent) / path.name, real(root)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
