"""What a question's published tables lack of what its parameters ask for: networks of a question, cells of an evaluation."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adabm.engines.simulated import SIMULATED
from adabm.errors import ConfigError
from adabm.full_precision import FULL_PRECISION, FULL_PRECISION_SETTING
from adabm.networks.backbones import backbone_path, is_weight_file
from adabm.study import Effort, read_plan
from adabm.study.plan.cells import Cell
from adabm.study.plan.effort import EFFORT
from adabm.study.plan.part import place
from adabm.validation import shown

_NO_NUMBER = {"workers", "results"}  # parameters on which no number depends
_KEYS = ("backbone", "dataset", "tile", "method", "setting", "seed")  # of a cell of an evaluation


@dataclass(frozen=True)
class Lacking:
    """What is to be measured for a table to be complete.

    Attributes:
        keys: columns that tell which lines of a table belong together.
        wanted: the values of these columns, in the order of the whole table.
        new: those of them that are lacking.
        block: the parameters that ask for these alone.
        seeds: of all models of the whole table.
    """

    keys: tuple[str, ...]
    wanted: tuple[tuple[str, ...], ...]
    new: frozenset[tuple[str, ...]]
    block: dict
    seeds: tuple[int, ...]


def lacking(block: Mapping, used: Mapping, root: Path) -> Lacking:
    """Compare what a block of parameters asks for with what a table was measured with.

    Args:
        used: the parameters that the published table was measured with.

    Raises:
        ConfigError: a parameter of all lines differs, or the block has neither a plan nor networks.
        AdabmError: what :func:`adabm.study.read_plan` refuses.
    """
    if "plan" in block:
        return _of_plan(block, used, root)
    if "backbones" in block:
        return _of_networks(block, used, root)
    raise ConfigError("its block has neither `plan` nor `backbones`, by which tables are extended; run the whole stage")


def _of_plan(block: Mapping, used: Mapping, root: Path) -> Lacking:
    _check_equal(block, used, {"plan", *EFFORT})
    now, then = (_cells(values, root) for values in (block, used))
    known = {_keys_of(cell): cell for cell in then}
    wanted = [_keys_of(cell) for cell in now]
    new = frozenset(keys for keys, cell in zip(wanted, now) if known.get(keys) != cell)
    plan = [part for given in block["plan"] for part in _parts(given, new, root)]
    networks = {keys[0] for keys in new}
    same_as = {name: model for name, model in block.get("same_as", {}).items() if name in networks}
    seeds = sorted({cell.run.seed for cell in now})
    return Lacking(_KEYS, tuple(wanted), new, {**block, "plan": plan, "same_as": same_as}, tuple(seeds))


def _cells(values: Mapping, root: Path) -> list[Cell]:
    """Return the cells of a plan, each with its effort."""
    effort = Effort.from_parameters(values)
    cells = read_plan(values["plan"], root, effort)
    for engine in {cell.pictures.engine for cell in cells} - {SIMULATED}:
        raise ConfigError(f"engine {engine}: a plan of several engines is not extended; run the whole stage")
    return [replace(cell, effort=cell.effort or effort) for cell in cells]


def _keys_of(cell: Cell) -> tuple[str, ...]:
    run, pictures = cell.run, cell.pictures
    return _keys(cell.backbone, pictures.name, pictures.tile, run.method, run.setting, run.seed)


def _keys(backbone: Path, dataset: str, tile: int | None, method: str, setting: str, seed: int) -> tuple[str, ...]:
    return backbone.stem, dataset, str(tile or 0), method, setting, str(seed)


def _parts(part: Mapping, new: Collection[tuple[str, ...]], root: Path) -> Iterable[dict]:
    """Yield what a part of a plan asks for that is new."""
    backbone, quantized = _path(part["backbone"], root), bool(part["settings"])
    runs = [(s, m) for s in part["settings"] for m in part["methods"]] or [(FULL_PRECISION_SETTING, FULL_PRECISION)]
    for setting, method in runs:
        for seed in part.get("seeds", [0]) if quantized else [0]:
            keys = {
                name: _keys(backbone, place(root, name).name, part.get("tile"), method, setting, seed)
                for name in part["sets"]
            }
            if sets := [name for name, of in keys.items() if of in new]:
                asked = {"settings": [setting], "methods": [method], "seeds": [seed]} if quantized else {}
                yield {**part, "sets": sets, **asked}


def _of_networks(block: Mapping, used: Mapping, root: Path) -> Lacking:
    stems = {name: _path(name, root).stem for name in block["backbones"]}
    limited = {key for key, value in block.items() if _are_methods(value)}
    _check_equal(block, used, {"backbones", *limited})
    new = [name for name, stem in stems.items() if _asked(name, stem, block) != _asked(name, stem, used)]
    alone = {stems[name] for name in new}
    methods = {key: dict(_limited(block[key], alone)) for key in limited}
    backbones = {name: block["backbones"][name] for name in new}
    seeds = sorted({seed for given in block["backbones"].values() for seed in given["seeds"]})
    return Lacking(
        ("backbone",),
        tuple((stem,) for stem in stems.values()),
        frozenset((stem,) for stem in alone),
        {**block, "backbones": backbones, **methods},
        tuple(seeds),
    )


def _asked(name: str, stem: str, values: Mapping) -> dict[str, object]:
    """Return the parameters that ask something of one network, by what differs between networks; methods in their order, which lines have."""
    asked = {"backbones": values["backbones"].get(name)}
    for key, value in values.items():
        if _are_methods(value):
            asked[key] = [(series, {**method, "backbones": []}) for series, method in _limited(value, {stem})]
    return asked


def _are_methods(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(m, Mapping) and "method" in m for m in value.values())


def _limited(methods: Mapping[str, Mapping], stems: Collection[str]) -> Iterable[tuple[str, Mapping]]:
    """Yield the methods that are asked of some of the networks, limited to them."""
    for series, method in methods.items():
        if "backbones" not in method:
            yield series, method
        elif there := [stem for stem in method["backbones"] if stem in stems]:
            yield series, {**method, "backbones": there}


def _path(name: str, root: Path) -> Path:
    return backbone_path(str(place(root, name)) if is_weight_file(name) else name)


def _check_equal(block: Mapping, used: Mapping, apart: Collection[str]) -> None:
    """Refuse parameters that touch lines which are there."""
    for name in sorted({*block, *used} - {*apart} - _NO_NUMBER):
        if block.get(name) != used.get(name):
            raise ConfigError(
                f"{name} = {shown(block.get(name))}, where the published table was measured with {shown(used.get(name))}: "
                "all its lines depend on it; run the whole stage"
            )
