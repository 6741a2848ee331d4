"""How ranges are searched: what each search gives at AdaBM's mapped bits, and what follows for practice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..tables.conclusion import practice
from ..tables.wording import several
from .clipping_bits import advised_bits
from .clipping_measures import MINMAX, RELEASED, RULES
from .clipping_values import clear, drawn_gaps, pivoted, searches, told_gap
from .clipping_weights import advised_weights
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import signed

_ALIKE = 0.1  # dB


def searched(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by search at AdaBM's mapped bits: what it gives against no clipping and against the released search, with draws."""
    values = {name: pivoted(_of_method(units, name), "fp") for name in dict.fromkeys(units["method"])}
    truth = pivoted(_of_method(units, method), "truth")
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
            row["against the released (dB to ground truth)"] = told_gap(truth, at, released)
        rows.append(row)
    return rows


def _of_method(units: pd.DataFrame, method: str) -> pd.DataFrame:
    return units[(units["method"] == method) & (units["series"] == "search")]


def told_searches(units: pd.DataFrame, method: str) -> list[str]:
    """Tell what the released search gives, and which search follows for practice."""
    here = _of_method(units, method)
    worth, truth = (
        found[RELEASED] - found[MINMAX] for found in (searches(units, method, kind) for kind in ("fp", "truth"))
    )
    sure = clear(pivoted(here, "fp"), ("search", RELEASED), ("search", MINMAX))
    told = (
        f"At AdaBM's mapped bits, without fine-tuning ({method}), the released search (one batch, at the layer's bits, half-way) gives "
        f"{worth:+z.1f} dB against no clipping{'' if sure else ', not clearly'} ({signed(truth, 1)} to ground truth). "
        f'"Clearly" is said where {DRAWN} have one sign, not adjusted for the number of comparisons; tables give the range of these draws.'
    )
    return [told, practice(f"{advised_bits(units)}{_advice(_against_released(here))}{advised_weights(units, method)}")]


def by_network(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by network, where there are several, and search: what it gives against the released search, with draws."""
    found = _against_released(_of_method(units, method))
    networks = dict.fromkeys(one.network for one in found)
    return [
        {
            "ranges of activations, by network": one.network,
            "searched at": one.rule,
            "against the released (dB)": signed(one.fp.gain, 1),
            DRAWN: from_to(one.fp.draws, 1),
            "clearly": "yes" if one_sided(one.fp.draws) else "no",
            "against the released (dB to ground truth)": with_ends(one.truth.gain, one.truth.draws, 1),
        }
        for name in networks
        for one in found
        if one.network == name and len(networks) > 1
    ]


@dataclass(frozen=True)
class _Side:
    """What a search gives against the released one, in dB to full precision or to ground truth, and what draws make of it."""

    gain: float
    draws: np.ndarray

    @property
    def better(self) -> bool:
        return self.gain > 0 and one_sided(self.draws)

    @property
    def worse(self) -> bool:
        return self.gain < 0 and one_sided(self.draws)


@dataclass(frozen=True)
class _Search:
    """What a search gives on a network."""

    network: str
    rule: str
    fp: _Side
    truth: _Side


def _against_released(here: pd.DataFrame) -> list[_Search]:
    sides = [_sides(pivoted(here, kind)) for kind in ("fp", "truth")]
    return [_Search(*at, fp, sides[1][at]) for at, fp in sides[0].items()]


def _sides(values: pd.DataFrame) -> dict[tuple[str, str], _Side]:
    """By network and search."""
    means, released, found = values.groupby("backbone", sort=False).mean()["search"], ("search", RELEASED), {}
    for rule in [rule for rule in RULES if rule != RELEASED]:
        draws = drawn_gaps(values, ("search", rule), released)
        gains = means[rule] - means[RELEASED]
        found |= {(name, rule): _Side(float(gain), draws[:, place]) for place, (name, gain) in enumerate(gains.items())}
    return found


def _advice(found: Sequence[_Search]) -> str:
    """By which search to clip on which network: another than the released one where it is clearly better."""
    networks = list(dict.fromkeys(one.network for one in found))
    best = {name: _best([one for one in found if one.network == name]) for name in networks}
    rules: dict[str, list[_Search]] = {}
    for one in best.values():
        if one is not None:
            rules.setdefault(one.rule, []).append(one)
    if not rules:
        return f"For activations keep the released search: {_none_better(found, networks)}."
    told = []
    for rule, of in rules.items():
        how = "do not clip" if rule == MINMAX else f"search at the {_in_words(rule)}"
        told.append(f"{how} (against the released search {'; '.join(_numbers(one, len(networks) == 1) for one in of)})")
    rest = [name for name in networks if best[name] is None]
    keep = f"; on {several(rest)} keep the released search: {_none_better(found, rest)}" if rest else ""
    return f"For activations {several(told)}{keep}."


def _best(of: Sequence[_Search]) -> _Search | None:
    """The search to advise on a network: clearly better on both sides, or else on one of them and not clearly worse on the other.

    Of searches that gain about as much as the best, the first: their order is that of what they need.
    """
    both = [one for one in of if one.fp.better and one.truth.better]
    fp = [one for one in of if one.fp.better and not one.truth.worse]
    truth = [one for one in of if one.truth.better and not one.fp.worse]
    gain = (lambda one: one.fp.gain) if both or fp else (lambda one: one.truth.gain)
    better = both or fp or truth
    most = max(map(gain, better), default=0.0)
    return next((one for one in better if gain(one) >= most - _ALIKE), None)


def _numbers(one: _Search, alone: bool) -> str:
    """Tell what an advised search gives on both sides, and which is clear."""
    on = "" if alone else f" on {one.network}"
    fp, truth = f"{signed(one.fp.gain, 1)} dB{on}", f"{signed(one.truth.gain, 1)} to ground truth"
    if one.fp.better and one.truth.better:
        return f"{fp}, {truth}, clearly"
    clearly = lambda side: "clearly" if side.better else "not clearly"
    return f"{fp}, {clearly(one.fp)}, {truth}, {clearly(one.truth)}"


def _in_words(rule: str) -> str:
    return rule.replace(", all", " on all")


def _none_better(found: Sequence[_Search], networks: Sequence[str]) -> str:
    """That no other search is to be preferred on some networks, the most that one gives there, and where all give more to ground truth."""
    of, alone = [one for one in found if one.network in networks], len({one.network for one in found}) == 1
    most = [max(of, key=lambda one: one.fp.gain), max(of, key=lambda one: one.truth.gain)]
    gains = [most[0].fp.gain, most[1].truth.gain]
    if max(gains) <= 0:
        return "it is the best"
    at = lambda one: f"{'' if alone else f' on {one.network}'}, at the {_in_words(one.rule)}"
    told = [
        f"{side}at most {signed(gain, 1)} dB{at(one)}"
        for side, gain, one in zip(("", "to ground truth "), gains, most)
        if gain > 0
    ]
    if most[0] is most[1] and len(told) > 1:
        told = [f"at most {signed(gains[0], 1)} dB, {signed(gains[1], 1)} to ground truth{at(most[0])}"]
    apart = any(one.fp.better or one.truth.better for one in of)
    none = "what is clearly better on one side is clearly worse on the other" if apart else "none is clearly better"
    least = [
        name for name in networks if all(one.truth.gain > 0 for one in of if one.network == name and one.rule != MINMAX)
    ]
    told = f"{none} ({'; '.join(told)})"
    if not least:
        return told
    return f"{told}, though every other search gives more to ground truth{'' if alone else f' on {several(least)}'}"
