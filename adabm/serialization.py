"""Bytes of safetensors files that depend on nothing but their content."""

import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor


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
