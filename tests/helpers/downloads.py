"""Made-up pictures under the names of published sets, as ``pipelines.downloads.fetch`` would leave them."""

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from adabm.pictures.resize import downscale
from helpers.file_server import write_manifest
from helpers.foreign_forwards import edsr_pytorch_weights, esrgan_weights
from helpers.weight_files import tensors_folder
from pipelines.downloads.sources import MANIFEST
from pipelines.downloads.uses import SET_KEYS

PHOTOGRAPHS = [f"{i}.png" for i in range(10, 16)] + ["pexels-photo-7.png"]
DIAGRAMS = ["Pie chart (1).png", "1454613116.png"]


def png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array[..., ::-1])[1].tobytes()


def picture(seed: int, height: int = 32, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pairs(seed: int, scale: int) -> dict[str, bytes]:
    files = {}
    for number in (1, 2):
        high = picture(seed + number)
        files[f"img_{number:03}_SRF_{scale}_HR.png"] = png(high)
        files[f"img_{number:03}_SRF_{scale}_LR.png"] = png(downscale(high, scale))
    return files


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("DIV2K_train_LR_bicubic/X4/", b"")
        for number in range(1, 6):
            file.writestr(f"DIV2K_train_LR_bicubic/X4/{number:04}x4.png", png(picture(500 + number, 12, 10)))
    return data.getvalue()


CONTENT = {
    "Set5_x4": pairs(100, 4),
    "Set5_x2": pairs(100, 2),
    "Urban100_x4": pairs(200, 4),
    "CLIC2025_test": {f"{f'{i:x}' * 8}0123.png": png(picture(300 + i, 34, 27)) for i in (1, 2)},
    "CID22_training": {name: png(picture(400 + i)) for i, name in enumerate(PHOTOGRAPHS + DIAGRAMS)},
    "DIV2K_train_LR_x4": {"DIV2K_train_LR_bicubic_X4.zip": archive()},
}


def write_test_manifest(folder: Path, content: dict = CONTENT) -> Path:
    """A manifest of made-up files, which are used for what the real entries of these names are."""
    real = yaml.safe_load(MANIFEST.read_text())["sources"]
    uses = {name: {key: real[name][key] for key in SET_KEYS if key in real[name]} for name in content}
    return write_manifest(folder, content, "http://127.0.0.1:9", uses=uses)


def write_downloads(folder: Path, content: dict = CONTENT) -> None:
    """Write the files of each source into its folder below ``folder``."""
    for source, files in content.items():
        (folder / source).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / source / name).write_bytes(data)


def write_weights(root: Path) -> Path:
    """Write made-up weights of two backbones into ``root/downloads``; return a manifest that names them."""
    edsr, rrdbnet = (root / "downloads" / name for name in ("EDSR", "RRDBNet"))
    edsr.mkdir(parents=True)
    torch.save(dict(edsr_pytorch_weights(4, 2, (2, 2))), edsr / "edsr.pt")
    tensors_folder(rrdbnet, esrgan_weights(4, 1, 2))
    content = {folder.name: {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (edsr, rrdbnet)}
    entry = dict(kind="weights")
    uses = {
        "EDSR": entry | dict(backbone="edsr_baseline_x4", format="edsr-pytorch"),
        "RRDBNet": entry | dict(backbone="rrdbnet_psnr_x4", format="rrdbnet-esrgan"),
    }
    return write_manifest(root / "manifest", content, "http://127.0.0.1:9", uses=uses)
