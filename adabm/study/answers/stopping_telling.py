"""Sentences on when to stop: what each state that is kept gives, how sure that is by network, and where runs start."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..tables.methods import RELEASED_RECIPE
from ..tables.wording import several
from .measured import signed
from .significance import Difference
from .stopping_gains import FABS, LITTLE, compared, in_the_mean, preferred, span

RELEASED = 500  # steps
_OTHER_BITS = 0.05
_LIMITS = (
    "Groups of parameters take turns, a round each. Patches are small, so PSNR is not that of other pages. What decides sees calibration "
    "pictures alone, never an evaluated one."
)


@dataclass(frozen=True)
class Start:
    """Runs that start from the same weight ranges, which ``name`` tells: their decisions and their traces."""

    name: str
    found: pd.DataFrame
    traces: pd.DataFrame


def verdict(start: Start) -> str:
    """Tell what to keep, how sure that is on which network, and after how many steps."""
    return " ".join(
        filter(None, [_first(start.found), _bits(start.found, preferred(start.found)), _how_many(start.found)])
    )


def details(start: Start, patience: int) -> str:
    """Tell what the kept state gives, from where runs start, what harms, what each way of keeping a state gives and saves."""
    found = start.found
    parts = [_over_start(found), _start(found), _below(found), _saved(found, patience), _scope(start.traces), _LIMITS]
    return " ".join(filter(None, parts))


def also(start: Start, patience: int) -> str:
    """Tell of runs that start elsewhere what verdict and details tell."""
    found = start.found
    last = (
        f"From {start.name} the last step is, against the state of the lowest loss, {_last_step(found, 'lowest_db')}."
    )
    parts = [
        last,
        _bits(found, "lowest_db"),
        _how_many(found),
        _over_start(found),
        _start(found),
        _below(found),
        _saved(found, patience),
        _scope(start.traces),
    ]
    return " ".join(filter(None, parts))


def advice(start: Start, among: bool) -> str:
    """Tell whether to hold pictures out, which state to keep, and from where that was measured.

    Args:
        among: whether runs start elsewhere too.
    """
    found = start.found
    share = f"{found['stopped'].sum() / found['steps'].sum():.0%} of the steps"
    if max((found[column] - found["last_db"]).mean() for column in ("lowest_db", "rule_db")) <= LITTLE:
        told = (
            f"hold calibration pictures out only to save time: stopping early takes {share} and gives "
            f"{_over_last(found, 'rule_db')} against the last step."
        )
        return _begun(start, among, told)
    column = preferred(found)
    told = (
        "fine-tune as long as their loss may still fall and keep the state of the lowest"
        if column == "lowest_db"
        else f"stop by their loss, after {share}, and keep the state of the lowest"
    )
    gain = _over_last(found, column) + _worst(found, found[column] - found["last_db"]) + _more_bits(found, column)
    text = f"hold some calibration pictures out, {told}: over the last step that gives {gain}."
    if column == "lowest_db":
        text += f" Stop early only to save steps: {_in_the_mean(found, 'rule_db')} with {share}."
    return _begun(start, among, text)


def _begun(start: Start, among: bool, text: str) -> str:
    """An advice, and from which weight ranges runs start that it is for."""
    if among:
        return f"Where fine-tuning starts from {start.name}, {text}"
    if not _released(start.found):
        return text[0].upper() + text[1:]
    return f"Where fine-tuning starts from the released weight ranges, {text} From others no rule was measured."


def _released(found: pd.DataFrame) -> bool:
    """Whether runs start from the weight ranges of the released search."""
    return set(found["method"]) == {RELEASED_RECIPE}


def _over_last(found: pd.DataFrame, column: str) -> str:
    """What a state gives over the last step, by network: ``+0.64 ± 0.33 dB on a (clearly) and nothing on b and c``."""
    gaps = compared(found, column, "last_db")
    noticed = {name: gap for name, gap in gaps.items() if len(gaps) == 1 or abs(gap.mean) > LITTLE}
    nothing = [name for name in gaps if name not in noticed]
    return several([*_by_network(noticed, len(gaps) > 1), *([f"nothing on {several(nothing)}"] if nothing else [])])


def _in_the_mean(found: pd.DataFrame, column: str) -> str:
    """What a state gives over the last step: in the mean of several networks, of which a table tells how sure it is, or on the only one."""
    if found["backbone"].nunique() == 1:
        return _over_last(found, column)
    gap = in_the_mean(found, column, "last_db")
    return f"{signed(gap.mean)} dB in the mean of the networks{'' if gap.sure else ' (not clearly)'}"


def _worst(found: pd.DataFrame, gain: pd.Series) -> str:
    """The run that a state is worst for, where it is worse than the last step."""
    where = f" on {found.loc[gain.idxmin(), 'backbone']}" if found["backbone"].nunique() > 1 else ""
    return f"; the worst run{where} {signed(gain.min())} dB" if gain.min() < -LITTLE else ""


def _means(found: pd.DataFrame) -> pd.DataFrame:
    columns = ["start_db", "rule_db", "lowest_db", "last_db", "best_db", "full_db"]
    return found.groupby("backbone", sort=False)[columns].mean()


def _first(found: pd.DataFrame) -> str:
    means = _means(found)
    harmed = means[means["last_db"] < means["start_db"] - LITTLE]
    kept = preferred(found)
    missed = harmed[harmed[kept] < harmed["start_db"] - LITTLE]
    gain, lost = (found["rule_db"] - found["last_db"]).mean(), (found["best_db"] - found["rule_db"]).mean()
    worse = means.index[means["rule_db"] < means["last_db"] - LITTLE].tolist()
    if len(missed):
        networks = [f"{name} ({_ending_below(found, name)} seeds)" for name in missed.index]
        return f"The held-out teacher loss does not tell when to stop: fine-tuning harms {several(networks)} and the rule lets it."
    if len(harmed):
        told = (
            "Stop by the loss on held-out calibration pictures"
            if kept == "rule_db"
            else "Keep the state of the lowest loss on held-out calibration pictures"
        )
        return f"{told}: the last step is {_last_step(found, kept)}."
    if worse and (means["lowest_db"] >= means["last_db"] - LITTLE).all():
        return (
            f"Keep the state of the lowest held-out teacher loss, but do not stop early: it is as good as the last step everywhere, "
            f"while stopping costs {several(worse)} {(means['last_db'] - means['rule_db'])[worse].max():.2f} dB{' at most' * (len(worse) > 1)}."
        )
    if worse:
        return f"The rule stops too early: on {several(worse)} the last step is better."
    if gain > LITTLE and gain > (found["rule_db"] - found["last_db"]).std(ddof=0):
        return f"Stopping by the held-out teacher loss is better than the last step, by {gain:.2f} dB in the mean."
    if (found["stopped"] == found["steps"]).all():
        return "The rule never stops within these steps, and the state that it keeps is as good as the last."
    if lost > LITTLE:
        return f"Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, but {lost:.2f} dB against the best."
    return "Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, and hardly anything against the best."


def _last_step(found: pd.DataFrame, kept: str) -> str:
    """How the last step compares with the state that is kept, by network; alike are those less than 0.05 dB apart."""
    gaps, seeds = compared(found, kept, "last_db"), found.groupby("backbone")["seed"].nunique()
    where = lambda name: f" on {name}" * (len(gaps) > 1)
    groups: dict[str, list[str]] = {}
    alike = []
    for name, gap in gaps.items():
        if abs(gap.mean) <= LITTLE:
            alike.append(name)
            continue
        word = "worse" if gap.mean > 0 else "better"
        sure = gap.sure or (seeds[name] > 1 and gap.spread == 0)
        doubt = "" if sure or seeds[name] == 1 else f", which {seeds[name]} seeds cannot tell from nothing"
        told = f"by {gap.amount()}{where(name)}{doubt}"
        groups.setdefault("clearly " * sure + word, []).append(told)
    order = sorted(groups, key=lambda how: not how.startswith("clearly"))
    parts = [f"{how} {several(groups[how])}" for how in order]
    parts += [f"as good{f' on {several(alike)}' if len(gaps) > 1 else ''}"] if alike else []
    return "; ".join(parts)


def _start(found: pd.DataFrame) -> str:
    """How far below full precision runs start, on the network where that is most, and how far below the kept state ends."""
    means = _means(found)
    lost = (means["full_db"] - means["start_db"]).sort_values(ascending=False)
    name = lost.index[0]
    full, left = means.loc[name, "full_db"], means.loc[name, "full_db"] - means.loc[name, preferred(found)]
    ranges = "from the released weight ranges, " if _released(found) else ""
    on = f" on {name}" if len(means) > 1 else ""
    return (
        f"These runs start {ranges}{lost.iloc[0]:.2f} dB below full precision{on} ({means.loc[name, 'start_db']:.2f} of {full:.2f} dB), "
        f"and the kept state is {left:.2f} dB below it."
    )


def _ending_below(found: pd.DataFrame, network: str) -> str:
    runs = found[found["backbone"] == network]
    return f"{(runs['last_db'] < runs['start_db'] - LITTLE).sum()} of {len(runs)}"


def _below(found: pd.DataFrame) -> str:
    """How many runs end below the model before fine-tuning, of the networks that have such."""
    names = list(dict.fromkeys(found.loc[found["last_db"] < found["start_db"] - LITTLE, "backbone"]))
    many = found["backbone"].nunique() > 1
    told = [f"{_ending_below(found, name)}{' seeds' * (name == names[0])}{f' on {name}' * many}" for name in names]
    return f"At the last step {several(told)} are below where they began." if told else ""


def _bits(found: pd.DataFrame, kept: str) -> str:
    """Tell where the state that is kept and the last step have other bits: mappings move them, and the loss of images does not count them."""
    means = found.groupby("backbone", sort=False)[[FABS[kept], "last_fab"]].mean()
    means = means[(means[FABS[kept]] - means["last_fab"]).abs() >= _OTHER_BITS]
    on = lambda name: f" on {name}" if found["backbone"].nunique() > 1 else ""
    told = [f"{own:.2f} against {last:.2f}{on(name)}" for name, own, last in means.itertuples()]
    return f"The kept state has other bits (FAB), too, than the last step: {several(told)}." if told else ""


def _more_bits(found: pd.DataFrame, kept: str) -> str:
    """By how many bits the state that is kept differs from the last step, in the mean."""
    gap = (found[FABS[kept]] - found["last_fab"]).mean()
    return f", at {abs(gap):.2f} bits {'more' if gap > 0 else 'fewer'} in the mean" if abs(gap) >= _OTHER_BITS else ""


def _how_many(found: pd.DataFrame) -> str:
    """After how many steps the loss has fallen by 95 % of all that it falls, and where it mostly still falls at the last."""
    networks = list(dict.fromkeys(found["backbone"]))
    last = (found["lowest"] == found["steps"]).groupby(found["backbone"]).mean()
    on = lambda name: f" on {name}" if len(networks) > 1 else ""
    near = {name: span(found.loc[found["backbone"] == name, "near"]) for name in networks}
    told = [steps + " steps" * (not place) + on(name) for place, (name, steps) in enumerate(near.items())]
    text = f"95 % of what the loss falls is there after {several(told)}"
    if falling := [name for name in networks if last[name] > 0.5]:
        steps = " and ".join(str(of) for of in sorted(set(found.loc[found["backbone"].isin(falling), "steps"])))
        where = f" on {several(falling)}" if len(networks) > 1 else ""
        text += f"; at the last step, {steps}, it mostly still falls{where}"
    return f"{text}."


def _over_start(found: pd.DataFrame) -> str:
    """What the kept state gives against the model before fine-tuning, by network, and how sure that is."""
    gaps = compared(found, preferred(found), "start_db")
    return f"Against not fine-tuned the kept state gives {several(_by_network(gaps, len(gaps) > 1))}."


def _by_network(gaps: Mapping[str, Difference], named: bool) -> list[str]:
    """Differences with their spread and how sure they are, with the network where there are several."""
    told = []
    for name, gap in gaps.items():
        how = "" if math.isnan(gap.p_value) else f" ({gap.certainty})"
        told.append(f"{gap.told()}{f' on {name}' * named}{how}")
    return told


def _against_last(found: pd.DataFrame, column: str) -> str:
    """What keeping a state gives over the last step, in the mean and in the worst run."""
    worst = _worst(found, found[column] - found["last_db"]) or f"; no run loses more than {LITTLE} dB"
    return f"{_in_the_mean(found, column)} against the last step{worst}"


def _saved(found: pd.DataFrame, patience: int) -> str:
    saved = 1 - found["stopped"].sum() / found["steps"].sum()
    return (
        f"Keeping the lowest loss of all steps gives {_against_last(found, 'lowest_db')}. Stopping early, after {patience} rounds "
        f"without a lower loss, saves {saved:.0%} of the steps in {len(found)} runs and gives {_against_last(found, 'rule_db')}."
    )


def _scope(traces: pd.DataFrame) -> str:
    """How many rounds and steps runs have, which of them train the ranges of weights, and how many the released recipe has."""
    lengths: dict[tuple[int, int, int], list[str]] = {}
    for name, of in traces.groupby("backbone", sort=False):
        run = of[of["seed"] == of.sort_values("step", kind="stable")["seed"].iloc[-1]]
        rounds, steps = int(run["round"].max()), int(run["step"].max())
        weights = run.loc[(run["group"] == "weight") & (run["round"] > 0), "round"].nunique() * (
            steps // max(rounds, 1)
        )
        lengths.setdefault((rounds, steps, weights), []).append(name)
    several_lengths = len(lengths) > 1
    told = [
        f"{rounds} rounds of {steps // max(rounds, 1)} steps{_of_weights(weights, steps)}{f' on {several(names)}' * several_lengths}"
        for (rounds, steps, weights), names in lengths.items()
    ]
    fewer = f"; the released recipe has {RELEASED} steps" if any(steps < RELEASED for _, steps, _ in lengths) else ""
    return f"A run has {'; '.join(told)}{fewer}."


def _of_weights(weights: int, steps: int) -> str:
    """How many steps train the ranges of weights, where not all or none do."""
    return f" ({weights} of {steps} for the ranges of weights)" if 0 < weights < steps else ""
