"""What follows for who fine-tunes: which state to keep on which network, and where to leave fine-tuning out."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ..plan.effort import Effort
from ..tables.wording import several
from .significance import Difference
from .stopping_extents import more_bits, share_taken
from .stopping_gains import LITTLE, compared, preferred, tells, untuned
from .stopping_telling import Start, by_network, given, released
from .tuning_rates import learning_rate


def advice(start: Start, patience: int, among: bool) -> str:
    """Tell on which networks to hold pictures out, to take the last step and not to fine-tune, and from where that was measured.

    Args:
        patience: rounds of fine-tuning without a lower loss, after which it stops.
        among: whether runs start elsewhere too.
    """
    found = start.found
    column = preferred(found)
    kept, last = (compared(found, name, "start_db") for name in (column, "last_db"))
    over_last = compared(found, column, "last_db")
    fallen = [name for name, gap in over_last.items() if tells(gap) and gap.mean < -LITTLE]
    ending = [name for name in last if _helps(last[name]) and (name in fallen or not _helps(kept[name]))]
    left = [name for name in kept if name not in ending and not _helps(kept[name])]
    others = [name for name in kept if name not in [*ending, *left]]
    told = [_held_out(found, others, patience)] if others else []
    if ending:
        gains, rest = (
            several(by_network({name: gaps[name] for name in ending}, len(ending) > 1)) for gaps in (last, kept)
        )
        where = f"{_on(ending, kept)} ".lstrip()
        told.append(
            f"{where}do not stop by held-out loss: over none the last step gains {gains}, the kept state {rest}."
        )
    if left:
        told.append(_left_out(start, left, untuned(found, column)))
    return _begun(start, among, told)


def _helps(gap: Difference) -> bool:
    """Whether something is gained beyond doubt."""
    return tells(gap) and gap.mean > LITTLE


def _on(names: Sequence[str], every: Mapping | Sequence) -> str:
    """Where: nothing for the only network."""
    return f" on {several(list(names))}" if len(every) > 1 else ""


def _held_out(found: pd.DataFrame, names: Sequence[str], patience: int) -> str:
    """Whether holding pictures out gains on the last step, only saves steps, or does neither, on the networks that it is for."""
    column, here = preferred(found), found[found["backbone"].isin(names)]
    every = list(dict.fromkeys(found["backbone"]))
    gaps = {name: gap for name, gap in compared(found, column, "last_db").items() if name in names}
    share = share_taken(here)
    saves = round(share, 2) < 1
    rule = f"stop after {patience} rounds without a lower loss of theirs"
    on = _on(names, every) * (len(names) < len(every))
    if any(_helps(gap) for gap in gaps.values()):
        early = column == "rule_db" and saves
        how = rule if early else "fine-tune as long as their loss may still fall"
        text = f"hold some calibration pictures out{on}, {how} and keep the state of the lowest: "
        text += f"over the last step that gives {given(gaps)}{more_bits(here, column)}."
        lost = (here["lowest_db"] - here["rule_db"]).mean()
        if column == "lowest_db" and saves:
            text += f" Stop early, after {patience} rounds without a lower loss, only to save steps: with {share:.0%} of them"
            text += f" {lost:.2f} dB less in the mean." if lost > LITTLE else " as good in the mean."
        return text
    if not saves:
        return f"hold no calibration pictures out{on}: the rule saves nothing within these steps, and no state is clearly better than the last."
    gaps = {name: gap for name, gap in compared(found, "rule_db", "last_db").items() if name in names}
    return (
        f"hold calibration pictures out{on} only to save steps: {rule} and keep the state of the lowest; that takes {share:.0%} of the steps and "
        f"gives {given(gaps)} against the last."
    )


def _left_out(start: Start, left: Sequence[str], never: Sequence[str]) -> str:
    """Where not to fine-tune at this learning rate, and why."""
    every, first = list(dict.fromkeys(start.found["backbone"])), start.traces.iloc[0]
    rate = learning_rate({"method": first["method"]}, first["setting"], Effort())
    seeds = " with every seed" * (start.found["seed"].nunique() > 1)
    why = {
        f"the kept state is step 0{seeds}": [name for name in left if name in never],
        "neither the kept state nor the last step gains anything clear over none": [name for name in left if name not in never],
    }  # fmt: skip
    told = [(f"on {several(names)}" * (len(every) > 1), reason) for reason, names in why.items() if names]
    text = f"do not fine-tune at learning rate {rate}"
    if len(told) == 1:
        on, reason = told[0]
        return f"{text}{f' {on}' if on else ''}: {reason}."
    return f"{text} {several([f'{on} ({reason})' for on, reason in told])}."


def _begun(start: Start, among: bool, sentences: Sequence[str]) -> str:
    """An advice, and from which weight ranges runs start that it is for."""
    first, *others = sentences
    rest = "".join(f" {text[0].upper()}{text[1:]}" for text in others)
    if among:
        return f"Where fine-tuning starts from {start.name}, {first}{rest}"
    if not released(start.found):
        return f"{first[0].upper()}{first[1:]}{rest}"
    return f"Where fine-tuning starts from the released weight ranges, {first}{rest} From others no rule was measured."
