"""Sentences on which strategies of choosing pictures differ clearly from random ones, and where."""

from collections.abc import Sequence

import pandas as pd

from ..tables.wording import several
from .measured import signed
from .strategy_gains import KEYS, REFERENCE, clear

_SAME_FAB = 0.005  # bits; tables show two decimals
_MANY = 4  # comparisons, of networks, methods and sets
_NO_BETTER = "No way of choosing is clearly better than random pictures"


def _units(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Networks and series, in order of appearance."""
    return list(dict.fromkeys(zip(rows["backbone"], rows["series"])))


def _place(of: Sequence[tuple[str, str]], every: Sequence[tuple[str, str]]) -> str:
    """Name networks and series as far as they tell apart: those alone of which there are several."""
    if len({network for network, _ in every}) == 1:
        return several([series for _, series in of])
    texts = []
    for network in dict.fromkeys(network for network, _ in of):
        own = [series for name, series in of if name == network]
        whole = len(own) == sum(name == network for name, _ in every)
        texts.append(f"on {network}" + ("" if whole else f" with {several(own)}"))
    return several(texts)


def differing(here: pd.DataFrame, sign: int) -> list[str]:
    """Strategies that are clearly better (1) or worse (-1) than random pictures; where it is not so everywhere, with networks and series."""
    rows = here[clear(here) & (here["against random"] * sign > 0)]
    every = _units(here)
    alike: dict[tuple, list[str]] = {}
    for strategy in dict.fromkeys(rows["strategy"]):
        found = _units(rows[rows["strategy"] == strategy])
        alike.setdefault(tuple(unit for unit in every if unit in found), []).append(strategy)
    return [
        several(names) + ("" if len(of) == len(every) else f" ({_place(of, every)})") for of, names in alike.items()
    ]


def verdict(here: pd.DataFrame, better: list[str], worse: list[str]) -> str:
    if here["against random"].isna().all():
        return "Random pictures alone were measured: no choice was compared with them."
    networks = here["backbone"].nunique()
    tested = here.groupby("backbone", sort=False)["seeds of both"].max() > 1
    if not tested.any():
        return "One seed cannot tell whether any choice beats random pictures."
    where = f" on any of {networks} networks" if networks > 1 else ""
    text = "Clearly better than random pictures is " + several(better) if better else _NO_BETTER + where
    text += f"; clearly worse: {several(worse)}{_of_comparisons(here)}" if worse else ", and none is clearly worse"
    untold = list(tested.index[~tested])
    return text + (f"; on {several(untold)} one seed cannot tell." if untold else ".")


def _of_comparisons(here: pd.DataFrame) -> str:
    """In how many of the comparisons strategies are clearly worse, where these are several and it is so in few."""
    counts = [
        (int((clear(rows) & (rows["against random"] < 0)).sum()), len(rows))
        for _, rows in here.dropna(subset=["against random"]).groupby("strategy", sort=False)
    ]
    found = [(sure, of) for sure, of in counts if sure]
    (sure, of), each = found[0], "each " * (len(found) > 1)
    few = len(set(found)) == 1 and of >= _MANY and 3 * sure <= of
    return f", {each}in {sure} of {of} comparisons on {_sets(here)}" if few else ""


def _sets(rows: pd.DataFrame) -> str:
    return several(list(dict.fromkeys(rows["dataset"])))


def advice(comparison: pd.DataFrame, better: list[str], worse: list[str]) -> str:
    """What to choose by; of what is worse somewhere, how often it is, on all sets."""
    random = comparison[comparison["strategy"] == REFERENCE].set_index(KEYS)["fab"].rename("fab of random")
    tested = comparison.dropna(subset=["against random"]).join(random, on=KEYS)
    # which comparisons are counted is said once, where the first are; the answer counts those on the first set alone
    on = f" on {_sets(tested)}" if worse and tested["dataset"].nunique() > 1 else ""
    as_good = "" if better else _as_good(tested, on)
    text = f"choose by {several(shortened(better))}" if better else f"draw pictures at random{as_good}"
    if not worse:
        return f"{text}."
    bad = list(dict.fromkeys(tested[clear(tested) & (tested["against random"] < 0)]["strategy"]))
    standing = {name: _standing(tested[tested["strategy"] == name]) for name in bad}
    always = [name for name, (_, sure, count) in standing.items() if sure == count]
    parts = [f"avoid {several(always)}"] if always else []
    for name, (below, sure, count) in standing.items():
        if name not in always:
            which = on if not as_good and len(parts) == bool(always) else ""
            parts.append(f"{name} is below them in {below} of {count} comparisons{which}, clearly in {sure}")
    return f"{'; '.join([text, *parts])}."


def _as_good(tested: pd.DataFrame, on: str) -> str:
    """Name strategies that are above random pictures in all of several comparisons ``on`` sets, and in how many clearly."""
    above = tested.groupby("strategy", sort=False)["against random"].agg(["min", "mean", "size"])
    above = above[(above["min"] > 0) & (above["size"] >= _MANY)]
    if above.empty:
        return ""
    told = [
        f"{name} ({signed(row['mean'])} dB in the mean{_at_equal_bits(tested, name)})" for name, row in above.iterrows()
    ]
    counts = several(list(dict.fromkeys(f"{size:.0f}" for size in above["size"])))
    clearly = int(clear(tested[tested["strategy"].isin(above.index)]).sum())
    models = tested.groupby(["backbone", "series"])["dataset"].nunique()
    shared = "seeds, some models too" if models.max() > 1 else "seeds"
    return (
        f", or by {several(told)}, above them in all {counts} comparisons{on} (not independent: they share {shared}), "
        f"clearly in {clearly or 'none'}"
    )


def _at_equal_bits(tested: pd.DataFrame, strategy: str) -> str:
    """What a strategy gains in the comparisons in which it has the bits of random pictures, where in others it has more."""
    rows = tested[tested["strategy"] == strategy]
    same = rows[(rows["fab"] - rows["fab of random"]).abs() < _SAME_FAB]
    return (
        f", {signed(same['against random'].mean())} in the {len(same)} at equal FAB"
        if 0 < len(same) < len(rows)
        else ""
    )


def _standing(rows: pd.DataFrame) -> tuple[int, int, int]:
    """In how many comparisons a strategy is below random pictures, in how many of these clearly, and how many there are."""
    below = rows["against random"] < 0
    return int(below.sum()), int((clear(rows) & below).sum()), len(rows)


def span(here: pd.DataFrame) -> str:
    """From the worst to the best strategy, by network."""
    sets, texts = _sets(here), []
    for network, rows in here.dropna(subset=["against random"]).groupby("backbone", sort=False):
        rows = rows.sort_values("against random", kind="stable")
        ends = list(dict.fromkeys(_told(row) for row in (rows.iloc[0], rows.iloc[-1])))
        where = f" on {network}" if here["backbone"].nunique() > 1 else ""
        texts.append(f"{'from ' if len(ends) > 1 else 'by '}{' to '.join(ends)}{where}")
    if not texts:
        return f"Random pictures alone were tried on {sets}."
    return f"Against random pictures PSNR on {sets} changes {'; '.join(texts)}. {_bits(here)}{_untried(here)}"


def _untried(here: pd.DataFrame) -> str:
    """Which strategies were tried on other networks alone."""
    every = dict.fromkeys(here["strategy"])
    alike: dict[tuple[str, ...], list[str]] = {}
    for network, rows in here.groupby("backbone", sort=False):
        alike.setdefault(tuple(name for name in every if name not in set(rows["strategy"])), []).append(network)
    told = [f"{several(names)} on {several(networks)}" for names, networks in alike.items() if names]
    return f" Not tried: {several(told)}." if told else ""


def _bits(here: pd.DataFrame) -> str:
    """In which series all strategies lead to the same bits, so that ranges alone make a difference."""
    same = {
        series: rows.groupby("backbone")["fab"].agg(lambda fab: fab.max() - fab.min()).max() < _SAME_FAB
        for series, rows in here.groupby("series", sort=False)
    }
    equal = [series for series, is_so in same.items() if is_so]
    if not equal:
        return "Bits are not the same, see FAB below."
    if len(equal) == len(same):
        return "FAB is the same for all."
    return f"FAB is the same for all strategies with {several(equal)}; otherwise it is not, see below."


_IN_PART = " (not everywhere)"


def shortened(told: list[str]) -> list[str]:
    """The strategies without the places where they differ, if these are of several kinds."""
    if sum("(" in text for text in told) < 2:
        return told
    names = [name for text in told for name in text.partition(" (")[0].replace(" and ", ", ").split(", ")]
    return [f"{several(names)}{_IN_PART}"]


def places(better: list[str], worse: list[str]) -> list[str]:
    """Where strategies differ clearly, if the verdict leaves it out."""
    kinds = (("better", better), ("worse", worse))
    told = [f"Clearly {word}: {several(names)}." for word, names in kinds if shortened(names) != names]
    return [" ".join(told)] if told else []


def elsewhere(others: pd.DataFrame) -> list[str]:
    """Which strategies differ clearly on the sets that the verdict is not about."""
    texts = []
    for name, rows in others.groupby("dataset", sort=False):
        kinds = [(word, differing(rows, sign)) for word, sign in (("better", 1), ("worse", -1))]
        told = [f"clearly {word}: {several(names)}" for word, names in kinds if names]
        texts += [f"On {name} {'; '.join(told) if told else 'none differs clearly'}."]
    return [" ".join(texts)] if texts else []


def _told(row: pd.Series) -> str:
    """Difference, strategy and how sure it is."""
    return f"{row['against random']:+z.2f} dB ({row['strategy']}, {row['certainty']})"


def adaptive(here: pd.DataFrame) -> list[str]:
    """Where the adaptive strategy stops and what that changes, by network."""
    texts = []
    for network, rows in here[here["strategy"] == "adaptive"].groupby("backbone", sort=False):
        counts = list(dict.fromkeys(f"{count:.0f}" for count in sorted(rows["pictures"])))
        changes = list(dict.fromkeys(f"{change:+z.2f}" for change in sorted(rows["against random"])))
        where = f" on {network}" if here["backbone"].nunique() > 1 else ""
        texts.append(
            f"{' to '.join([counts[0], *counts[1:][-1:]])} pictures{where} ({' to '.join([changes[0], *changes[1:][-1:]])} dB against random)"
        )
    return [f"The adaptive strategy stops, in the mean over seeds, at {several(texts)}."] if texts else []
