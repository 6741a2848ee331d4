"""Read ``data/sources.yaml``: what published data sets and weights consist of and where they are."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from adabm.errors import DataError
from adabm.support.yaml_files import read_yaml

from .uses import BACKBONE_KEYS, SET_KEYS, Backbone, PictureSet, find_use, read_backbone, read_set

MANIFEST = Path(__file__).parents[2] / "data" / "sources.yaml"
KINDS = ("dataset", "weights")
_REQUIRED = ("kind", "title", "licence", "citation")
_OPTIONAL = ("notes", "repository", "commit", "folder", "urls", *SET_KEYS, *BACKBONE_KEYS)
_PREFIX_DIGITS = 8  # what publishers put into file names


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: where it lies below the download folder or a mirror; POSIX, relative.
        urls: its addresses, to be tried in this order.
        sha256: the checksum, or the first eight or more digits of it where no more is published.
        size: bytes; None where it is not known.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None

    def __post_init__(self) -> None:
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or not pure.name:
            raise DataError(f"path {self.path!r} must be relative and lead into the download folder")
        if not re.fullmatch(rf"[0-9a-f]{{{_PREFIX_DIGITS},64}}", self.sha256):
            raise DataError(f"{self.path}: sha256 {self.sha256!r} must be {_PREFIX_DIGITS} to 64 lower-case hex digits")
        if self.size is not None and self.size < 0:
            raise DataError(f"{self.path}: size {self.size} is negative")

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Source:
    """A data set or weight file: an entry of the manifest with all of its files, and what the study uses it for."""

    id: str
    kind: str
    title: str
    licence: str
    citation: str
    notes: str
    folder: str
    files: tuple[SourceFile, ...]
    pictures: PictureSet | None = None
    backbone: Backbone | None = None

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    def location(self, root: str | Path) -> Path:
        """Return the file of a one-file source, else the folder that holds its files, below ``root``."""
        return Path(root) / (self.files[0].path if len(self.files) == 1 else self.folder)


def read_sources(manifest: str | Path = MANIFEST) -> dict[str, Source]:
    """Read a manifest and, from ``checksums/`` beside it, the lists of files.

    Raises:
        DataError: naming the entry at fault and what to change.
    """
    manifest = Path(manifest)
    content = read_manifest(manifest)
    sources = {}
    for name, entry in content["sources"].items():
        try:
            sources[name] = _read_entry(str(name), entry, content.get("github") or [], manifest.parent / "checksums")
        except DataError as error:
            raise DataError(f"{manifest}: entry {name}: {error}") from None
    _check_names(manifest, sources)
    return sources


def read_manifest(manifest: Path) -> dict:
    """Return what a manifest says, unchecked but for its mapping ``sources``.

    Raises:
        DataError: it cannot be read, or has none.
    """
    content = read_yaml(manifest, DataError)
    if not isinstance(content, dict) or not isinstance(content.get("sources"), dict):
        raise DataError(f"{manifest}: needs the mapping 'sources'")
    return content


def picture_sets(sources: dict[str, Source], use: str, scale: int) -> dict[str, Source]:
    """Return by the name of the set the sources of all sets of a use that are there at a scale."""
    return {
        s.pictures.name: s
        for s in sources.values()
        if s.pictures is not None and s.pictures.use == use and scale in s.pictures.scales
    }


def select_set(sources: dict[str, Source], use: str, name: str, scale: int) -> Source:
    """Return the source of a set at a scale.

    Raises:
        DataError: an unknown set (the nearest name is told), of another use, or not there at this scale.
    """
    scales: dict[str, list[int]] = {}
    for pictures in (source.pictures for source in sources.values() if source.pictures is not None):
        if pictures.use == use:
            scales.setdefault(pictures.name, []).extend(pictures.scales)
        elif pictures.name == name:
            raise DataError(f"{name} is a set for {pictures.use}, not for {use}")
    found = find_use(f"{use} set", name, scales)
    if scale not in found:
        raise DataError(f"{name} is not there at scale {scale}, but at {', '.join(map(str, sorted(found)))}")
    return picture_sets(sources, use, scale)[name]


def backbones(sources: dict[str, Source]) -> dict[str, Source]:
    """Return by the name of the backbone the sources of all weights that are converted."""
    return {s.backbone.name: s for s in sources.values() if s.backbone is not None}


def _check_names(manifest: Path, sources: dict[str, Source]) -> None:
    """Refuse two sources for one backbone, or for one set at one scale, and a set of two uses."""
    seen: dict[tuple, str] = {}
    uses: dict[str, str] = {}
    for source in sources.values():
        claims = [("backbone", source.backbone.name)] if source.backbone is not None else []
        if source.pictures is not None:
            claims += [("set", source.pictures.name, f"at scale {scale}") for scale in source.pictures.scales]
            if uses.setdefault(source.pictures.name, source.pictures.use) != source.pictures.use:
                raise DataError(f"{manifest}: entry {source.id}: set {source.pictures.name} has another use elsewhere")
        for claim in claims:
            if seen.setdefault(claim, source.id) != source.id:
                raise DataError(f"{manifest}: entry {source.id}: {' '.join(claim)} is entry {seen[claim]}'s already")


def select_sources(sources: dict[str, Source], ids: str | Iterable[str]) -> list[Source]:
    """Return the sources named, each once, in the order given.

    Raises:
        DataError: an unknown id, with the nearest one and the list of all.
    """
    chosen: dict[str, Source] = {}
    for name in [ids] if isinstance(ids, str) else ids:
        if name not in sources:
            by_lower = {known.lower(): known for known in sources}
            near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
            hint = f"did you mean {by_lower[near[0]]}? There" if near else "there"
            raise DataError(f"no source is called {name!r}; {hint} are: {', '.join(sources)}")
        chosen[name] = sources[name]
    return list(chosen.values())


def read_checksums(path: Path) -> list[tuple[str, int | None, str]]:
    """Read lines of ``sha256  size  path``; a size of ``-`` is unknown (None).

    Raises:
        DataError: unreadable, empty, or a line that has another form.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]+)  (\d+|-)  (\S.*)", line)
        if match is None:
            raise DataError(f"{path}:{number}: expected 'sha256  size  path', found {line!r}")
        rows.append((match[1], None if match[2] == "-" else int(match[2]), match[3]))
    if not rows:
        raise DataError(f"{path}: lists no file")
    names = [row[2] for row in rows]
    if len(set(names)) != len(names):
        raise DataError(f"{path}: lists a file twice")
    return rows


