"""The file of an exported model: a zip archive that carries all that running it takes."""

import errno
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ... import __version__
from ...errors import CheckpointError
from ...networks.reach import find_reach
from ...quantization.bit_rule import counts_in_average
from ...quantization.model import QuantizedSR
from ...support.metadata import begins_as_exported
from .layers import IntegerConv, bits_at, factors

FORMAT = "adabm-integer-1"
_CARD, _TEXT = "card.json", "README.md"
# what reading a damaged archive raises
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    struct.error,
)
_RATIO, _FREE = 100, 2**20  # a graph in XML shrinks to a twentieth
_DAY = (1980, 1, 1, 0, 0, 0)  # the first that the format knows; equal content gives equal bytes


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        card: what it is, see :func:`card_of`.
        files: contents by name, of the engine that it was exported for.
    """

    card: dict
    files: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """The archive."""
        text = _text(self.card).encode()
        parts = {_TEXT: text, **self.files}
        card = self.card | {"files": {name: sha256(data).hexdigest() for name, data in parts.items()}}
        card["sha256"] = _card_sha256(card)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {_TEXT: text, _CARD: json.dumps(card, indent=1), **self.files}.items():
                archive.writestr(zipfile.ZipInfo(name, _DAY), data, zipfile.ZIP_DEFLATED)
        return file.getvalue()


def is_exported(path: Path) -> bool:
    """Whether the file is an archive with a card, or the beginning of one that was cut off."""
    if not path.is_file():
        return False
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return begins_as_exported(file.read(64))
        with zipfile.ZipFile(path) as archive:
            return _CARD in archive.namelist()
    except _DAMAGE:
        return True  # reading it tells what is wrong


def read_exported(path: Path) -> Exported:
    """Read what :meth:`Exported.to_bytes` made; files of earlier versions hold no digest of their text.

    Raises:
        CheckpointError: it cannot be read, is damaged, edited or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            card = json.loads(archive.read(_no_bomb(archive, _CARD)))
            if not isinstance(card, dict) or card.get("format") != FORMAT:
                raise CheckpointError(f"{path}: not of format {FORMAT!r}; use the adabm version that wrote it")
            files = {name: archive.read(_no_bomb(archive, name)) for name in dict(card["files"])}
            names = archive.namelist()
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # which a wrong place in the file is
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
        raise CheckpointError(f"{path}: the exported model is damaged ({error}); export it again") from None
    odd = next((name for name in names if name not in (_CARD, _TEXT, *files) or names.count(name) > 1), None)
    if odd is not None:
        raise CheckpointError(f"{path}: holds a part {odd!r} that it was not exported with; export it again")
    found = {name: sha256(data).hexdigest() for name, data in files.items()}
    if card.pop("sha256", None) != _card_sha256(card) or found != card["files"]:
        raise CheckpointError(f"{path}: does not match its recorded sha256; export it again")
    try:
        _Card.model_validate(card).check()
    except ValueError as error:  # pydantic's is one
        told = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
        raise CheckpointError(f"{path}: its {_CARD} is damaged ({told}); export it again") from None
    return Exported(card, {name: data for name, data in files.items() if name != _TEXT})


def _no_bomb(archive: zipfile.ZipFile, name: str) -> str:
    """Return the name of a part, unless it would unpack to far more than is there."""
    part = archive.getinfo(name)
    if part.file_size > _FREE + _RATIO * part.compress_size:
        raise ValueError(f"{name} would unpack to {part.file_size:,} bytes")
    return name


