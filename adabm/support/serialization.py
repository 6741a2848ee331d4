"""Safetensors files: bytes that depend on nothing but their content, and the metadata of any of them."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import CheckpointError, ConfigError
from ..validation import File, check
from .files import open_regular_file


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Serialize named tensors with metadata; equal content gives equal bytes in every process.

    The safetensors library writes metadata in an order that differs from call to call. Files are known by their
    sha256 here, so that the entries are sorted by name; any reader of the format takes them.

    Args:
        tensors: contiguous, on the CPU, none sharing memory with another.
    """
    data = save(dict(tensors), dict(metadata))
    end = 8 + int.from_bytes(data[:8], "little")  # the format: length of the header, header as JSON, tensors
    header = json.loads(data[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[end:]))


def check_ending(path: str | Path) -> None:
    """Refuse to write to a file whose name does not end in ``.safetensors``: by that it is known when it is read.

    Raises:
        ConfigError: naming it.
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise ConfigError(f"{path}: the name must end in .safetensors")


def file_metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata of a weight file, which only safetensors files have: empty for other formats.

    Raises:
        CheckpointError: missing or, of a safetensors file, damaged.
        ConfigError: no path.
    """
    path = Path(check("path", path, File))
    described = path.suffix.lower() == ".safetensors"
    if not (path.is_file() if described else path.exists()):
        raise CheckpointError(f"{path}: no such file")
    if not described:
        return {}
    try:
        with open_regular_file(path):  # the library finds no file, whatever the reason
            pass
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); the name of a file in another format, such as "
            "PyTorch's .pth, must end accordingly"
        ) from None
