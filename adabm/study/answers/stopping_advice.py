"""What follows for who fine-tunes: which state to keep on which network, and where to leave fine-tuning out."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ..plan.effort import Effort
from ..tables.wording import several
from .significance import Difference
from .stopping_extents import more_bits, share_taken
from .stopping_gains import FABS, LITTLE, compared, preferred, span, tells, untuned
from .stopping_telling import Start, by_network, given, released
from .tuning_rates import learning_rate

# What to do on a network: keep the state of the lowest loss, stop by the rule since that saves steps, take the last step, leave it.
_KEEP, _SAVE, _LAST, _NONE = "keep", "save", "last", "none"


def choices(found: pd.DataFrame) -> dict[str, str]:
    """Return by network what gains over not fine-tuned beyond doubt, and more than the last step or with fewer steps."""
    column = preferred(found)
    kept, last = (compared(found, name, "start_db") for name in (column, "last_db"))
    over_last, ruled = (compared(found, name, "last_db") for name in (column, "rule_db"))
    chosen = {}
    for name in kept:
        if _helps(last[name]) and (_falls(over_last[name]) or not _helps(kept[name])):
            chosen[name] = _LAST
        elif not _helps(kept[name]):
            chosen[name] = _NONE
        elif _helps(over_last[name]) or not _helps(last[name]):
            chosen[name] = _KEEP
        else:
            saves = _saves(found[found["backbone"] == name]) and not _falls(ruled[name])
            chosen[name] = _SAVE if saves else _LAST
    return chosen


def advice(start: Start, patience: int, among: bool) -> str:
    """Tell on which networks to hold pictures out, to take the last step and not to fine-tune, and from where that was measured.

    Args:
        patience: rounds of fine-tuning without a lower loss, after which it stops.
        among: whether runs start elsewhere too.
    """
    chosen = choices(start.found)
    told = _alone(start, patience, *chosen.values()) if len(chosen) == 1 else _by_network(start, patience, chosen)
    if among:
        return f"Where fine-tuning starts from {start.name}, {told}"
    if not released(start.found):
        return f"{told[0].upper()}{told[1:]}"
    return f"Where fine-tuning starts from the released weight ranges, {told} From others no rule was measured."


def _helps(gap: Difference) -> bool:
    """Whether something is gained beyond doubt."""
    return tells(gap) and gap.mean > LITTLE


def _falls(gap: Difference) -> bool:
    """Whether something is lost beyond doubt."""
    return tells(gap) and gap.mean < -LITTLE


def _saves(found: pd.DataFrame) -> bool:
    """Whether stopping early saves steps that are told as a percentage."""
    return round(share_taken(found), 2) < 1


def _by_network(start: Start, patience: int, chosen: Mapping[str, str]) -> str:
    """What to do on several networks; a table tells what each gives."""
    rule = f"stop after {patience} rounds without a lower held-out loss and keep the state of the lowest"
    words = {
        _KEEP: rule if preferred(start.found) == "rule_db" else "keep the state of the lowest held-out loss",
        _SAVE: f"{rule}, which saves steps and gains no dB clearly",
        _LAST: "take the last step",
        _NONE: f"do not fine-tune at learning rate {_rate(start)}",
    }
    told = []
    for choice, text in words.items():
        names = [name for name, of in chosen.items() if of == choice]
        told += [f"on {several(names)} {text}"] if names else []
    return "; ".join(told) + "."


def _alone(start: Start, patience: int, do: str) -> str:
    """What to do on the only network, and what that gives."""
    found = start.found
    if do == _NONE:
        seeds = " with every seed" * (found["seed"].nunique() > 1)
        never = untuned(found, preferred(found))
        why = (
            f"the kept state is step 0{seeds}"
            if never
            else "neither the kept state nor the last step gains anything clear over none"
        )
        return f"do not fine-tune at learning rate {_rate(start)}: {why}."
    if do == _LAST:
        return _last(found)
    return _held_out(found, do, patience)


def _last(found: pd.DataFrame) -> str:
    kept, last = (compared(found, name, "start_db") for name in (preferred(found), "last_db"))
    over_last = compared(found, preferred(found), "last_db")
    if any(_falls(gap) or not _helps(kept[name]) for name, gap in over_last.items()):
        gains, rest = (several(by_network(gaps, False)) for gaps in (last, kept))
        return f"do not stop by held-out loss: over none the last step gains {gains}, the kept state {rest}."
    return "hold no calibration pictures out: the rule saves nothing within these steps, and no state is clearly better than the last."


def _held_out(found: pd.DataFrame, do: str, patience: int) -> str:
    """How to stop on the only network, and what that gives over the last step, or saves."""
    column, share, saves = preferred(found), share_taken(found), _saves(found)
    rule = f"stop after {patience} rounds without a lower loss of theirs"
    if do == _SAVE:
        return (
            f"hold calibration pictures out only to save steps: {rule} and keep the state of the lowest; that takes {share:.0%} of the steps "
            f"and gives {given(compared(found, 'rule_db', 'last_db'))} against the last."
        )
    how = rule if column == "rule_db" and saves else "fine-tune as long as their loss may still fall"
    text = f"hold some calibration pictures out, {how} and keep the state of the lowest: "
    text += f"over the last step that gives {given(compared(found, column, 'last_db'))}{more_bits(found, column)}."
    lost = (found["lowest_db"] - found["rule_db"]).mean()
    if column == "lowest_db" and saves:
        text += (
            f" Stop early, after {patience} rounds without a lower loss, only to save steps: with {share:.0%} of them"
        )
        text += f" {lost:.2f} dB less in the mean." if lost > LITTLE else " as good in the mean."
    return text


def _rate(start: Start) -> str:
    first = start.traces.iloc[0]
    return learning_rate({"method": first["method"]}, first["setting"], Effort())


def rows_advised(starts: Sequence[Start], patience: int) -> list[dict[str, str]]:
    """Return a row a network and start: what to do for how many steps, what the kept state and the last step give, and bits of both."""
    rows = []
    for start in starts:
        found = start.found
        column = preferred(found)
        kept, last = (compared(found, name, "start_db") for name in (column, "last_db"))
        for name, do in choices(found).items():
            runs = found[found["backbone"] == name]
            early = do == _SAVE or (do == _KEEP and column == "rule_db" and _saves(runs))
            rows.append(
                {
                    "network": name,
                    "weight ranges": start.name,
                    "keep": {_NONE: "not fine-tuned", _LAST: "last step"}.get(
                        do, "lowest loss" + ", stop early" * early
                    ),
                    "steps": "0" if do == _NONE else span(runs["stopped" if early else "steps"]),
                    "kept by the loss, against not fine-tuned": _cell(kept[name]),
                    "last step, against not fine-tuned": _cell(last[name]),
                    "FAB, kept by the loss": f"{runs[FABS[column]].mean():.2f}",
                    "FAB, last step": f"{runs['last_fab'].mean():.2f}",
                }
            )
    return rows


def _cell(gap: Difference) -> str:
    return gap.told() + " (clearly)" * gap.sure