def mirror_prefix(entry: dict) -> str:
    """Return the folder of an entry's files below a mirror or the download folder."""
    parts = (entry.get("repository"), entry.get("commit"), entry.get("folder"))
    return "/".join(part for part in parts if part)


def _read_entry(name: str, entry: object, github: list[str], checksums: Path) -> Source:
    if not isinstance(entry, dict):
        raise DataError("must be a mapping")
    for key in _REQUIRED:
        if not isinstance(entry.get(key), str):
            raise DataError(f"needs the text {key!r}")
    unknown = sorted(set(entry) - set(_REQUIRED) - set(_OPTIONAL))
    if unknown:
        raise DataError(f"unknown key {unknown[0]!r}; known are {', '.join(_REQUIRED + _OPTIONAL)}")
    if entry["kind"] not in KINDS:
        raise DataError(f"kind {entry['kind']!r} must be one of {', '.join(KINDS)}")
    if bool(entry.get("repository")) == bool(entry.get("urls")):
        raise DataError("needs either 'repository' and 'commit' or 'urls'")
    if entry.get("repository") and not re.fullmatch(r"[0-9a-f]{40}", str(entry.get("commit"))):
        raise DataError(f"commit {entry.get('commit')!r} must be a full commit: 40 hex digits")
    templates, prefix = entry.get("urls") or github, mirror_prefix(entry)
    if not isinstance(templates, list) or not all(isinstance(template, str) for template in templates):
        raise DataError("'urls' must be a list of texts")
    files = []
    for sha256, size, path in read_checksums(checksums / f"{name}.txt"):
        inner = "/".join(part for part in (entry.get("folder"), path) if part)
        fields = {"repository": entry.get("repository"), "commit": entry.get("commit"), "path": quote(inner)}
        urls = tuple(_fill(template, fields) for template in templates)
        files.append(SourceFile("/".join(part for part in (prefix, path) if part), urls, sha256, size))
    texts = {key: entry[key] for key in _REQUIRED}
    uses = dict(pictures=read_set(entry), backbone=_backbone(entry, prefix, files))
    return Source(name, **texts, notes=entry.get("notes", ""), folder=prefix, files=tuple(files), **uses)


def _backbone(entry: dict, prefix: str, files: list[SourceFile]) -> Backbone | None:
    backbone = read_backbone(entry)
    if backbone is not None and backbone.file is not None:
        paths = [file.path.removeprefix(f"{prefix}/") for file in files]
        if backbone.file not in paths:
            raise DataError(f"file {backbone.file!r} is not listed; {', '.join(paths[:3])} are")
    return backbone


def _fill(template: str, fields: dict[str, str | None]) -> str:
    try:
        return template.format(**fields)
    except KeyError as error:
        raise DataError(f"address {template!r} has the unknown field {error}") from None
