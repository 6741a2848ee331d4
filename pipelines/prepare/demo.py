"""Stage ``prepare``: write the data set of a manifest and excerpts of it to a folder, verify the shipped backbones."""

import re
import sys
from functools import partial
from pathlib import Path

from adabm.errors import AdabmError
from adabm.networks.backbones import verify_backbones
from adabm.pictures.bundled import prepare_bundled, read_manifest
from adabm.pictures.folders import SCENE_SEPARATOR
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain

from .excerpts import write_crops, write_pool
from .replaced import files_below, replaced_folder


def _is_of_earlier_version(manifest: dict, folder: Path) -> bool:
    """Whether a folder holds the pictures of the manifest, their tiles and crops, and nothing else."""
    name, calibration = manifest["name"], {entry["name"] for entry in manifest["calibration"]}
    if {path.name for path in folder.iterdir()} != {"calibration", "pool", name, f"{name}-crops"}:
        return False
    files = files_below(folder)
    groups = [f"{group}/{kind}" for group in (name, f"{name}-crops") for kind in ("HR", "LR")]
    expected = {f"{group}/{entry['name']}.png" for group in groups for entry in manifest["evaluation"]}
    expected |= {f"calibration/LR/{picture}.png" for picture in calibration}
    tile = re.compile(rf"pool/LR/(.+){SCENE_SEPARATOR}\d{{2,}}\.png")
    tiles = {file: found[1] for file in files if (found := tile.fullmatch(file))}
    return files - tiles.keys() == expected and set(tiles.values()) == calibration


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--manifest", required=True, help="YAML manifest of the data set")
    parser.add_argument("--tile", type=int, required=True, help="side of the tiles in pool/LR, in LR pixels")
    parser.add_argument("--tiles", type=int, required=True, help="most tiles of one calibration picture")
    parser.add_argument(
        "--crop", type=int, required=True, help="side of the central crops in <name>-crops, in LR pixels"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write; what an earlier run wrote is replaced"
    )
    args = parser.parse_args(arguments)
    try:
        manifest = read_manifest(args.manifest)
        with replaced_folder(args.output, partial(_is_of_earlier_version, manifest)) as folder:
            count = prepare_bundled(manifest, folder)
            pool = write_pool(folder / "calibration" / "LR", folder / "pool" / "LR", args.tile, args.tiles)
            write_crops(folder / manifest["name"], folder / f"{manifest['name']}-crops", args.crop, manifest["scale"])
            backbones = verify_backbones()
    except (AdabmError, OSError) as error:
        print(f"prepare: {plain(error)}", file=sys.stderr)
        return 1
    names = ", ".join(path.name for path in backbones)
    print(f"{manifest['name']}: {count} pictures and {pool} tiles in {args.output}; verified {names}")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("prepare", main))
