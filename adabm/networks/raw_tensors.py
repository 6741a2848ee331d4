"""Read weights stored as one raw file a tensor beside a ``modelinfo.json``."""

import json
import math
from pathlib import Path

import numpy as np

from ..errors import CheckpointError

INDEX = "modelinfo.json"


def read_raw_tensors(folder: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of a folder such as ``ESRGAN_py/RRDB_PSNR_x4`` of webgpu-super-resolution.

    ``modelinfo.json`` lists under ``layers`` each convolution's ``name``, ``wshape`` and
    ``bshape``; its values lie in ``<name>.weight.bin`` and ``<name>.bias.bin`` as little-endian
    float32, nothing else.

    Returns:
        ``<name>.weight`` and ``<name>.bias`` -> float32 array of the listed shape.

    Raises:
        CheckpointError: no such folder, an index that cannot be understood, quantized tensors, or a
            file that is missing or whose size is not that of its shape.
    """
    folder = Path(folder)
    index = folder / INDEX
    if not index.is_file():
        raise CheckpointError(f"{folder}: holds no {INDEX}")
    try:
        info = json.loads(index.read_text(encoding="utf-8"))
        shapes = {
            f"{layer['name']}.{part}": tuple(layer[key])
            for layer in info["layers"]
            for part, key in (("weight", "wshape"), ("bias", "bshape"))
        }
        quantized = info.get("is_quantized", False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: not a list of layers ({type(error).__name__}: {error})") from None
    if quantized:
        raise CheckpointError(f"{index}: says that the tensors are quantized; only float32 is read")
    return {name: _read(folder, name, shape) for name, shape in shapes.items()}


def _read(folder: Path, name: str, shape: tuple) -> np.ndarray:
    if Path(name).name != name or "\0" in name:  # a listed name must not lead out of the folder
        raise CheckpointError(f"{folder / INDEX}: {name!r} is not a tensor's name")
    if not all(type(side) is int and side > 0 for side in shape):
        raise CheckpointError(f"{folder / INDEX}: {name} has the shape {shape}")
    path = folder / f"{name}.bin"
    try:
        found, expected = path.stat().st_size, 4 * math.prod(shape)
        if found != expected:
            raise CheckpointError(f"{path}: has {found} bytes, not the {expected} of {shape} float32 values")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    return np.frombuffer(data, "<f4", math.prod(shape)).reshape(shape)
