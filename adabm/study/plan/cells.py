"""Which methods are measured on which networks and pictures: a list in order of value, from parameters."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...engines.registry import find
from ...engines.simulated import SIMULATED
from ...errors import AdabmError, ConfigError
from ...full_precision import FULL_PRECISION, FULL_PRECISION_BITS, FULL_PRECISION_SETTING
from ...networks import load_network
from ...networks.architecture import known_architectures
from ...networks.backbones import backbone_path, is_weight_file
from ...networks.scale import file_scale
from ...networks.sides import file_sides
from ...pictures.folders import calibration_files, check_calibration, evaluation_files
from ...pictures.pairs import PictureFiles
from ...recipes import QuantizationConfig, preset, read_recipe
from ...support.plugins import load_file
from ...validation import Checked, Whole, check, shown
from ...wrapping import check_wrapping
from ..origin.fingerprint import file_hash
from .effort import Effort
from .named_functions import own_files
from .part import check_part, is_path, place
from .root import working_root


@dataclass(frozen=True)
class Run(Checked):
    """A recipe (or ``fp32``) at given bits with a seed.

    Attributes:
        method: name of a shipped recipe, or path of a recipe file, relative to the repository.
        changes: settings that differ from the recipe, see :meth:`adabm.Recipe.with_changes`: ``("tune.lr_weight", 0.001)``;
            ``("tune", None)`` leaves the step out; settings of a whole step are (name, value) pairs.
        imports: Python files of a plan that define what the recipe names; as those that the recipe imports, they enter the key
            of what is computed.
    """

    method: str
    weight_bits: int = FULL_PRECISION_BITS
    activation_bits: int = FULL_PRECISION_BITS
    fully_quantized: bool = False
    seed: Whole = 0
    changes: tuple[tuple[str, object], ...] = ()
    imports: tuple[Path, ...] = field(default=(), compare=False, repr=False)  # its repr stands in keys of questions

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.changes:
            if name in ("weight_bits", "activation_bits", "fully_quantized"):
                raise ConfigError(
                    f"{name} = {value!r}: belongs to the setting, such as {self.setting!r}; change it there"
                )

    @classmethod
    def at(cls, method: str, setting: str, seed: int = 0, changes: Mapping[str, object] | None = None) -> "Run":
        """Return the run of a method at a setting such as ``W4A4 FQ`` (fully quantized) or ``W8A6``."""
        check("setting", setting, str)
        match = re.fullmatch(r"W(\d+)A(\d+)( FQ)?", setting)
        if match is None:
            raise ConfigError(
                f"setting {setting!r}: expected such as 'W4A4 FQ' (fully quantized) or 'W8A6' (body alone)"
            )
        weight_bits, activation_bits, full = match.groups()
        hashable = tuple((name, _hashable(value)) for name, value in (changes or {}).items())
        return cls(method, int(weight_bits), int(activation_bits), bool(full), seed, hashable)

    @property
    def setting(self) -> str:
        """``W4A4 FQ``, ``W8A6`` or, for full precision, ``FP32``."""
        if self.method == FULL_PRECISION:
            return FULL_PRECISION_SETTING
        return f"W{self.weight_bits}A{self.activation_bits}" + (" FQ" if self.fully_quantized else "")

    def config(self, effort: Effort | None = None) -> QuantizationConfig:
        """Return the configuration, with the effort of the study where the recipe fine-tunes.

        Raises:
            ConfigError: a change is unknown, impossible or without effect, or a function that the recipe names stands in no file.
        """
        if self.method == FULL_PRECISION:
            return preset("minmax")  # nothing of it is used
        changes = {name: dict(value) if isinstance(value, _Settings) else value for name, value in self.changes}
        recipe = read_recipe(self.method, working_root()).with_changes(changes)
        if effort is not None and recipe.step("tune") is not None:
            settled = set(_setting_names(changes))
            recipe = recipe.with_changes({k: v for k, v in effort.changes.items() if k not in settled})
        if files := (*self.imports, *own_files(recipe)):
            recipe = replace(recipe, files=(*recipe.files, *files))
        return QuantizationConfig(self.weight_bits, self.activation_bits, self.fully_quantized, recipe=recipe)


def _setting_names(changes: Mapping[str, object]) -> Iterator[str]:
    """The names of changed settings, those of whole steps too: ``tune.rounds`` of ``{"tune": {"rounds": 1}}``."""
    for name, value in changes.items():
        yield from (f"{name}.{setting}" for setting in value) if isinstance(value, Mapping) else (name,)


class _Settings(tuple):
    """Settings of a whole step as (name, value) pairs, which unlike a dictionary can be hashed."""


def _hashable(value: object) -> object:
    if isinstance(value, Mapping):
        return _Settings((name, _hashable(inner)) for name, inner in value.items())
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures to measure on, and how: ``tile``: LR pixels, or None for whole pictures; ``engine``: what runs the model."""

    name: str
    files: tuple[PictureFiles, ...]
    tile: int | None = None
    engine: str = SIMULATED

    @property
    def engine_name(self) -> str:
        """The engine as tables tell it: its name, or that of the file that defines it."""
        return Path(self.engine).name


