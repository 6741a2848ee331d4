"""Stage ``prepare``: write the data set of a manifest and excerpts of it to a folder, verify the shipped backbones."""

import argparse
import shutil
import sys
from pathlib import Path

from adabm.errors import AdabmError
from adabm.networks.backbones import verify_backbones
from adabm.pictures.bundled import prepare_bundled, read_manifest

from .excerpts import write_crops, write_pool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--manifest", required=True, help="YAML manifest of the data set")
    parser.add_argument("--tile", type=int, required=True, help="side of the tiles in pool/LR, in LR pixels")
    parser.add_argument("--tiles", type=int, required=True, help="most tiles of one calibration picture")
    parser.add_argument(
        "--crop", type=int, required=True, help="side of the central crops in <name>-crops, in LR pixels"
    )
    parser.add_argument("--output", required=True, help="folder to write; replaced as a whole")
    args = parser.parse_args()
    output = Path(args.output)
    partial = output.with_name(output.name + ".partial")
    try:
        manifest = read_manifest(args.manifest)
        shutil.rmtree(partial, ignore_errors=True)
        count = prepare_bundled(manifest, partial)
        pool = write_pool(partial / "calibration" / "LR", partial / "pool" / "LR", args.tile, args.tiles)
        write_crops(partial / manifest["name"], partial / f"{manifest['name']}-crops", args.crop, manifest["scale"])
        backbones = verify_backbones()
    except (AdabmError, OSError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    print(
        f"{manifest['name']}: {count} pictures and {pool} tiles in {output}; verified {', '.join(p.name for p in backbones)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
