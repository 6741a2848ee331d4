"""What the study uses a source for: a set of pictures, or a backbone. Read from its entry in ``data/sources.yaml``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from adabm.errors import DataError
from adabm.suggestions import suggestion

Used = TypeVar("Used")
USES = ("evaluation", "calibration")
SET_KEYS = ("set", "use", "scales", "high", "low")
BACKBONE_KEYS = ("backbone", "format", "file", "reference_psnr")
_REFERENCE_KEYS = ("scale", "source", "sets")


@dataclass(frozen=True)
class PictureSet:
    """Pictures of a source that are evaluated or calibrated on.

    Attributes:
        name: of the set in plans, such as ``BSD100``.
        use: ``evaluation`` or ``calibration``.
        scales: upsampling factors that it is prepared for from this source.
        high, low: patterns that the whole name of a ground truth and of a low-resolution picture has, with the name in the
            study as the first group; ``{scale}`` stands for the scale. Where no published low-resolution picture has the
            name of a ground truth, it is made from that. None: the source has no such pictures.
    """

    name: str
    use: str
    scales: tuple[int, ...]
    high: str | None = None
    low: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise DataError(f"set {self.name!r} must be a name for a folder")
        if self.use not in USES:
            raise DataError(f"use {self.use!r} must be one of {', '.join(USES)}")
        if not self.scales or not all(type(scale) is int and scale >= 1 for scale in self.scales):
            raise DataError(f"scales {list(self.scales)} must be a list of whole numbers of at least 1")
        if self.high is None and (self.low is None or self.use == "evaluation"):
            raise DataError("needs 'high', the pattern of the ground truth's names")
        for key, pattern in (("high", self.high), ("low", self.low)):
            if pattern is not None:
                _check_pattern(key, pattern)

    def high_name(self, file: str, scale: int) -> str | None:
        """Return the name in the study of a ground truth, or None if the file is none."""
        return _name(self.high, file, scale)

    def low_name(self, file: str, scale: int) -> str | None:
        """Return the name in the study of a low-resolution picture, or None if the file is none."""
        return _name(self.low, file, scale)


@dataclass(frozen=True)
class Backbone:
    """Weights of a source that are converted to a network of the study.

    Attributes:
        name: of the converted file, such as ``srresnet_bn_x4``.
        format: kind of the weights, see :func:`adabm.import_weights`; None: guessed.
        file: its path in the source's folder; None: the only file, or the folder.
        scale: upsampling factor that the references are of; None without references.
        reference_psnr: by evaluation set, PSNR-Y in dB of the network in full precision.
        reference_source: who measured it.
    """

    name: str
    format: str | None = None
    file: str | None = None
    scale: int | None = None
    reference_psnr: Mapping[str, float] = field(default_factory=dict)
    reference_source: str = ""


def read_set(entry: Mapping) -> PictureSet | None:
    """Return the set that an entry describes, or None.

    Raises:
        DataError: naming the key at fault.
    """
    if not _uses(entry, "set", SET_KEYS, "dataset"):
        return None
    scales = entry.get("scales")
    if not isinstance(scales, list):
        raise DataError("needs the list 'scales' of the upsampling factors that the set is prepared for")
    texts = {key: _text(entry, key) for key in ("high", "low")}
    return PictureSet(_text(entry, "set") or "", _text(entry, "use") or "", tuple(scales), **texts)


def read_backbone(entry: Mapping) -> Backbone | None:
    """Return the backbone that an entry describes, or None.

    Raises:
        DataError: naming the key at fault.
    """
    if not _uses(entry, "backbone", BACKBONE_KEYS, "weights"):
        return None
    name = _text(entry, "backbone") or ""
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise DataError(f"backbone {name!r} must be a name for a file")
    kind, file, references = _text(entry, "format"), _text(entry, "file"), entry.get("reference_psnr")
    if references is None:
        return Backbone(name, kind, file)
    if not isinstance(references, dict) or set(references) != set(_REFERENCE_KEYS):
        raise DataError(f"reference_psnr must be a mapping of {', '.join(_REFERENCE_KEYS)}")
    scale, source, sets = (references[key] for key in _REFERENCE_KEYS)
    if not (type(scale) is int and scale >= 1 and isinstance(source, str) and isinstance(sets, dict)):
        raise DataError("reference_psnr needs a whole number 'scale', a text 'source' and a mapping 'sets'")
    wrong = next((key for key, psnr in sets.items() if not isinstance(psnr, (int, float)) or not psnr > 0), None)
    if wrong is not None:
        raise DataError(f"reference_psnr of {wrong} is {sets[wrong]!r}, not a number of dB")
    return Backbone(name, kind, file, scale, sets, source)


def find_use(what: str, name: str, known: Mapping[str, Used]) -> Used:
    """Return ``known[name]``.

    Raises:
        DataError: unknown, with the nearest name or all there are.
    """
    if name not in known:
        raise DataError(f"unknown {what} {name!r}; {suggestion(name, known)}")
    return known[name]


def _uses(entry: Mapping, main: str, keys: tuple[str, ...], kind: str) -> bool:
    if main not in entry:
        other = next((key for key in keys if key in entry), None)
        if other is not None:
            raise DataError(f"{other!r} needs {main!r}, the name in the study")
        return False
    if entry["kind"] != kind:
        raise DataError(f"{main!r} belongs to the kind {kind}, not to {entry['kind']}")
    return True


def _text(entry: Mapping, key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{key} {value!r} must be a text")
    return value


def _check_pattern(key: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern.replace("{scale}", "1")).groups
    except re.error as error:
        raise DataError(f"{key} {pattern!r} is no pattern ({error})") from None
    if groups < 1:
        raise DataError(f"{key} {pattern!r} needs a group: what of the name is the picture's name in the study")


def _name(pattern: str | None, file: str, scale: int) -> str | None:
    found = re.fullmatch(pattern.replace("{scale}", str(scale)), file) if pattern is not None else None
    return found[1] if found else None