@dataclass(frozen=True)
class Cell:
    """One cell of the result table: a run of a network on a set, and whether the plan says to run it.

    Full precision has no calibration pictures. ``imports`` are Python files that define what it names. ``effort`` is its
    own where the plan gives it one, other than that of the study.
    """

    backbone: Path
    calibration: tuple[Path, ...]
    run: Run
    pictures: EvaluationSet
    wanted: bool = True
    imports: tuple[Path, ...] = ()
    effort: Effort | None = None

    @property
    def scale(self) -> int:
        return file_scale(self.backbone)

    @property
    def model_identity(self) -> tuple:
        return self.backbone, self.calibration, self.run, self.effort


def read_plan(parts: Sequence[Mapping], root: Path, effort: Effort) -> list[Cell]:
    """Turn the parts of a plan, most valuable first, into cells; each set starts with full precision.

    A part is a mapping with the keys

    * ``backbone``: name of a network, such as ``edsr_f32b8_x4`` or ``dat_light_x4``, or path of a weight file;
    * ``data``: folder with one folder per set and ``calibration``; see :mod:`adabm.pictures.folders`; optional where all sets
      are paths and ``calibration`` is given or nothing is quantized;
    * ``sets``: names in ``data``, or paths (with a slash) of folders anywhere; ``tile``: LR pixels, 0 for whole pictures;
    * ``calibration`` (optional): another folder of low-resolution pictures;
    * ``settings``, ``methods``, ``seeds`` (optional, [0]): every combination is a run; a method is the name of a shipped
      recipe or the path of a recipe file (.yaml);
    * ``engine`` (optional): what runs the quantized models, a name or a Python file, see :func:`adabm.open_engine`;
    * ``imports`` (optional): Python files that register what the part names, such as the architecture of its backbone;
    * ``patch_size``, ``patches``, ``rounds``, ``steps_per_round`` (optional): of its models, instead of the study's;
    * ``run`` (optional, true): false lists the cells as not run.

    Paths are relative to ``root``; ``~`` is the user's folder. Pictures are checked by their headers: that they can be
    read, that pairs have the network's scale, that calibration pictures hold a patch of the recipe and the network takes
    it. A picture that a set has under two names is warned of. Networks are compared with their wrapped copies where a user's
    file registers one. A cell named twice is kept once, at its first place, and is run if one of them says so. In the tables
    networks and sets are known by the names of their files and folders, so that one name cannot stand for two of them.

    Raises:
        ConfigError, DataError, CheckpointError, ImageError, NetworkError: naming the part and what is wrong with it,
            before anything is computed.
    """
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        raise ConfigError(f"plan = {shown(parts)}: must be a list of parts")
    cells: dict[tuple, Cell] = {}
    names: dict[tuple, Path] = {}
    for index, part in enumerate(parts):
        try:
            check_part(part)
            for cell, folder in _cells(part, root, effort):
                pictures, stem = cell.pictures, cell.backbone.stem
                _claim(names, ("backbone", stem.lower()), cell.backbone.resolve())
                _claim(names, ("label", _label(cell.run, root)), cell.run.method)
                _claim(names, ("set", pictures.name, "of backbone", stem), folder.resolve())
                identity = (cell.backbone, cell.run, pictures.name, pictures.tile, pictures.engine)
                known = cells.setdefault(identity, cell)
                if (known.calibration, known.effort) != (cell.calibration, cell.effort):
                    other = "other calibration pictures" if known.calibration != cell.calibration else "another effort"
                    raise ConfigError(
                        f"{cell.run.method} at {cell.run.setting} on {pictures.name} is planned with {other} "
                        "already, and the tables cannot tell them apart; make another plan of it"
                    )
                if cell.wanted:
                    cells[identity] = cell
        except AdabmError as error:
            raise type(error)(f"part {index + 1} of the plan: {error}") from None
    if not cells:
        raise ConfigError("the plan is empty; give at least one part with backbone, sets, settings and methods")
    return list(cells.values())


