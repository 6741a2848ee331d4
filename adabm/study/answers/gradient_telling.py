"""The sentences about gradients: which approximation tunes better, by how few patches, and on which network."""

from collections.abc import Sequence

import pandas as pd

from ..tables.wording import several
from .draws import with_span
from .measured import signed
from .surrogates import RELEASED

_NOTICED = 0.05  # dB
_FEW = 5  # patches


def against(gap: pd.Series) -> str:
    """Tell a mean and between what 95 % of its draws lie."""
    return with_span(gap["mean"], gap["least"], gap["most"])


def clearly(gained: pd.DataFrame, sign: int) -> list[str]:
    """The surrogates that gain (or lose) in all draws, and noticeably on most patches."""
    ends = gained["least"] > 0 if sign > 0 else gained["most"] < 0
    return list(gained.index[ends & (sign * gained["median"] >= _NOTICED)])


def better_by_few(gaps: pd.DataFrame) -> list[str]:
    """The surrogates that are better than AdaBM's in all draws, but hardly on the median patch; the best first."""
    clear = clearly(gaps, 1)
    better = [name for name in gaps.index if gaps.loc[name, "least"] > 0 and name not in clear]
    return sorted(better, key=lambda name: -gaps.loc[name, "mean"])


def by_network(ended: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gain to ground truth (dB): a row a surrogate, a column a network."""
    order = list(dict.fromkeys(ended["backbone"]))
    return ended.pivot_table(index="surrogate", columns="backbone", values="truth")[order]


def of_networks(own: pd.DataFrame, ended: pd.DataFrame) -> str:
    """Tell what AdaBM's surrogate gains on each of several networks, and where that rests on few patches."""
    if own.shape[1] == 1:
        return ""
    counts = ended[ended["surrogate"] == RELEASED].groupby("backbone").size()
    few = lambda name: f" ({counts[name]} patch{'es' if counts[name] > 1 else ''})" if counts[name] < _FEW else ""
    told = several([f"{signed(gain)} dB on {name}{few(name)}" for name, gain in own.loc[RELEASED].items()])
    return f" Tanh itself gives {told}."


def _mostly(gaps: pd.Series) -> str:
    """On which of several networks an advantage is larger than on all others together; nothing where on none."""
    most = gaps.idxmax()
    return most if len(gaps) > 1 and gaps[most] > gaps.drop(most).clip(lower=0).sum() else ""


def of_few(gained: pd.DataFrame, gaps: pd.DataFrame, own: pd.DataFrame) -> str:
    """Tell what those that are better by few patches gain on the median one, and of which network that mostly is."""
    told = [name for name in better_by_few(gaps) if name in clearly(gained, 1)]
    if not told:
        return ""
    medians = several([signed(gaps.loc[name, "median"]) for name in told])
    above = own.loc[told] - own.loc[RELEASED]
    places = {name: place for name, row in above.iterrows() if (place := _mostly(row))}
    most = "".join(
        f"; that of {several([_in_words(n) for n in of])} is mostly {at}'s ({several([signed(above.loc[n, at]) for n in of])} dB)"
        for at in dict.fromkeys(places.values())
        for of in [[n for n, place in places.items() if place == at]]
    )
    return f" On the median patch that is {medians} dB: a few patches make the mean{most}."


def median_patch(networks: int) -> str:
    """What a median is of: patches of a network, and then the mean of several networks."""
    return "the median patch" + (" of a network, in the mean of the networks," if networks > 1 else "")


def advice(gained: pd.DataFrame, gaps: pd.DataFrame, networks: int = 1) -> str:
    """Tell with which approximation to tune, if any."""
    if not clearly(gained, 1):
        return "Do not tune the mappings."
    clear = [name for name in clearly(gaps, 1) if name in clearly(gained, 1)]
    return f"Tune with {several(clear)}." if clear else f"Keep AdaBM's tanh: {_kept(gaps, networks)}."


def _kept(gaps: pd.DataFrame, networks: int) -> str:
    """Why AdaBM's slope may stay."""
    if better_by_few(gaps):
        return f"what is better in the mean is so by less than {_NOTICED} dB on {median_patch(networks).rstrip(',')}"
    return "no other approximation is clearly better"


def verdict(gained: pd.DataFrame, gaps: pd.DataFrame, slow: Sequence[str] = (), networks: int = 1) -> str:
    """Answer the question in one sentence; ``slow`` are those with which bits hardly moved, ``networks`` how many there are."""
    clear, harm = clearly(gained, 1), clearly(gained, -1)
    if not clear:
        if not harm:
            return "None helps: tuned with any approximation, the mappings gain nothing clear on those of calibration."
        return f"None helps: no approximation tunes the mappings to clearly more than calibration, and {several(harm)} to less."
    better = [name for name in clearly(gaps, 1) if name in clear]
    if better:
        best = gaps.loc[better, "mean"].idxmax()
        return f"{best[0].upper()}{best[1:]} works better than AdaBM's tanh, by {gaps.loc[best, 'mean']:.2f} dB at equal FAB."
    few = [
        f"{_in_words(name)} ({against(gaps.loc[name]).replace(' (', ' dB; ').rstrip(')')})"
        for name in better_by_few(gaps)
        if name in clear
    ]
    told = (
        f"in the mean {several(few)} {'is' if len(few) == 1 else 'are'} clearly better than AdaBM's tanh, but on {median_patch(networks)} by "
        f"less than {_NOTICED} dB"
        if few
        else ""
    )
    worse = clearly(gaps, -1)
    if worse:
        told = told or "no approximation is clearly better than AdaBM's tanh"
        named = [name + (" (bits hardly moved: it may only be slow)" if name in slow else "") for name in worse]
        are = "is" if len(worse) == 1 else "are"
        if few:
            return f"It hardly matters which, but for {several(named)}, which {are} clearly worse: {told}."
        return f"{told[0].upper()}{told[1:]}; {several(named)} {are} clearly worse."
    told = told or "no approximation ends clearly apart from AdaBM's tanh at equal FAB"
    return f"It hardly matters: {told}."


def _in_words(name: str) -> str:
    return name.replace(", temperature", " of temperature")
