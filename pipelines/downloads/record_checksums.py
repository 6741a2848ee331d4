"""For maintainers: write ``data/checksums/<id>.txt`` of a new manifest entry from a mirror of its files.

``python -m pipelines.downloads.record_checksums Set5_x4 --mirror DIR [--match '*.png']``. What is recorded is what every later
download is compared with, so the mirror must hold the published bytes, and nothing else below the entry's folder.
"""

import sys
from pathlib import Path

from adabm.errors import DataError
from adabm.support.arguments import Parser
from adabm.support.files import file_sha256, write_atomically
from adabm.support.process import as_command

from .sources import MANIFEST, mirror_prefix, read_manifest


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("id", help="an entry of data/sources.yaml with a repository or a folder")
    parser.add_argument("--mirror", type=Path, required=True, help="folder with <repository>/<commit>/<folder>/...")
    parser.add_argument("--match", default="*", help="pattern of the names to record (all)")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    args = parser.parse_args(arguments)
    try:
        entry = read_manifest(args.manifest)["sources"].get(args.id)
    except DataError as error:
        print(f"record_checksums: {error}", file=sys.stderr)
        return 1
    if entry is None:
        print(f"record_checksums: {args.manifest} has no entry {args.id}", file=sys.stderr)
        return 1
    folder = args.mirror / mirror_prefix(entry)
    paths = sorted(p for p in folder.rglob(args.match) if p.is_file())
    if not paths:
        print(f"record_checksums: {folder} holds no file {args.match}", file=sys.stderr)
        return 1
    lines = []
    for path in paths:
        lines.append(f"{file_sha256(path)}  {path.stat().st_size}  {path.relative_to(folder).as_posix()}\n")
    target = args.manifest.parent / "checksums" / f"{args.id}.txt"
    write_atomically(target, "".join(lines).encode())
    print(f"{target}: {len(lines)} files")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("record_checksums", main))
