"""The networks that a question is asked on whose answer compares whole models: each with its own sets, seeds, methods, levels."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ...errors import ConfigError
from ..plan.cells import Run
from ..plan.effort import Effort
from ..plan.options import check_choices, check_keys
from ..running.bench import Bench, Trial
from ..running.networks import Unit, by_network, open_networks
from ..tables.schema import study_table


@dataclass(frozen=True)
class Asked:
    """A network that a question is asked on.

    Attributes:
        bench: with this network's own sets alone.
        setting: bits, such as ``W4A4 FQ``.
        seeds: of all its models.
        own: what else it has of its own, by name.
    """

    bench: Bench
    setting: str
    seeds: tuple[int, ...]
    own: Mapping[str, object]

    @property
    def name(self) -> str:
        """As tables name it: that of its file, without the suffix."""
        return self.bench.backbone.stem

    def methods(self, methods: Mapping[str, Mapping]) -> dict[str, Mapping]:
        """Return the methods that are asked of this network, by series."""
        return {
            series: method for series, method in methods.items() if self.name in method.get("backbones", [self.name])
        }

    def levels(self, key: str, given: Sequence, method: Mapping) -> list:
        """Return what a method is asked with: of the network's own levels, or the question's, those that it is not limited to."""
        levels = self.own.get(key, given)
        return [level for level in levels if level in method.get(key, levels)]

    def runs(self, method: Mapping) -> list[Run]:
        """Return the runs of a method, one a seed."""
        return [
            Run.at(method["method"], self.setting, seed, method.get("changes"))
            for seed in self.seeds
            if seed in method.get("seeds", self.seeds)
        ]


def open_asked(
    backbones: Mapping[str, Mapping],
    data: str,
    sets: Sequence[str],
    pool: str,
    effort: Effort,
    setting: str,
    methods: Mapping[str, Mapping],
    own: Collection[str] = (),
    workers: int = 0,
    device: str = "cpu",
    parameter: str = "methods",
) -> list[Asked]:
    """Open the networks of a question.

    Args:
        backbones: by shipped network or weight file: ``seeds`` and, where they differ from those of the question,
            ``setting``, ``patch_size`` of calibration (LR pixels), ``sets`` (some of the question's), and what ``own`` names.
        data, sets, pool, effort, setting, workers, device: as for :func:`.networks.open_networks`.
        methods: by series: ``method`` and, where they differ, ``changes``, ``run``; ``backbones`` (names of the files),
            ``seeds`` and what ``own`` names, which limit it to some of them.
        parameter: what the notebook calls the methods.

    Raises:
        AdabmError: a set that the question does not have, a method of a network that is not there or with an unknown key,
            or what :func:`.networks.open_networks` refuses.
    """
    units = open_networks(
        backbones, data, sets, pool, effort, setting, own=[*own, "sets"], workers=workers, device=device
    )
    networks = [_asked(units_of, sets) for units_of in by_network(units)]
    check_methods(methods, [network.name for network in networks], own, parameter)
    for series, method in methods.items():
        known = {seed for network in networks for seed in network.seeds if series in network.methods(methods)}
        check_seeds(f"{parameter}, {series}", method.get("seeds", ()), known)
    return networks


def _asked(units: Sequence[Unit], sets: Sequence[str]) -> Asked:
    first = units[0]
    wanted = first.own.get("sets", sets)
    check_choices(f"backbones, {first.bench.backbone.stem}: sets", wanted, sets)
    kept = tuple(pictures for name, pictures in zip(sets, first.bench.sets, strict=True) if name in wanted)
    return Asked(replace(first.bench, sets=kept), first.setting, tuple(unit.seed for unit in units), first.own)


def check_seeds(what: str, given: Collection[int], known: Collection[int]) -> None:
    """Refuse seeds to which a method is limited and that none of its networks has: it would be left out without a word.

    Raises:
        ConfigError: naming ``what``, the seed, and the seeds that there are.
    """
    for seed in given:
        if seed not in known:
            raise ConfigError(
                f"{what}: seed {seed} is none of its networks', which have {', '.join(map(str, sorted(known)))}; leave it out, or give it to "
                "them"
            )


def checked_units(
    units: Sequence[Unit], methods: Mapping[str, Mapping], required: Collection[str], optional: Collection[str]
) -> Sequence[Unit]:
    """Return the units of a question, once each of its methods has the keys ``required`` and no other but the ``optional`` ones.

    Raises:
        ConfigError: a method has an unknown key, lacks one, or is limited to a seed that no network has.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, required, optional)
        check_seeds(f"methods, {name}", method.get("seeds", ()), {unit.seed for unit in units})
    return units


def check_methods(
    methods: Mapping[str, Mapping], networks: Sequence[str], own: Collection[str], parameter: str = "methods"
) -> None:
    """Refuse methods with unknown keys, without ``method``, or of networks that are not asked.

    Args:
        networks: names of their files.
        own, parameter: keys besides those of all questions, and what methods are called, see :func:`open_asked`.

    Raises:
        ConfigError: naming the method and the key.
    """
    for series, method in methods.items():
        check_keys(f"{parameter}, {series}", method, ["method"], ["changes", "backbones", "seeds", "run", *own])
        check_choices(f"{parameter}, {series}: backbones", method.get("backbones", ()), networks)


def measure(question: str, networks: Sequence[Asked], trials: Sequence[Sequence[Trial]]) -> pd.DataFrame:
    """Measure the trials of each network; return the question's table, network by network."""
    tables = [network.bench.measure(question, of_network) for network, of_network in zip(networks, trials, strict=True)]
    return study_table(pd.concat(tables).to_dict("records"))


def inputs(networks: Sequence[Asked]) -> list[Path]:
    """Return files and folders that the models read, for the provenance."""
    return sorted({path for network in networks for path in network.bench.inputs})
