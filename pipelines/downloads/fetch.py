"""Download published data sets and weights, resume and verify them: ``python -m pipelines.downloads.fetch ID [ID ...]``.

Every file is looked for in the folders that ADABM_MIRROR names (separated by colons), then at its public addresses. The
download folder has the layout of a mirror, so copying it to another machine serves there as ADABM_MIRROR.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pooch
from tqdm import tqdm

from adabm.errors import DataError, one_line
from adabm.support.arguments import Parser
from adabm.support.files import file_sha256
from adabm.support.process import as_command

from .acquire import STAGING, Acquired, Transfers, staging
from .sources import MANIFEST, Source, SourceFile, read_sources, select_sources

DOWNLOADS = Path("data/downloads")
_SHOWN = 2  # missing files of a source that an error describes


class MissingError(DataError):
    """Files could not be had; the message has lines of its own for each file and place."""

    def __str__(self) -> str:
        return "\n".join(one_line(line) for line in str(self.args[0]).split("\n"))


def mirrors_from_environment() -> list[Path]:
    """Return the folders that ADABM_MIRROR names.

    Raises:
        DataError: one of them is no folder.
    """
    folders = [Path(p).expanduser() for p in os.environ.get("ADABM_MIRROR", "").split(os.pathsep) if p]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"ADABM_MIRROR names {folder}, which is no folder")
    return folders


def fetch(
    ids: str | Iterable[str],
    downloads: str | Path = DOWNLOADS,
    *,
    mirrors: Sequence[Path] | None = None,
    offline: bool = False,
    jobs: int = 4,
    sources: dict[str, Source] | None = None,
    timeout: tuple[float, float] | None = None,
    say: Callable[[str], None] = lambda line: tqdm.write(line, file=sys.stderr),
) -> dict[str, Path]:
    """Bring sources into ``downloads``, all files verified; return by id where each lies.

    Args:
        ids: one or more entries of the manifest.
        mirrors: folders to look into first; None: those of ADABM_MIRROR.
        offline: use mirrors alone.
        jobs: files to fetch at once.
        sources: another manifest's content; None: that of ``data/sources.yaml``.
        timeout: seconds to wait for a connection, and for the next bytes; None: as :class:`Transfers` says.
        say: receives lines on what was done and on damaged copies.

    Returns:
        For each id, the file of a one-file source, else the folder that holds its files.

    Raises:
        DataError: an unknown id, a disk without room, or files that could not be had: which, why, and where to put them by hand.
        OSError: the download folder cannot be read or written; files that are complete stay.
    """
    chosen = select_sources(read_sources() if sources is None else sources, ids)
    mirrors = mirrors_from_environment() if mirrors is None else list(mirrors)
    downloads, guard = Path(downloads), threading.Lock()
    files = {file.path: file for source in chosen for file in source.files}
    pooch.get_logger().setLevel("WARNING")  # it tells of every file
    with _progress_bar(sum(source.size for source in chosen)) as bar:

        def progress(count: int) -> None:
            with guard:
                bar.total = max(bar.total, bar.n + count)  # not every size is known beforehand
                bar.update(count)

        transfers = Transfers(
            downloads, mirrors, offline, progress, **({} if timeout is None else {"timeout": timeout})
        )
        done = {path: transfers.find(file) for path, file in files.items()}
        lacking = [files[path] for path, result in done.items() if result.origin is None]
        if lacking:
            _check_room(downloads, sum(file.size or 0 for file in lacking))
        if lacking or (downloads / STAGING).exists():
            with staging(downloads):
                for result in _run(transfers, lacking, jobs):
                    done[result.file.path] = result
    for result in done.values():
        for warning in result.warnings:
            say(f"warning: {warning}")
    missing = {}
    for source in chosen:
        results = [done[file.path] for file in source.files]
        say(_summary(source, results, source.location(downloads)))
        for result in results:
            if result.origin == "download" and len(result.file.sha256) < 64:
                found = file_sha256(downloads / result.file.path)
                say(f"{result.file.name}: only {result.file.sha256}... of its sha256 is published; it is {found}")
        missing[source.id] = [result for result in results if result.origin is None]
    if any(missing.values()):
        raise MissingError(_describe(missing, downloads, mirrors, offline))
    return {source.id: source.location(downloads) for source in chosen}


def _check_room(downloads: Path, size: int) -> None:
    there = next(folder for folder in (downloads.absolute(), *downloads.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < size:
        raise DataError(
            f"{downloads}: {size / 1e6:.1f} MB are lacking, but only {free / 1e6:.1f} MB are free there; make room, "
            "or name another folder with --downloads"
        )


def _run(transfers: Transfers, files: list[SourceFile], jobs: int) -> Iterator[Acquired]:
    """Yield results as they come; the threads of this pool die with the process, even where a server is silent."""
    with ThreadPool(jobs) as pool:
        try:
            yield from pool.imap_unordered(transfers.acquire, files)
        finally:
            transfers.stop.set()


def _progress_bar(total: int) -> tqdm:
    """A bar on a terminal; elsewhere, such as in a log, one line every ten seconds."""
    options = dict(total=total, unit="B", unit_scale=True, desc="fetch", leave=False)
    if sys.stderr.isatty():
        return tqdm(**options)
    return tqdm(**options, file=_Lines(), mininterval=10.0, maxinterval=30.0, ncols=90, ascii=True, delay=1.0)


class _Lines:
    """Standard error for a progress bar that cannot go back to the beginning of its line."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def _summary(source: Source, results: list[Acquired], place: Path) -> str:
    counts = {origin: sum(r.origin == origin for r in results) for origin in ("present", "mirror", "download", None)}
    words = {"present": "present", "mirror": "from a mirror", "download": "downloaded", None: "MISSING"}
    parts = ", ".join(f"{count} {words[origin]}" for origin, count in counts.items() if count)
    size = f", {source.size / 1e6:.1f} MB" if source.size else ""
    return f"{source.id}: {len(results)} file{'s' * (len(results) > 1)}{size} ({parts}) in {place}"


