"""The networks that a question looks into, each with as many patches and seeds as its cost allows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Len

from ...errors import ConfigError
from ...validation import Count, check
from ..plan.effort import Effort
from ..plan.options import check_keys
from .bench import Bench

_NETWORKS = Annotated[dict[str, dict], Len(1), "networks, each with patches and seeds, not empty"]


@dataclass(frozen=True)
class Unit:
    """A network and a seed: what one model of a question is made from and measured on.

    Attributes:
        setting: bits, such as ``W4A4 FQ``.
        patches: of each set; ``side`` of each, LR pixels; None where whole pictures are measured.
        own: what else this network has of its own, by name.
    """

    bench: Bench
    setting: str
    patches: int | None
    side: int | None
    seed: int
    own: Mapping[str, object]


def open_networks(
    backbones: Mapping[str, Mapping],
    data: str,
    sets: Sequence[str],
    pool: str,
    effort: Effort,
    setting: str,
    side: int | None = None,
    own: Collection[str] = (),
    workers: int = 0,
    device: str = "cpu",
) -> list[Unit]:
    """Return the units of a question, network by network, seed by seed.

    Args:
        backbones: by shipped network or weight file: ``patches`` of each set, ``seeds`` and, where they differ from those
            of the question, ``setting``, ``side``, ``patch_size`` of calibration (LR pixels), ``data`` and ``pool`` (of
            another scale), and what ``own`` names.
        data, sets, pool, effort, workers, device: as for :meth:`.bench.Bench.open`.
        side: of a patch, LR pixels; None measures whole pictures, and no network has ``patches`` or ``side``.

    Raises:
        AdabmError: no network, one that is there twice, two of the same file name, an unknown or missing key, or what :meth:`.bench.Bench.open` refuses.
    """
    kinds = {
        "patches": Count,
        "patch_size": Count,
        "setting": str,
        "side": Count,
        "data": str,
        "pool": str,
        "changes": dict,
    }
    required, optional = (["seeds"], []) if side is None else (["patches", "seeds"], ["side"])
    for name, given in check("backbones", backbones, _NETWORKS).items():
        check_keys(
            f"backbones, {name}", given, required, ["patch_size", "setting", "data", "pool", *optional, *own], kinds
        )
    units, opened = [], {}
    for name, given in backbones.items():
        effort_of = replace(effort, patch_size=given.get("patch_size", effort.patch_size))
        bench = Bench.open(name, given.get("data", data), sets, given.get("pool", pool), effort_of, workers, device)
        _check_different(opened, name, bench.backbone)
        shared = (bench, given.get("setting", setting), given.get("patches"), given.get("side", side))
        units += [Unit(*shared, seed, {key: given[key] for key in own if key in given}) for seed in given["seeds"]]
    return units


def _check_different(opened: dict[str, tuple[str, Path]], name: str, path: Path) -> None:
    """Refuse a network that is there already, and another one of the same file name, by which the tables know it."""
    known, there = opened.setdefault(path.stem, (name, path.resolve()))
    if known != name:
        if there == path.resolve():
            raise ConfigError(f"backbones: {name} is the same network as {known}; name it once")
        raise ConfigError(
            f"backbones: {known} and {name} have the same name {path.stem}, by which the tables know them; rename one"
        )


def by_network(units: Sequence[Unit]) -> list[list[Unit]]:
    """Return the units of each network."""
    found: dict[Path, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.bench.backbone, []).append(unit)
    return list(found.values())


def inputs(units: Sequence[Unit]) -> list[Path]:
    """Return files and folders that the models read, for the provenance."""
    return sorted({path for group in by_network(units) for path in group[0].bench.inputs})


def seeds(units: Sequence[Unit]) -> list[int]:
    """Return all seeds, for the provenance."""
    return sorted({unit.seed for unit in units})
