"""Sentences on fine-tuning: in whose turn a run gains and loses, and what groups do that are trained alone."""

from collections.abc import Mapping

from ..tables.wording import several
from .tuning_outcomes import WORTHWHILE, Tuned, best_run

GROUPS = {"weight": "weight ranges", "activation": "activation ranges", "mapping": "the bit mapping"}
_MOVED = 0.05  # FAB; less is not told


def lost_in(tuned: Tuned, other: tuple[str, Tuned] | None = None) -> str:
    """Tell in whose turn a run loses; nothing where that was not measured, or no turn loses.

    Args:
        other: learning rate and run with which the turns that gain are compared; None tells those that lose alone.
    """
    lost = {group: change for group, change in tuned.by_turn.items() if change.mean <= -WORTHWHILE}
    gained = {group: change for group, change in tuned.by_turn.items() if other and change.mean >= WORTHWHILE}
    if not lost:
        return ""
    told = []
    for group, change in [*gained.items(), *lost.items()]:
        place = f"in the turn of {group_name(group)}" if not told else f"in that of {group_name(group)}"
        text = f"{change.told()} {place}"
        if group in gained and group in other[1].by_turn:
            text += f", against {other[1].by_turn[group].told()} at {other[0]},"
        told.append(text)
    return several(told)


def group_name(group: str) -> str:
    """A group of parameters in words."""
    return GROUPS.get(group, group)


def alone(of: Mapping[str, Tuned]) -> str:
    """Tell what groups that are trained alone change, beside runs of several; nothing where no group is.

    Args:
        of: the runs of a network.
    """
    single = {run: tuned for run, tuned in of.items() if len(tuned.turns.groups) == 1}
    if not single or len(single) == len(of):
        return ""
    told = []
    for place, tuned in enumerate(single.values()):
        before, after = tuned.moved
        bits = f" (FAB {before:.2f} to {after:.2f})" if abs(after - before) >= _MOVED else ""
        told.append(f"{group_name(tuned.turns.groups[0])}{' change PSNR' * (not place)} by {tuned.total.told()}{bits}")
    return f"Trained alone, {several(told)}."


def trains_one_group(of: Mapping[str, Tuned]) -> str:
    """The group that the run that ends best trains alone, where that gains for sure and others train more; else nothing."""
    best = of[best_run(of)]
    single = len(best.turns.groups) == 1 and any(len(tuned.turns.groups) > 1 for tuned in of.values())
    return group_name(best.turns.groups[0]) if single and best.total.sure and best.total.mean > 0 else ""