def _cells(part: Mapping, root: Path, effort: Effort) -> Iterator[tuple[Cell, Path]]:
    """Yield the cells of a part, each with the folder of its set."""
    imports = tuple(place(root, file) for file in part.get("imports", []))
    for file in imports:
        load_file(file)
    engine = part.get("engine", SIMULATED)
    engine = str(place(root, engine)) if ".py" in engine else engine
    find(engine)  # refuses what is none
    name = part["backbone"]
    backbone = backbone_path(str(place(root, name)) if is_weight_file(name) else name)
    scale = file_scale(backbone)
    data = place(root, part.get("data", ""))
    seeds = part.get("seeds", [0])
    quantized = [
        replace(Run.at(method, setting, seed), imports=imports)
        for setting in part["settings"]
        for method in part["methods"]
        for seed in seeds
    ]
    if quantized and any(known.file is not None for known in known_architectures().values()):  # of the user's files
        check_wrapping(load_network(backbone))
    own = effort.of_part(part)
    for run in quantized:
        _check_patch_sizes(run.config(own), own, backbone)
    calibration: tuple[Path, ...] = ()
    if quantized:
        source = place(root, part["calibration"]) if "calibration" in part else data / "calibration"
        calibration = tuple(calibration_files(source).values())
        check_calibration(calibration, own.patch_size)
    for name in part["sets"]:
        folder = place(root, name) if is_path(name) else data / name
        pictures = EvaluationSet(folder.name, tuple(evaluation_files(folder, scale)), part.get("tile") or None)
        for files in pictures.files:
            files.check(scale)
        _tell_copies(pictures)
        wanted = part.get("run", True)
        yield Cell(backbone, (), Run(FULL_PRECISION), pictures, wanted, imports), folder
        for run in quantized:
            with_engine, different = replace(pictures, engine=engine), own if own != effort else None
            yield Cell(backbone, calibration, run, with_engine, wanted, imports, different), folder


def _tell_copies(pictures: EvaluationSet) -> None:
    """Warn of a picture that a set has under several names."""
    by_size = defaultdict(list)
    for files in pictures.files:
        by_size[files.high.stat().st_size].append(files.high)
    named = defaultdict(list)
    for paths in by_size.values():
        for path in paths if len(paths) > 1 else ():
            named[file_hash(path)].append(path.name)
    for names in named.values():
        if len(names) > 1:
            what = f"{pictures.name}: {' and '.join(names)} are one picture, which counts {len(names)} times"
            warnings.warn(f"{what}; remove all but one", stacklevel=2)


def _check_patch_sizes(config: QuantizationConfig, effort: Effort, backbone: Path) -> None:
    for size in (effort.patch_size, *(getattr(step, "patch_size", None) for step in config.recipe.steps)):
        if size is not None:
            file_sides(backbone).check("patch_size", size, backbone.stem)


def plan_inputs(cells: Sequence[Cell]) -> list[Path]:
    """Return the weight files and the folders of pictures that cells read, for the provenance of their tables."""
    inputs = {cell.backbone for cell in cells} | {path.parent for cell in cells for path in cell.calibration}
    inputs |= {
        path.parent for cell in cells for f in cell.pictures.files for path in (f.high, f.low) if path is not None
    }
    return sorted(inputs)


def _label(run: Run, root: Path) -> str:
    """What tables call the method of a run."""
    return FULL_PRECISION if run.method == FULL_PRECISION else read_recipe(run.method, root).label


def _claim(names: dict[tuple, Path | str], name: tuple, path: Path | str) -> None:
    if names.setdefault(name, path) != path:
        raise ConfigError(
            f"{' '.join(name)}: {names[name]} and {path} have the same name, by which the tables know them; rename one"
        )
