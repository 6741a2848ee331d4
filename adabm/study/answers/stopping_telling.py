"""Sentences on when to stop: what each state that is kept gives, how sure that is by network, and where runs start."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..tables.methods import RELEASED_RECIPE
from ..tables.wording import several, told_count
from .measured import signed
from .significance import Difference
from .stopping_extents import best_steps, bits, how_many, scope, share_taken
from .stopping_gains import LITTLE, compared, preferred, tells, untuned

_LIMITS = (
    f"Groups of parameters take turns, a round each. As good is what is no more than {LITTLE} dB apart. What decides sees calibration pictures "
    "alone, never an evaluated one."
)
_OTHERS = (
    "The page of fine-tuning has other runs, measured on whole pictures, and reads its numbers of steps off them: where it says otherwise, follow "
    "the page whose ranges, patches and steps are yours."
)


@dataclass(frozen=True)
class Start:
    """Runs that start from the same weight ranges, which ``name`` tells: their decisions and their traces."""

    name: str
    found: pd.DataFrame
    traces: pd.DataFrame


def verdict(start: Start) -> str:
    """Tell what to keep, how sure that is on which network, and after how many steps."""
    found = start.found
    parts = [_first(found), bits(found, preferred(found)), "" if _many(found) else how_many(found)]
    return " ".join(filter(None, parts))


def _many(found: pd.DataFrame) -> bool:
    """Whether there are several networks: what each needs and gains stands in tables."""
    return found["backbone"].nunique() > 1


def details(start: Start, patience: int) -> str:
    """Tell what the kept state gives, from where runs start, what harms, what each way of keeping a state gives and saves."""
    return f"{_behind(start, patience)} {scope(start.traces)}"


def limits(patches: str) -> str:
    """Tell what all of this rests on.

    Args:
        patches: of which size models are tuned on, as :func:`adabm.study.pages.scope.patch_sizes` tells it; may be empty.
    """
    on = f"Runs are tuned on {patches} low-resolution pixels, and PSNR is that" if patches else "PSNR is that"
    return f"{_LIMITS} {on} of small evaluated patches, not that of other pages. {_OTHERS}"


def also(start: Start, patience: int, first: Start) -> str:
    """Tell of runs that start elsewhere what verdict and details tell, and how what is kept of them compares with that of the first."""
    found = start.found
    last = (
        f"From {start.name} the last step is, against the state of the lowest loss, {_last_step(found, 'lowest_db')}."
    )
    fall = "" if _many(found) else how_many(found)
    length = "" if (own := scope(start.traces)) == scope(first.traces) else own
    parts = [last, bits(found, "lowest_db"), fall, _behind(start, patience), length, _beside(start, first)]
    return " ".join(filter(None, parts))


def _beside(start: Start, first: Start) -> str:
    """What the kept state gives over that of the runs that start as the first do, paired over the seeds that both have."""
    own, other = (of.found.set_index(["backbone", "seed"])[preferred(of.found)] for of in (start, first))
    pairs = pd.concat({"own": own, "other": other}, axis=1, join="inner").reset_index()
    if pairs.empty:
        return ""
    gain = given(compared(pairs, "own", "other"))
    return f"The state kept from {start.name} gives, over that kept from {first.name}, {gain}."


def _behind(start: Start, patience: int) -> str:
    """What is told of runs from any weight ranges behind how many steps they need."""
    found = start.found
    parts = [] if _many(found) else [best_steps(found), _over_start(found), _start(found)]
    parts += [_below(found), _saved(found, patience)]
    return " ".join(filter(None, [*parts, _diverged(found)]))


def _diverged(found: pd.DataFrame) -> str:
    """How many runs diverged, by network: what is told of them ends there."""
    counts = found.groupby("backbone", sort=False)["diverged"].agg(["sum", "count"])
    on = " on {}" if len(counts) > 1 else ""
    told = [f"{count} of {of} seeds{on.format(name)}" for name, (count, of) in counts.iterrows() if count]
    return (
        f"Diverged before their last round: {several(told)}; the last step of these is the last one looked at before."
        if told
        else ""
    )


def released(found: pd.DataFrame) -> bool:
    """Whether runs start from the weight ranges of the released search."""
    return set(found["method"]) == {RELEASED_RECIPE}


def given(gaps: Mapping[str, Difference]) -> str:
    """Tell differences by network: ``+0.64 ± 0.33 dB on a (clearly) and nothing clear on b and c``."""
    if len(gaps) == 1:
        return by_network(gaps, False)[0]
    told = {name: gap for name, gap in gaps.items() if abs(gap.mean) > LITTLE and tells(gap)}
    others = [name for name in gaps if name not in told]
    clearly = " clear" * any(abs(gaps[name].mean) > LITTLE for name in others)
    return several([*by_network(told, True), *([f"nothing{clearly} on {several(others)}"] if others else [])])


def _worst(found: pd.DataFrame, gain: pd.Series) -> str:
    """The run that a state is worst for, where it is worse than the last step."""
    where = f" on {found.loc[gain.idxmin(), 'backbone']}" if found["backbone"].nunique() > 1 else ""
    return f"the worst run{where} {signed(gain.min())} dB" if gain.min() < -LITTLE else ""


def _state(column: str) -> str:
    return "the state of the lowest loss" if column == "lowest_db" else "the state that the rule keeps"


def _means(found: pd.DataFrame) -> pd.DataFrame:
    columns = ["start_db", "rule_db", "lowest_db", "last_db", "best_db", "full_db"]
    return found.groupby("backbone", sort=False)[columns].mean()


def _first(found: pd.DataFrame) -> str:
    means = _means(found)
    harmed = means[means["last_db"] < means["start_db"] - LITTLE]
    kept = preferred(found)
    missed = harmed[harmed[kept] < harmed["start_db"] - LITTLE]
    gain, lost = (found["rule_db"] - found["last_db"]).mean(), (found["best_db"] - found["rule_db"]).mean()
    stopped = compared(found, "rule_db", "last_db")
    worse = [name for name, gap in stopped.items() if gap.mean < -LITTLE and gap.clear]
    if len(missed):
        networks = [f"{name} ({_ending_below(found, name)} seeds)" for name in missed.index]
        return f"The held-out teacher loss does not tell when to stop: fine-tuning harms {several(networks)} and the rule lets it."
    if len(harmed):
        return _keep(found, kept)
    if worse and (means["lowest_db"] >= means["last_db"] - LITTLE).all():
        return (
            f"Keep the state of the lowest held-out teacher loss, but do not stop early: it is as good as the last step everywhere, "
            f"while stopping costs {several(worse)} {(means['last_db'] - means['rule_db'])[worse].max():.2f} dB{' at most' * (len(worse) > 1)}."
        )
    if worse:
        return f"The rule stops too early: on {several(worse)} the last step is better."
    if kept == "lowest_db":
        return _keep(found, kept)
    if gain > LITTLE and gain > (found["rule_db"] - found["last_db"]).std(ddof=0):
        return f"Stopping by the held-out teacher loss is better than the last step, by {gain:.2f} dB in the mean."
    if (found["stopped"] == found["steps"]).all():
        return "The rule never stops within these steps, and the state that it keeps is as good as the last."
    if lost > LITTLE:
        return f"Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, but {lost:.2f} dB against the best."
    return "Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, and hardly anything against the best."


def _keep(found: pd.DataFrame, kept: str) -> str:
    told = (
        "Stop by the loss on held-out calibration pictures"
        if kept == "rule_db"
        else "Keep the state of the lowest loss on held-out calibration pictures"
    )
    return f"{told}: the last step is {_last_step(found, kept)}."


def _last_step(found: pd.DataFrame, kept: str) -> str:
    """How the last step compares with the state that is kept; by network, alike are those less than 0.05 dB apart.

    Of several networks those that the seeds do not tell are named without numbers.
    """
    gaps, seeds = compared(found, kept, "last_db"), found.groupby("backbone")["seed"].nunique()
    where = lambda name: f" on {name}" * (len(gaps) > 1)
    groups: dict[str, list[str]] = {}
    alike, unclear = [], []
    for name, gap in gaps.items():
        if abs(gap.mean) <= LITTLE:
            alike.append(name)
            continue
        word = "worse" if gap.mean > 0 else "better"
        if len(gaps) > 1 and not tells(gap):
            unclear.append(name)
            continue
        doubt = "" if gap.sure or seeds[name] == 1 else f", which {seeds[name]} seeds cannot tell from nothing"
        told = f"by {gap.amount()}{where(name)}{doubt}"
        groups.setdefault("clearly " * gap.sure + word, []).append(told)
    order = sorted(groups, key=lambda how: not how.startswith("clearly"))
    parts = [f"{how} {several(groups[how])}" for how in order]
    parts += [f"as good{f' on {several(alike)}' if len(gaps) > 1 else ''}"] if alike else []
    parts += [f"not clearly better or worse on {several(unclear)}"] if unclear else []
    return "; ".join(parts)


def _start(found: pd.DataFrame) -> str:
    """How far below full precision runs start, on the network where that is most, and how far below the kept state ends."""
    means = _means(found)
    lost = (means["full_db"] - means["start_db"]).sort_values(ascending=False)
    name = lost.index[0]
    full, left = means.loc[name, "full_db"], means.loc[name, "full_db"] - means.loc[name, preferred(found)]
    ranges = "from the released weight ranges, " if released(found) else ""
    on = f" on {name}" if len(means) > 1 else ""
    return (
        f"These runs start {ranges}{lost.iloc[0]:.2f} dB below full precision{on} ({means.loc[name, 'start_db']:.2f} of {full:.2f} dB), "
        f"and {_state(preferred(found))} is {left:.2f} dB below it."
    )


def _ending_below(found: pd.DataFrame, network: str) -> str:
    runs = found[found["backbone"] == network]
    return f"{(runs['last_db'] < runs['start_db'] - LITTLE).sum()} of {len(runs)}"


def _below(found: pd.DataFrame) -> str:
    """How many runs end below the model before fine-tuning, of the networks that have such."""
    names = list(dict.fromkeys(found.loc[found["last_db"] < found["start_db"] - LITTLE, "backbone"]))
    many = found["backbone"].nunique() > 1
    told = [f"{_ending_below(found, name)}{' seeds' * (name == names[0])}{f' on {name}' * many}" for name in names]
    return f"At the last step {several(told)} end more than {LITTLE} dB below where they began." if told else ""


def _over_start(found: pd.DataFrame) -> str:
    """What the kept state gives against the model before fine-tuning on the only network, and how sure that is."""
    kept = preferred(found)
    gaps, never = compared(found, kept, "start_db"), untuned(found, kept)
    told = f"Against not fine-tuned {_state(kept)} gives {several(by_network(gaps, len(gaps) > 1))}."
    return told + (f" It is step 0, no fine-tuning{f', on {several(never)}' * (len(gaps) > 1)}." if never else "")


def by_network(gaps: Mapping[str, Difference], named: bool) -> list[str]:
    """Differences with their spread and how sure they are, with the network where there are several."""
    told = []
    for name, gap in gaps.items():
        how = "" if math.isnan(gap.p_value) else f" ({gap.certainty})"
        told.append(f"{gap.told()}{f' on {name}' * named}{how}")
    return told


def _against_last(found: pd.DataFrame, column: str) -> str:
    """What keeping a state gives over the last step, by network and in the worst run."""
    worst = _worst(found, found[column] - found["last_db"]) or f"no run loses more than {LITTLE} dB"
    return f"{given(compared(found, column, 'last_db'))}; {worst}"


def _saved(found: pd.DataFrame, patience: int) -> str:
    saved = 1 - share_taken(found)
    lowest, ruled = (_against_last(found, column) for column in ("lowest_db", "rule_db"))
    return (
        f"Against the last step, keeping the lowest loss of all steps gives {lowest}. Stopping early, after {patience} rounds "
        f"without a lower loss, saves {saved:.0%} of the steps in {told_count(len(found), 'run')} and gives {'what that gives' if ruled == lowest else ruled}."
    )
