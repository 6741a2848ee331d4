"""Write weights in the file formats that are imported, independently of the readers."""

import json
import struct
from pathlib import Path

import numpy as np
import torch

MAGICS = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}
TYPES = {"float32": 0, "float64": 1, "float16": 2, "int32": 4}


def array(value: np.ndarray, version: int, storage: int = 0) -> bytes:
    """One NDArray; version 0 is the format without a magic."""
    if version == 0:
        head = struct.pack("<I", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
    else:
        head = struct.pack("<I", MAGICS[version]) + (struct.pack("<i", storage) if version > 1 else b"")
        head += struct.pack("<I", value.ndim) + struct.pack(f"<{value.ndim}q", *value.shape)
    return head + struct.pack("<iii", 1, 0, TYPES[value.dtype.name]) + value.tobytes()


def content(arrays: list[bytes], names: list[str]) -> bytes:
    data = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + struct.pack("<Q", len(names))
    return data + b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in names)


def write_params(path: Path, values: dict[str, np.ndarray], version: int = 2) -> None:
    path.write_bytes(content([array(value, version) for value in values.values()], list(values)))


def params(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    write_params(path, {name: value.numpy() for name, value in weights.items()})
    return path


def tensors_folder(folder: Path, weights: dict[str, torch.Tensor], **more: object) -> Path:
    folder.mkdir()
    layers = []
    for name in dict.fromkeys(name.rpartition(".")[0] for name in weights):
        shapes = {key: weights[f"{name}.{part}"].shape for key, part in (("wshape", "weight"), ("bshape", "bias"))}
        layers.append({"name": name} | shapes)
    for name, value in weights.items():
        value.numpy().astype("<f4").tofile(folder / f"{name}.bin")
    (folder / "modelinfo.json").write_text(json.dumps({"arch": "any", "is_quantized": False, "layers": layers} | more))
    return folder
