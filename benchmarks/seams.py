"""How visible are the seams of tiles? Prints the tables of docs/use.md.

``python -m benchmarks.seams [NETWORK ...]`` quantizes each network without fine-tuning and upscales crops of the demo's
photographs whole and in four tiles. Differences are of 8-bit values, in 8 output pixels on both sides of the seams.
"""

from pathlib import Path

import numpy as np
import torch

import adabm
from adabm.engines.context import context_of
from adabm.engines.metrics import psnr_y
from adabm.engines.simulated import SimulatedEngine
from adabm.networks.backbones import backbone_path
from adabm.pictures.folders import read_pictures
from adabm.pictures.reading import list_images, read_rgb
from adabm.support.arguments import Parser

SETTINGS = {"W4A4 FQ": (4, 4, True), "W8A6": (8, 6, False)}
WAYS = ["16,tile", "needed,tile", "needed,picture"]  # overlap and bits_per
NEAR = 8  # output pixels on both sides of a seam


def main() -> None:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("networks", nargs="*", default=["edsr_f32b8_x4", "edsr_f64b16_x4"], help="names or files")
    parser.add_argument("--data", default="data/prepared/demo", type=Path, help="what stage prepare of the demo wrote")
    parser.add_argument("--photos", nargs="+", default=["chelsea", "china", "coffee"], help="of demo-photos/HR")
    parser.add_argument("--side", default=192, type=int, help="of the central crops that are upscaled")
    parser.add_argument(
        "--rows", type=int, help="of the crops, if fewer than --side; up to half of it there is one seam"
    )
    parser.add_argument("--patches", type=int, help="to calibrate on, see adabm.quantize")
    parser.add_argument(
        "--ways",
        nargs="+",
        default=[_way(way) for way in WAYS],
        type=_way,
        metavar="OVERLAP,BITS_PER",
        help=f"default: {' '.join(WAYS)}",
    )
    parser.add_argument(
        "--psnr", action="store_true", help="also PSNR on demo-photos, whole and in tiles of --side / 4"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    calibration = [read_rgb(path) for path in list_images(args.data / "calibration" / "LR")]
    size = (args.rows or args.side, args.side)
    crops = [_centre(read_rgb(args.data / "demo-photos" / "HR" / f"{name}.png"), size) for name in args.photos]
    print("| network | sees | bits | overlap | bits per | mean | max | jump |\n|---|---|---|---|---|---|---|---|")
    for name in args.networks:
        network = adabm.load_network(backbone_path(name))
        for setting, (weight, activation, full) in SETTINGS.items():
            config = adabm.preset("adabm-notune", weight_bits=weight, activation_bits=activation, fully_quantized=full)
            model = adabm.quantize(network, calibration, config, patch_size=48, patches=args.patches)[0]
            for line in seams(model, crops, args.side // 2, args.ways):
                print(f"| {Path(name).stem} | {_reach(model)} | {setting} | {line} |", flush=True)
            if args.psnr:
                print(
                    f"{Path(name).stem} {setting}: {psnr(model, args.data / 'demo-photos', args.side // 4, args.ways)}",
                    flush=True,
                )


def seams(
    model: adabm.QuantizedSR, pictures: list[np.ndarray], tile: int, ways: list[tuple[int | None, str]]
) -> list[str]:
    """One line of the table a way: differences from the whole picture near the seams, and how much the seams jump."""
    wholes = [adabm.round_to_uint8(adabm.upscale(model, picture).image) for picture in pictures]
    lines = []
    for overlap, bits_per in ways:
        differences, jumps = [], []
        for picture, whole in zip(pictures, wholes):
            tiled = adabm.round_to_uint8(adabm.upscale(model, picture, tile, overlap, bits_per).image)
            for a, b in ((tiled, whole), (tiled.transpose(1, 0, 2), whole.transpose(1, 0, 2))):
                if len(a) <= tile * model.descriptor.scale:
                    continue
                seam = len(a) // 2
                near = np.abs(a.astype(int) - b)[seam - NEAR : seam + NEAR]
                differences.append(near.ravel())
                jumps.append(_step(a, seam) - _step(b, seam))
        found = np.concatenate(differences)
        pixels = context_of(SimulatedEngine(model), overlap).overlap
        lines.append(f"{pixels} | {bits_per} | {found.mean():.3f} | {found.max()} | {np.mean(jumps):+.3f}")
    return lines


def psnr(model: adabm.QuantizedSR, folder: Path, tile: int, ways: list[tuple[int | None, str]]) -> str:
    """Mean PSNR-Y in dB of the whole pictures of a folder and of each way of tiling them."""
    scale = model.descriptor.scale
    pictures = read_pictures(folder / "HR", folder / "LR", scale)
    means = {}
    for way, arguments in {"whole": (), **{f"{way[0] or 'needed'}, {way[1]}": (tile, *way) for way in ways}}.items():
        found = [
            psnr_y(adabm.round_to_uint8(adabm.upscale(model, p.low, *arguments).image), p.high, scale) for p in pictures
        ]
        means[way] = np.mean(found)
    return ", ".join(f"{way}: {mean:.3f} dB" for way, mean in means.items())


def _way(text: str) -> tuple[int | None, str]:
    overlap, _, bits_per = text.partition(",")
    return None if overlap == "needed" else int(overlap), bits_per


def _step(image: np.ndarray, seam: int) -> float:
    """Mean absolute difference of the two lines at the seam."""
    return float(np.abs(image[seam].astype(int) - image[seam - 1]).mean())


def _centre(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((length - side) // 2 for length, side in zip(picture.shape, size))
    return picture[top : top + size[0], left : left + size[1]]


def _reach(model: adabm.QuantizedSR) -> str:
    reach = context_of(SimulatedEngine(model)).reach
    return "all" if reach is None else f"{reach} px"


if __name__ == "__main__":
    main()
