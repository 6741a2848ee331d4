"""At which bits a range found for others clearly costs something, and from which on that of the most bits does."""

from collections.abc import Sequence

import pandas as pd

from ..tables.wording import several
from .clipping_values import clear, gaps, gaps_of, matrix, pivoted

LITTLE = 0.1  # dB
_KINDS = ("fp", "truth")


def costly(units: pd.DataFrame, of: int, kind: str) -> list[int]:
    """At how many bits a range found for some clearly costs more than 0.1 dB to full precision ("fp") or to ground truth ("truth")."""
    values = pivoted(matrix(units), kind)
    cost = -gaps_of(values)
    return [
        int(used)
        for used in cost.columns
        if cost.loc[of, used] > LITTLE
        and clear(values, (f"found for {used} bits", str(used)), (f"found for {of} bits", str(used)))
    ]


def told_costly(units: pd.DataFrame) -> str:
    """At which bits the ranges found for most and for fewest clearly cost something, to ground truth where that is at others."""
    told, bits = [], gaps(units, "fp").index
    for of in (bits.max(), bits.min()):
        fp, truth = ([str(used) for used in costly(units, of, kind)] for kind in _KINDS)
        if fp:
            other = "" if truth == fp else f" (to ground truth {f'at {several(truth)}' if truth else 'at none'})"
            told.append(f"the range found for {of} bits at {several(fp)}{other}")
    return f" Clearly worse than the matched range is {several(told)} bits." if told else ""


def _good_from(units: pd.DataFrame) -> int | None:
    """From how many bits up the range of the most bits costs nothing on either side, if it costs something below."""
    costs = [-gaps(units, kind) for kind in _KINDS]
    high, bits = costs[0].index.max(), costs[0].columns
    fine = lambda used: all((cost.loc[high, bits[bits >= used]] <= LITTLE).all() for cost in costs)
    good = [int(used) for used in bits if fine(used)]
    return None if not good or min(good) in (high, bits.min()) else min(good)


def told_good(units: pd.DataFrame) -> str:
    """Tell from how many bits up the range of the most bits is as good as the matched one."""
    good, high = _good_from(units), gaps(units, "fp").index.max()
    return (
        ""
        if good is None
        else f" From {good} bits up the range found for {high} bits is as good as that of the bits used."
    )


def advised_bits(units: pd.DataFrame) -> str:
    """Tell at which bits ranges must be searched at the bits used: where that of the most bits clearly costs something, on either side."""
    bits = gaps(units, "fp").columns
    needed, good = sorted(set().union(*(costly(units, bits.max(), kind) for kind in _KINDS))), _good_from(units)
    if not needed:
        return ""
    below = [int(used) for used in bits if used <= needed[-1]]
    at = (
        f"{needed[-1]} bits and below"
        if needed == below and len(below) > 1
        else f"{several([str(used) for used in needed])} bits"
    )
    up = f"; from {good} bits up those found for {bits.max()} suffice" if good else ""
    return f"At {at} search ranges of activations at the bits that are used{_better_still(units, needed)}{_between(bits, needed, good)}{up}. "


def _between(bits: pd.Index, needed: Sequence[int], good: int | None) -> str:
    """Say of the bits between those which need a search of their own and those which do not that nothing is clear there."""
    unsure = [str(used) for used in bits if needed[-1] < used < (good or bits.max())]
    return f"; at {several(unsure)} it is not clear whether that matters" if unsure else ""


def _better_still(units: pd.DataFrame, needed: Sequence[int]) -> str:
    """At which of these bits the range of others is clearly better than the matched one, and by how much, in brackets."""
    values = pivoted(matrix(units), "fp")
    cost = -gaps_of(values)
    told = []
    for used in needed:
        of = cost[used].idxmin()
        if cost.loc[of, used] < -LITTLE and clear(
            values, *((f"found for {bits} bits", str(used)) for bits in (of, used))
        ):
            told.append(
                f"at {used} that of {of} bits is better still, by {-cost.loc[of, used]:.1f} dB to the full-precision output"
            )
    return f" ({several(told)})" if told else ""
