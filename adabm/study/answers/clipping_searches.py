"""How ranges are searched: what each search gives at AdaBM's mapped bits, and what follows for practice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..tables.conclusion import practice
from ..tables.wording import several
from .clipping_measures import MINMAX, RELEASED, RULES
from .clipping_values import clear, drawn_gaps, pivoted, searches, told_gap
from .clipping_weights import advised_weights
from .draws import DRAWN, from_to, one_sided
from .measured import signed

_ALIKE = 0.1  # dB


def searched(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by search at AdaBM's mapped bits: what it gives against no clipping and against the released search, with draws."""
    values = {name: pivoted(_of_method(units, name), "fp") for name in dict.fromkeys(units["method"])}
    found, rows = searches(units, method, "fp"), []
    for rule in RULES:
        row, at = {"ranges searched at": rule}, ("search", rule)
        for name, of_method in values.items():
            told = signed(0, 1) if rule == MINMAX else told_gap(of_method, at, ("search", MINMAX))
            row[f"{name}: against no clipping (dB)"] = told
        row["against the released (dB)"] = signed(found[rule] - found[RELEASED], 1)
        if rule != RELEASED:
            released = ("search", RELEASED)
            row[DRAWN] = from_to(drawn_gaps(values[method], at, released).mean(1), 1)
            row["clearly"] = "yes" if clear(values[method], at, released) else "no"
        rows.append(row)
    return rows


def _of_method(units: pd.DataFrame, method: str) -> pd.DataFrame:
    return units[(units["method"] == method) & (units["series"] == "search")]


def told_searches(units: pd.DataFrame, method: str) -> list[str]:
    """Tell what the released search gives, and which search follows for practice."""
    found, values = searches(units, method, "fp"), pivoted(_of_method(units, method), "fp")
    worth = found[RELEASED] - found[MINMAX]
    sure = clear(values, ("search", RELEASED), ("search", MINMAX))
    told = (
        f"At AdaBM's mapped bits, without fine-tuning ({method}), the released search (one batch, at the layer's bits, half-way) gives "
        f'{worth:+z.1f} dB against no clipping{"" if sure else ", not clearly"}. "Clearly" is said where {DRAWN} have one sign, not '
        "adjusted for the number of comparisons; tables give the range of these draws."
    )
    return [told, practice(f"{_advice(values)}{advised_weights(units, method)}")]


def by_network(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by network, where there are several, and search: what it gives against the released search, with draws."""
    found = _against_released(pivoted(_of_method(units, method), "fp"))
    networks = dict.fromkeys(one.network for one in found)
    return [
        {
            "ranges of activations, by network": one.network,
            "searched at": one.rule,
            "against the released (dB)": signed(one.gain, 1),
            DRAWN: from_to(one.draws, 1),
            "clearly": "yes" if one_sided(one.draws) else "no",
        }
        for name in networks
        for one in found
        if one.network == name and len(networks) > 1
    ]


@dataclass(frozen=True)
class _Search:
    """What a search gives against the released one on a network, in dB, and what draws make of it."""

    network: str
    rule: str
    gain: float
    draws: np.ndarray

    @property
    def better(self) -> bool:
        return self.gain > 0 and one_sided(self.draws)


def _against_released(values: pd.DataFrame) -> list[_Search]:
    means, released, found = values.groupby("backbone", sort=False).mean()["search"], ("search", RELEASED), []
    for rule in [rule for rule in RULES if rule != RELEASED]:
        draws = drawn_gaps(values, ("search", rule), released)
        gains = means[rule] - means[RELEASED]
        found += [_Search(name, rule, float(gain), draws[:, place]) for place, (name, gain) in enumerate(gains.items())]
    return found


def _advice(values: pd.DataFrame) -> str:
    """By which search to clip on which network: another than the released one where it is clearly better."""
    found = _against_released(values)
    networks = list(dict.fromkeys(one.network for one in found))
    best = {name: _simplest([one for one in found if one.network == name and one.better]) for name in networks}
    rules: dict[str, list[_Search]] = {}
    for one in best.values():
        if one is not None:
            rules.setdefault(one.rule, []).append(one)
    if not rules:
        return f"For activations keep the released search: {_none_better(found, networks)}."
    alone = len(networks) == 1
    told = []
    for rule, of in rules.items():
        gains = several([f"{signed(one.gain, 1)} dB{'' if alone else f' on {one.network}'}" for one in of])
        how = "do not clip" if rule == MINMAX else f"search at the {_in_words(rule)}"
        told.append(f"{how} ({gains} against the released search, clearly)")
    rest = [name for name in networks if best[name] is None]
    keep = f"; on {several(rest)} keep the released search: {_none_better(found, rest)}" if rest else ""
    return f"For activations {several(told)}{keep}."


def _simplest(better: Sequence[_Search]) -> _Search | None:
    """Of searches that gain about as much as the best, the first: their order is that of what they need."""
    most = max((one.gain for one in better), default=0.0)
    return next((one for one in better if one.gain >= most - _ALIKE), None)


def _in_words(rule: str) -> str:
    return rule.replace(", all", " on all")


def _none_better(found: Sequence[_Search], networks: Sequence[str]) -> str:
    """That no other search is clearly better on some networks, and the most that one gives there."""
    most = max((one for one in found if one.network in networks), key=lambda one: one.gain)
    if most.gain <= 0:
        return "it is the best"
    several_networks = len({one.network for one in found}) > 1
    on = f" on {most.network}" if several_networks else ""
    return f"none is clearly better (at most {signed(most.gain, 1)} dB{on}, at the {_in_words(most.rule)}, not clearly)"
