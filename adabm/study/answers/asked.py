"""The networks that a question is asked on whose answer compares whole models: each with its own sets, seeds, methods, levels."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from ...errors import ConfigError
from ...validation import shown
from ..plan.cells import Run
from ..plan.effort import Effort
from ..plan.options import check_choices, check_keys
from ..plan.part import place
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
        own_of: that of all networks of the question, by the names of their files.
    """

    bench: Bench
    setting: str
    seeds: tuple[int, ...]
    own: Mapping[str, object]
    own_of: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As tables name it: that of its file, without the suffix."""
        return self.bench.backbone.stem

    def methods(self, methods: Mapping[str, Mapping]) -> dict[str, Mapping]:
        """Return the methods that are asked of this network, by series."""
        return {
            series: method for series, method in methods.items() if self.name in method.get("backbones", [self.name])
        }

    def levels(
        self, key: str, given: Sequence, series: str, methods: Mapping[str, Mapping], always: Sequence = ()
    ) -> list:
        """Return what a method is asked with: of the network's own levels, or the question's, those that it is not limited to.

        Args:
            always: levels that are there in any case, to which a method may be limited too.

        Raises:
            ConfigError: the method is limited to a level that none of its networks has.
        """
        levels, limit = self.own.get(key, given), methods[series].get(key)
        if limit is None:
            return list(levels)
        check_known(f"methods, {series}: {key}", limit, union([self.known(key, given, methods[series]), always]))
        return [level for level in levels if level in limit]

    def known(self, key: str, given: Sequence, method: Mapping) -> list:
        """Return the levels that any network of a method has: its own, or those of the question, ``given``."""
        own_of = self.own_of or {self.name: self.own}
        return union(own.get(key, given) for name, own in own_of.items() if name in method.get("backbones", own_of))

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
            a network without a method, or what :func:`.networks.open_networks` refuses.
    """
    units = open_networks(
        backbones, data, sets, pool, effort, setting, own=[*own, "sets"], workers=workers, device=device
    )
    own_of = {unit.bench.backbone.stem: unit.own for unit in units}
    networks = [_asked(units_of, sets, own_of) for units_of in by_network(units)]
    check_methods(methods, [network.name for network in networks], own, parameter)
    for series, method in methods.items():
        known = {seed for network in networks for seed in network.seeds if series in network.methods(methods)}
        check_seeds(f"{parameter}, {series}", method.get("seeds", ()), known)
    check_all_asked(units, methods, parameter)
    return networks


def _asked(units: Sequence[Unit], sets: Sequence[str], own_of: Mapping[str, Mapping[str, object]]) -> Asked:
    first = units[0]
    wanted = first.own.get("sets", sets)
    check_choices(f"backbones, {first.bench.backbone.stem}: sets", wanted, sets)
    names = {
        place(first.bench.root, name).name for name in wanted
    }  # a bench has each set once, however often it is named
    kept = tuple(pictures for pictures in first.bench.sets if pictures.name in names)
    seeds = tuple(unit.seed for unit in units)
    return Asked(replace(first.bench, sets=kept), first.setting, seeds, first.own, own_of)


def union(several: Iterable[Sequence]) -> list:
    """Return what any of them has, each once, in their order."""
    return list(dict.fromkeys(level for levels in several for level in levels))


def check_known(what: str, given: Collection, known: Collection) -> None:
    """Refuse levels that there are not: what a method is limited to would be left out without a word.

    Raises:
        ConfigError: naming ``what``, the level, and the levels that there are.
    """
    for level in given:
        if level not in known:
            there = ", ".join(map(str, known)) or "none"
            raise ConfigError(f"{what}: {shown(level)} is not asked for (but {there}); leave it out, or ask for it too")


def check_all_asked(units: Sequence[Unit], methods: Mapping[str, Mapping], parameter: str = "methods") -> None:
    """Refuse networks that no method names: their rows would be missing from the table without a word.

    Raises:
        ConfigError: naming the network.
    """
    for group in by_network(units):
        name, seeds = group[0].bench.backbone.stem, {unit.seed for unit in group}
        of_network = [method for method in methods.values() if name in method.get("backbones", [name])]
        if not any(seeds.intersection(method.get("seeds", seeds)) for method in of_network):
            what = parameter.removesuffix("s")
            raise ConfigError(f"backbones, {name}: no {what} is asked of it; add it to the backbones of one")


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
        ConfigError: a method has an unknown key, lacks one, or is limited to a seed that no network has; or a network has none.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, required, optional)
        check_seeds(f"methods, {name}", method.get("seeds", ()), {unit.seed for unit in units})
    check_all_asked(units, methods)
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
        check_backbones(f"{parameter}, {series}", method, networks)


def check_backbones(what: str, method: Mapping, networks: Collection[str]) -> None:
    """Refuse networks of a method that are not there, and an empty list of them.

    Raises:
        ConfigError: naming ``what`` and the network.
    """
    check_choices(f"{what}: backbones", method.get("backbones", ()), networks)
    if "backbones" in method and not method["backbones"]:
        raise ConfigError(
            f"{what}: backbones = []: names no network; leave out the method, or backbones for all of them"
        )


def measure(question: str, networks: Sequence[Asked], trials: Sequence[Sequence[Trial]]) -> pd.DataFrame:
    """Measure the trials of each network; return the question's table, network by network."""
    tables = [network.bench.measure(question, of_network) for network, of_network in zip(networks, trials, strict=True)]
    return study_table(pd.concat(tables).to_dict("records"))


def inputs(networks: Sequence[Asked]) -> list[Path]:
    """Return files and folders that the models read, for the provenance."""
    return sorted({path for network in networks for path in network.bench.inputs})
