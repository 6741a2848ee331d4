"""Convert downloaded weights of other implementations to the safetensors files that the study loads."""

import sys
from pathlib import Path

from adabm.errors import AdabmError, DataError
from adabm.networks import import_weights, save_network
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain

from ..downloads.sources import MANIFEST, Source, backbones, read_sources
from ..downloads.uses import find_use
from ..downloads.verification import check_downloads


def location(name: str, downloads: Path, sources: dict[str, Source] | None = None) -> Path:
    """Return where the file or folder of a backbone's weights lies in a download folder or a mirror.

    Args:
        name: that an entry of kind ``weights`` gives as its ``backbone``.
        sources: another manifest's content; None: that of ``data/sources.yaml``.

    Raises:
        DataError: an unknown backbone, with the nearest name.
    """
    source = _source(name, sources)
    if source.backbone.file is not None:
        return downloads / source.folder / source.backbone.file
    return source.location(downloads)


def convert(name: str, downloads: Path, output: Path, sources: dict[str, Source] | None = None) -> Path:
    """Write ``<output>/<name>.safetensors`` from a download folder or a mirror; return its path.

    Raises:
        DataError: an unknown backbone, or the source was not downloaded or is not the one that the manifest names.
        CheckpointError: it is something else.
    """
    source, place = _source(name, sources), location(name, downloads, sources)
    if not place.exists():
        raise DataError(f"{place}: not there; run `python -m pipelines.downloads.fetch {source.id}` first")
    check_downloads([source], downloads)
    target = output / f"{name}.safetensors"
    # published tables name these files by their sha256, which is that of the bytes before files had a digest inside
    save_network(import_weights(place, source.backbone.format), target, digest=False)
    return target


def _source(name: str, sources: dict[str, Source] | None) -> Source:
    return find_use("backbone", name, backbones(read_sources() if sources is None else sources))


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="+", metavar="NAME", help="backbones of data/sources.yaml")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    parser.add_argument(
        "--downloads",
        type=Path,
        default=Path("data/downloads"),
        help="what pipelines.downloads.fetch wrote, or a mirror",
    )
    parser.add_argument("--output", type=Path, default=Path("data/prepared/weights"), help="folder to write to")
    args = parser.parse_args(arguments)
    for name in args.names:
        try:
            written = convert(name, args.downloads, args.output, read_sources(args.manifest))
        except (AdabmError, OSError) as error:
            print(f"weights: {plain(error)}", file=sys.stderr)
            return 1
        print(written, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(as_command("weights", main))
