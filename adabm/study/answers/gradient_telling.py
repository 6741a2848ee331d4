"""The sentences about approximations of the gradient: which tunes better, by how few patches, and on which network."""

from collections.abc import Sequence

import pandas as pd

from ..tables.wording import least_to_most, several
from .draws import with_span
from .measured import signed
from .surrogates import RELEASED

_NOTICED = 0.05  # dB
_FEW = 5  # patches
UNTOLD = (
    "Which works cannot be told: with no patch and seed all of them end at a FAB that the calibrated mappings have too."
)


def against(gap: pd.Series) -> str:
    """Tell a mean and between what 95 % of its draws lie."""
    return with_span(gap["mean"], gap["least"], gap["most"])


def clearly(gained: pd.DataFrame, sign: int) -> list[str]:
    """The surrogates that gain (or lose) in all draws, and noticeably on most patches."""
    ends = gained["least"] > 0 if sign > 0 else gained["most"] < 0
    return list(gained.index[ends & (sign * gained["median"] >= _NOTICED)])


def better_by_few(gaps: pd.DataFrame) -> list[str]:
    """The surrogates that are noticeably better than AdaBM's in all draws, but hardly on the median patch; the best first."""
    clear = clearly(gaps, 1)
    better = [name for name in gaps.index[(gaps["least"] > 0) & (gaps["mean"] >= _NOTICED)] if name not in clear]
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
    return f" Tanh itself gives {told} at equal FAB."


def told_changes(changed: pd.DataFrame) -> str:
    """Tell how tuning with AdaBM's surrogate changes PSNR and FAB, by network: gains at equal FAB are no rise of PSNR."""
    truth, fab = changed["truth"][RELEASED], changed["fab"][RELEASED]
    on = lambda name: f" on {name}" * (len(truth) > 1)
    changes = several([f"{signed(change)} dB{on(name)}" for name, change in truth.items()])
    return f" With tanh PSNR itself changes by {changes} against as calibrated, FAB by {several([signed(change) for change in fab])}."


def told_left_out(known: pd.Series) -> str:
    """Tell how many patches and seeds have no gain at equal FAB, and of which networks none has one."""
    if known.all():
        return ""
    none = [name for name, of in known.groupby("backbone", sort=False) if not of.any()]
    left = f" Nothing is left of {several(none)}." if none else ""
    return (
        f" Left out of gains are {(~known).sum()} of {len(known)} pairs of patch and seed, where with some approximation FAB ends outside a bit fewer to "
        f"a bit more.{left}"
    )


def told_signs(layers: pd.Series, thresholds: pd.Series) -> str:
    """Tell how often the sign that a layer and a threshold of images get is right: with AdaBM's surrogate and with the others."""
    told = [
        f"{what} has the right sign in {right[RELEASED]:.0%} of cases with tanh and in {least_to_most(right.drop(RELEASED), '.0%')} with the others"
        for what, right in (("a layer", layers), ("a threshold of images", thresholds))
    ]
    sizes = "Adam divides the size of a gradient out, so that its sign counts: against finite differences of the loss "
    return f"{sizes}{told[0]} (chance: 50%), {told[1]}."


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
    """Why AdaBM's surrogate may stay."""
    if better_by_few(gaps):
        return f"what is better in the mean is so by less than {_NOTICED} dB on {median_patch(networks).rstrip(',')}"
    return _none_better(gaps).replace(" than AdaBM's tanh", "")


def _none_better(gaps: pd.DataFrame) -> str:
    """That no surrogate is clearly better than AdaBM's; or none noticeably, where one is by little."""
    little = f" by {_NOTICED} dB or more" if (gaps["least"] > 0).any() else ""
    return f"no approximation is clearly better than AdaBM's tanh{little}"


def verdict(gained: pd.DataFrame, gaps: pd.DataFrame, slow: Sequence[str] = (), networks: int = 1) -> str:
    """Answer the question in one sentence; ``slow`` are those with which bits hardly moved, ``networks`` how many there are."""
    clear, harm = clearly(gained, 1), clearly(gained, -1)
    if not clear:
        if not harm:
            return "None helps: tuned with any approximation, the mappings gain nothing clear on those of calibration at equal FAB."
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
        told = told or _none_better(gaps)
        named = [name + (" (bits hardly moved: it may only be slow)" if name in slow else "") for name in worse]
        are = "is" if len(worse) == 1 else "are"
        if few:
            return f"It hardly matters which, but for {several(named)}, which {are} clearly worse: {told}."
        return f"{told[0].upper()}{told[1:]}; {several(named)} {are} clearly worse."
    alike = "no approximation ends clearly apart from AdaBM's tanh at equal FAB"
    told = told or (_none_better(gaps) if (gaps["least"] > 0).any() else alike)
    return f"It hardly matters: {told}."


def _in_words(name: str) -> str:
    return name.replace(", temperature", " of temperature")
