"""Write ``data/reference_psnr.csv``, which the study's tables are compared with, from the entries of ``data/sources.yaml``."""

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path

from adabm.errors import AdabmError
from adabm.support.arguments import Parser
from adabm.support.files import write_atomically
from adabm.support.process import as_command, plain

from ..downloads.sources import MANIFEST, Source, backbones, read_sources

TABLE = MANIFEST.parent / "reference_psnr.csv"
COLUMNS = ("network", "scale", "dataset", "psnr_y_db", "source")


def reference_table(sources: Mapping[str, Source]) -> str:
    """Return the CSV text: one row for each backbone and set that has a PSNR-Y (dB) measured elsewhere."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, source in backbones(sources).items():
        backbone = source.backbone
        for dataset, psnr in backbone.reference_psnr.items():
            writer.writerow((name, backbone.scale, dataset, f"{psnr:.2f}", backbone.reference_source))
    return text.getvalue()


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="instead of data/sources.yaml")
    parser.add_argument("--output", type=Path, default=TABLE, help="table to write (data/reference_psnr.csv)")
    args = parser.parse_args(arguments)
    try:
        write_atomically(args.output, reference_table(read_sources(args.manifest)).encode())
    except (AdabmError, OSError) as error:
        print(f"references: {plain(error)}", file=sys.stderr)
        return 1
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(as_command("references", main))
