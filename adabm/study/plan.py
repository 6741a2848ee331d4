"""Which methods are measured on which networks and pictures: a list in order of value, from parameters."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..backbones import backbone_path
from ..checkpoint import file_metadata
from ..config import QuantizationConfig, preset
from ..datasets import PictureFiles, calibration_files, evaluation_files
from ..errors import ConfigError

FULL_PRECISION = "fp32"


@dataclass(frozen=True)
class Run:
    """A preset (or ``fp32``) at given bits with a seed."""

    method: str
    weight_bits: int = 32
    activation_bits: int = 32
    fully_quantized: bool = False
    seed: int = 0

    @classmethod
    def at(cls, method: str, setting: str, seed: int = 0) -> "Run":
        """Return the run of a method at a setting such as ``W4A4 FQ`` (fully quantized) or ``W8A6``."""
        match = re.fullmatch(r"W(\d+)A(\d+)( FQ)?", setting)
        if match is None:
            raise ConfigError(f"setting {setting!r}: expected such as 'W4A4 FQ' (fully quantized) or 'W8A6' (body alone)")
        weight_bits, activation_bits, full = match.groups()
        return cls(method, int(weight_bits), int(activation_bits), bool(full), seed)

    @property
    def setting(self) -> str:
        """``W4A4 FQ``, ``W8A6`` or, for full precision, ``FP32``."""
        if self.method == FULL_PRECISION:
            return "FP32"
        return f"W{self.weight_bits}A{self.activation_bits}" + (" FQ" if self.fully_quantized else "")

    def config(self, fine_tuning: Mapping) -> QuantizationConfig:
        """Return the configuration; ``fine_tuning`` changes the recipe of presets that fine-tune."""
        if self.method == FULL_PRECISION:
            return preset("minmax")  # nothing of it is used
        return preset(
            self.method, weight_bits=self.weight_bits, activation_bits=self.activation_bits,
            fully_quantized=self.fully_quantized, fine_tuning=dict(fine_tuning),
        )


@dataclass(frozen=True)
class Recipe:
    """Calibration and fine-tuning settings that all quantized models of a study share.

    Attributes:
        patch_size, patches: calibration patches, in LR pixels, and how many (None: one a picture).
        rounds, steps_per_round: of fine-tuning; its patches have ``patch_size`` too.
    """

    patch_size: int = 96
    patches: int | None = None
    rounds: int = 10
    steps_per_round: int = 50

    @property
    def fine_tuning(self) -> dict[str, int]:
        return dict(patch_size=self.patch_size, rounds=self.rounds, steps_per_round=self.steps_per_round)


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures to measure on; ``tile``: LR pixels, or None for whole pictures."""

    name: str
    files: tuple[PictureFiles, ...]
    tile: int | None = None


@dataclass(frozen=True)
class Cell:
    """One cell of the result table: a run of a network on a set, and whether the plan says to run it."""

    backbone: Path
    calibration: tuple[Path, ...]
    run: Run
    pictures: EvaluationSet
    wanted: bool = True

    @property
    def scale(self) -> int:
        return network_scale(self.backbone)

    @property
    def model_identity(self) -> tuple:
        return self.backbone, self.calibration, self.run


_KEYS = {"backbone", "data", "sets", "settings", "methods", "seeds", "tile", "calibration", "run"}
_REQUIRED = ("backbone", "data", "sets", "settings", "methods")


def read_plan(parts: Sequence[Mapping], root: Path, recipe: Recipe) -> list[Cell]:
    """Turn the parts of a plan, most valuable first, into cells; each set starts with full precision.

    A part is a mapping with the keys

    * ``backbone``: name of a shipped network or path of a .safetensors file;
    * ``data``: folder with one folder per set and ``calibration``; see :mod:`adabm.datasets`;
    * ``sets``: names in ``data``, or paths (with a slash) of folders anywhere; ``tile``: LR pixels, 0 for whole pictures;
    * ``calibration`` (optional): another folder of low-resolution pictures;
    * ``settings``, ``methods``, ``seeds`` (optional, [0]): every combination is a run;
    * ``run`` (optional, true): false lists the cells as not run.

    Paths are relative to ``root``. A cell named twice is kept once, and is run if one of them says so.

    Raises:
        ConfigError, DataError, CheckpointError, ImageError: naming what is wrong, before anything is computed.
    """
    cells: dict[tuple, Cell] = {}
    for index, part in enumerate(parts):
        where = f"part {index + 1} of the plan"
        _check(part, where)
        backbone = _backbone(part["backbone"], root)
        data = root / part["data"]
        calibration = tuple(calibration_files(root / part["calibration"] if "calibration" in part else data / "calibration").values())
        runs = [Run(FULL_PRECISION)]
        runs += [Run.at(m, s, seed) for s in part["settings"] for m in part["methods"] for seed in part.get("seeds", [0])]
        for run in runs:
            run.config(recipe.fine_tuning)
        for name in part["sets"]:
            folder = root / name if "/" in name else data / name
            pictures = EvaluationSet(Path(name).name, tuple(evaluation_files(folder)), part.get("tile") or None)
            for run in runs:
                cell = Cell(backbone, calibration, run, pictures, part.get("run", True))
                identity = (cell.model_identity, pictures.name, pictures.tile)
                if identity not in cells or cell.wanted:
                    cells[identity] = cell
    if not cells:
        raise ConfigError("the plan is empty; give at least one part with backbone, data, sets, settings and methods")
    return list(cells.values())


def plan_inputs(cells: Sequence[Cell]) -> list[Path]:
    """Return the weight files and the folders of pictures that cells read, for the provenance of their tables."""
    inputs = {cell.backbone for cell in cells} | {path.parent for cell in cells for path in cell.calibration}
    inputs |= {path.parent for cell in cells for f in cell.pictures.files for path in (f.high, f.low) if path is not None}
    return sorted(inputs)


@cache
def network_scale(backbone: Path) -> int:
    """The upsampling factor that a weight file's metadata tells."""
    options = json.loads(file_metadata(backbone).get("options", "{}"))
    scale = options.get("upscale", options.get("scale"))
    if not isinstance(scale, int):
        raise ConfigError(f"{backbone}: its metadata does not tell the scale; export it with adabm.save_network")
    return scale


def _check(part: Mapping, where: str) -> None:
    for key in part:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(_KEYS))}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
    for key in _REQUIRED:
        if key not in part:
            raise ConfigError(f"{where}: {key!r} is missing")
    for key in ("sets", "settings", "methods", "seeds"):
        if not isinstance(part.get(key, []), list):
            raise ConfigError(f"{where}: {key} = {part[key]!r} must be a list")


def _backbone(name: str, root: Path) -> Path:
    return backbone_path(str(root / name) if name.endswith(".safetensors") else name)