class _Mapping(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    complexity: str
    lower: float
    upper: float


class _Layer(BaseModel):
    model_config = ConfigDict(strict=True)

    counts: bool


class _Card(BaseModel):
    """What an engine reads of a card."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    engine: str
    scale: Annotated[int, Field(ge=1, le=64)]
    channels: Annotated[int, Field(ge=1, le=4096)]
    value_range: Annotated[float, Field(gt=0)]
    size_multiple: Annotated[int, Field(ge=1, le=256)]  # pictures are filled up to it
    minimum_size: Annotated[int, Field(ge=1, le=4096)]
    reach: Annotated[list[Annotated[int, Field(ge=0)] | None], Field(min_length=2, max_length=2)]
    image2bit: _Mapping | None
    bits: dict[str, dict[str, int | float]]
    layers: dict[str, _Layer]

    def check(self) -> None:
        """Refuse bits that are not those of the layers, for each factor of an image."""
        needed = {"0"} if self.image2bit is None else {"-1", "0", "1"}
        if not needed <= self.bits.keys() or any(own.keys() != self.layers.keys() for own in self.bits.values()):
            raise ValueError("bits")


def card_of(model: QuantizedSR, engine: str, layers: Mapping[int, Mapping[str, IntegerConv]]) -> dict:
    """Return what an exported model is, ready for JSON.

    Its entries: ``engine``; ``network``, ``recipe``, ``setting`` for people; ``scale``, ``channels``, ``value_range``,
    ``size_multiple``, ``minimum_size`` and ``reach`` (pixels, alignment) as of a :class:`adabm.NetworkDescriptor`;
    ``image2bit``: null, or the ``complexity`` measure and the thresholds ``lower`` and ``upper``; ``bits``: activation bits
    of each layer by factor of the image; ``layers``: ``weight_bits``, whether it ``counts`` in the feature average bits,
    and what it is ``computed`` in.
    """
    described = model.descriptor
    with model.full_precision():
        reach = find_reach(model.network, described.channels, described.scale, described.size_multiple)
    mapping, config = model.image2bit, model.config
    first = layers[0]
    return {
        "format": FORMAT,
        "version": __version__,
        "engine": engine,
        "network": described.title,
        "recipe": config.recipe.title,
        "setting": config.label,
        "scale": described.scale,
        "channels": described.channels,
        "value_range": described.value_range,
        "size_multiple": described.size_multiple,
        "minimum_size": described.minimum_size,
        "reach": [reach.pixels, reach.alignment],
        "image2bit": None
        if mapping is None
        else {"complexity": mapping.complexity, "lower": mapping.lower.item(), "upper": mapping.upper.item()},
        "bits": {str(f): {name: bits_at(layer, f) for name, layer in model.layers.items()} for f in factors(model)},
        "layers": {
            name: {
                "weight_bits": layer.weight_bits,
                "counts": counts_in_average(layer),
                "computed": "float32" if first[name].weight is None else "int8",
            }
            for name, layer in model.layers.items()
        },
    }


def _card_sha256(card: Mapping) -> str:
    return sha256(json.dumps({k: v for k, v in card.items() if k != "sha256"}, sort_keys=True).encode()).hexdigest()


def _text(card: Mapping) -> str:
    kinds = [layer["computed"] for layer in card["layers"].values()]
    mapping = card["image2bit"]
    decides = (
        "The bits do not depend on the picture."
        if mapping is None
        else f"A picture of complexity (measure `{mapping['complexity']}`) below {mapping['lower']:.6g} is computed with the "
        f"constants of factor -1, above {mapping['upper']:.6g} with those of factor +1, else of factor 0."
    )
    return f"""# {card["network"]} x{card["scale"]}, {card["setting"]}, recipe {card["recipe"]}

Exported by adabm {card["version"]} for the engine `{card["engine"]}`: {kinds.count("int8")} of {len(kinds)} quantized layers compute in
8-bit integers, {kinds.count("float32")} in floating point on the same quantized values.

Input: (1, {card["channels"]}, H, W) float32 from 0 to {card["value_range"]:g}, H and W multiples of {card["size_multiple"]}.
Output: the same, {card["scale"]} times as large a side. {decides}
`card.json` holds all of this, the bits of each layer and the sha256 of each file.
"""