def _describe(missing: dict[str, list[Acquired]], downloads: Path, mirrors: Sequence[Path], offline: bool) -> str:
    lines = []
    for name, results in missing.items():
        if not results:
            continue
        lines.append(f"{name}: {len(results)} file{'s' * (len(results) > 1)} could not be had")
        for result in results[:_SHOWN]:
            file = result.file
            size = "" if file.size is None else f", {file.size} bytes"
            begins = "" if len(file.sha256) == 64 else "..."
            lines.append(f"  {file.name} (sha256 {file.sha256}{begins}{size})")
            lines += [f"    tried {line}" for line in result.tried]
            if offline:
                lines += [f"    not tried, being offline: {url}" for url in file.urls]
            lines.append("    put it at " + " or ".join(str(folder / file.path) for folder in (downloads, *mirrors)))
        if len(results) > _SHOWN:
            lines.append(
                f"  and {len(results) - _SHOWN} more: `python -m pipelines.downloads.fetch --list {name}` names all"
            )
    if not mirrors:
        lines.append("No mirror was given: ADABM_MIRROR=DIR names a folder that holds such files under the same paths.")
    lines.append("Then run the same command again: what is complete is not fetched twice.")
    return "\n".join(lines)


def _list(sources: dict[str, Source], ids: list[str]) -> None:
    if not ids:
        width = max(map(len, sources))
        for source in sources.values():
            size = f"{source.size / 1e6:7.1f} MB" if source.size else " " * 10
            print(f"{source.id:{width}}  {len(source.files):3} files {size}  {source.title} [{source.licence}]")
    for source in select_sources(sources, ids):
        for file in source.files:
            print(f"{file.sha256}  {'-' if file.size is None else file.size}  {file.path}", *file.urls, sep="\n  ")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("ids", nargs="*", metavar="ID", help="entries of data/sources.yaml")
    parser.add_argument("--all", action="store_true", help="every entry (several GB)")
    parser.add_argument("--list", action="store_true", help="list all entries, or the files of the given ones")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    parser.add_argument("--downloads", type=Path, default=DOWNLOADS, help=f"folder to download to ({DOWNLOADS})")
    parser.add_argument("--offline", action="store_true", help="use the folders of ADABM_MIRROR alone")
    parser.add_argument("--jobs", type=int, default=4, help="files to fetch at once (4)")
    args = parser.parse_args(arguments)
    if not (args.ids or args.all or args.list):
        parser.error("name at least one ID, or --all; --list shows what there is")
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs} must be at least 1")
    try:
        sources = read_sources(args.manifest)
        if args.list:
            _list(sources, args.ids)
            return 0
        ids = list(sources) if args.all else args.ids
        fetch(ids, args.downloads, offline=args.offline, jobs=args.jobs, sources=sources)
    except DataError as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # nobody reads the list
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}"
        print(f"fetch: {what}; complete files stay, run the same command again", file=sys.stderr)
        return 1
    return 0


def command() -> int:
    """Carry out :func:`main` as all that this process does."""
    return as_command("fetch", main, "complete files stay, run the same command again to go on")


if __name__ == "__main__":
    sys.exit(command())
