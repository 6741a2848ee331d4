"""What the tests of the command line share: a tiny network, tiny pictures, and commands run in this process."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from adabm.cli import main
from adabm.networks import build_network
from adabm.pictures.writing import write_image

SCALE = 2
TINY = [
    "--recipe",
    "adabm",
    "--patch-size",
    "16",
    "--rounds",
    "3",
    "--steps-per-round",
    "2",
    "--set",
    "tune.batch_size=1",
]


def smooth(seed: int, height: int = 24, width: int = 28, channels: int | None = 3) -> np.ndarray:
    """Smooth noise, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, channels or 1)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.reshape((height, width) if channels is None else (height, width, channels))


def save_network(path: Path, options: dict, spoil: bool = False) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("EDSR", **options)
    if spoil:
        network.conv_last.weight.data[0, 0, 0, 0] = float("nan")
    save_file(network.state_dict(), path, {"network": "EDSR", "options": json.dumps(options)})


OPTIONS = dict(num_in_ch=3, num_out_ch=3, num_feat=8, num_block=2, upscale=SCALE, img_range=255.0)


def write_files(root: Path) -> Path:
    """Write a network, LR pictures, HR pictures and a quantized checkpoint; return ``root``."""
    save_network(root / "fp.safetensors", OPTIONS)
    for index in range(3):
        high = smooth(index, 48, 56)
        write_image(root / "HR" / f"p{index}.png", high)
        write_image(root / "LR" / f"p{index}.png", cv2.resize(high, (28, 24), interpolation=cv2.INTER_AREA))
    assert quantize(root, root / "q.safetensors") == 0
    return root


def replacing(words: list[object], *more: object) -> list[object]:
    """The words of a command with other options behind them, in whose favour its own of the same names go."""
    others = {"--recipe" if word == "--preset" else word for word in more if str(word).startswith("--")} - {"--set"}
    places = {index for index, word in enumerate(words) if word in others}
    return [word for index, word in enumerate(words) if not {index, index - 1} & places] + list(more)


def quantize(root: Path, output: Path, *more: str) -> int:
    command = [
        "quantize",
        "--images",
        root / "LR",
        "--network",
        root / "fp.safetensors",
        "--output",
        output,
        *TINY,
    ]
    return run(*replacing(command, *more))


def run(*parts: object) -> int:
    return main([str(part) for part in parts])


def fails(capsys, *parts: object, status: int = 2) -> str:
    """Run a command that must fail; return its only line on standard error."""
    capsys.readouterr()
    assert run(*parts) == status
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1 and "Traceback" not in err, err
    assert lines[0].startswith("adabm: error: ")
    return lines[0]
