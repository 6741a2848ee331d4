"""What stands in the header of our safetensors files: its schema, and one digest over it and the tensors."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from torch import Tensor

from ..errors import CheckpointError

NETWORK_FORMAT = "adabm-network-2"  # of full-precision weights; earlier files tell no format and have no digest


def _no_bits_between(bits: int) -> int:
    if 16 < bits < 32:
        raise ValueError("bits are 1 to 16, or 32")
    return bits


_Bits = Annotated[int, Field(ge=1, le=32), AfterValidator(_no_bits_between)]
_LayerBits = Annotated[
    list[_Bits | None], Field(min_length=2, max_length=2)
]  # of weights, where it has any; of activations
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    """No value is turned into another kind; entries that this version does not know are left to the digest."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Network(_Entry):
    name: _Name
    scale: Annotated[int, Field(ge=1, le=64)]
    value_range: float
    roles: dict[str, str]
    blocks: list[str]
    block_feature_size_normalized: bool = False
    options: dict[str, JsonValue]
    channels: Annotated[int, Field(ge=1, le=4096)] = 3
    size_multiple: Annotated[int, Field(ge=1, le=4096)] = 1
    minimum_size: Annotated[int, Field(ge=1, le=4096)] = 1
    source: str = ""
    output_channels: Annotated[int, Field(ge=1, le=4096)] | None = None
    tensors: list[str] = []
    left_out: dict[str, JsonValue] = {}
    outputs: Annotated[list[float], Field(max_length=4096)] = []
    sha256: _Hash


class _Recipe(_Entry):
    name: str
    label: str = ""
    family: str = ""
    paper: str = ""
    sentence: str = ""
    order: int = 0
    changed: bool = False
    steps: dict[str, dict[str, JsonValue]]


class _Config(_Entry):
    weight_bits: _Bits
    activation_bits: _Bits
    fully_quantized: bool
    fixed_bits: _Bits
    recipe: _Recipe


class _Quantized(_Entry):
    version: str
    preset: str | None
    seed: int | None
    clipped: bool
    config: _Config
    layer_bits: dict[str, _LayerBits]
    network: _Network
    sha256: _Hash


class _FirstQuantized(_Quantized):
    """Settings had other names, all layers the bits of the setting, and not all files a hash of the tensors."""

    config: dict[str, JsonValue]
    layer_bits: dict[str, _LayerBits] = {}
    sha256: _Hash | None = None


_OPTIONS = TypeAdapter(dict[str, JsonValue], config=ConfigDict(strict=True, allow_inf_nan=False))


def check_quantized(
    path: str | Path, metadata: Mapping[str, object], *, first: bool = False, told: str = "its metadata is damaged:"
) -> None:
    """Refuse a quantized checkpoint's metadata with an entry that is missing, of another kind or out of its range.

    Args:
        first: by the schema of the first format.
        told: begins what is said of the entry.

    Raises:
        CheckpointError: naming the entry.
    """
    try:
        (_FirstQuantized if first else _Quantized).model_validate(metadata)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {told} {_told(error)}") from None


def parse_options(path: str | Path, text: str) -> dict[str, object]:
    """Return the options of a network, which weight files hold as the text of a JSON object.

    Raises:
        CheckpointError: no such text.
    """
    try:
        options = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata 'options' is not JSON ({error})") from None
    if not isinstance(options, dict):
        raise CheckpointError(f"{path}: its metadata 'options' is {text[:80]}, not a JSON object")
    try:
        return _OPTIONS.validate_python(options)
    except ValidationError as error:
        raise CheckpointError(f"{path}: its metadata 'options' is damaged ({_told(error)})") from None


def content_sha256(tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> str:
    """sha256 over metadata as JSON, and over the names, dtypes, shapes and bytes of tensors.

    Args:
        metadata: JSON-ready; its own entry ``sha256`` does not count, nor the order of its entries. Inside them order
            counts: that of a recipe's steps has a meaning.
    """
    counted = {name: metadata[name] for name in sorted(metadata) if name != "sha256"}
    digest = hashlib.sha256(json.dumps(counted).encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_content(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Compare tensors and metadata with the digest that was recorded when the file was written.

    Raises:
        CheckpointError: they differ, or there is none.
    """
    if metadata.get("sha256") != content_sha256(tensors, metadata):
        raise CheckpointError(
            f"{path}: tensors and metadata do not match their recorded sha256; the file is damaged or was edited"
        )


def check_weights(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Compare full-precision weights with their digest; files of earlier versions and of others have none.

    Raises:
        CheckpointError: they differ, or it was taken away.
    """
    if has_digest(metadata):
        check_content(path, tensors, metadata)


def has_digest(metadata: Mapping[str, str]) -> bool:
    """Whether full-precision weights record, or should, a digest by which an edit is told."""
    return metadata.get("format") == NETWORK_FORMAT or {"network", "sha256"} <= metadata.keys()


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    value = "" if first["type"] == "missing" else f" = {first['input']!r:.60}"
    return f"{place}{value}: {first['msg']}"


def begins_as_exported(head: bytes) -> bool:
    """Whether a file that begins so is, or was, what ``adabm export`` writes: an archive whose first part is the README."""
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(b"README.md")
