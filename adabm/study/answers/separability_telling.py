"""Sentences on separability: what a sum explains, what policies gain by network, and with what to begin."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..tables.wording import least_to_most, several
from .draws import ends, from_to, one_sided
from .separability_gains import ADABM, JOINT, SEPARATE

_MOST, _NEARLY = 0.9, 0.8  # shares that are called nearly all and most
_BOUND = ": an upper bound, for searching on the measured patches favours what has more policies"
_DOUBT = " That AdaBM's are worse is not clear."


def told_first(additive: float, fp: pd.Series, more: np.ndarray) -> str:
    """The answer; ``more``: what joint bits gain over separate ones (dB), in each draw."""
    joint, separate, price = fp[JOINT], fp[SEPARATE], ""
    gained = (
        "Over the same bits for all, the best separate bits, searched for on these very patches, give "
        f"{separate:+z.2f} dB to the full-precision output, the best joint bits "
    )
    if separate >= joint:
        gained += f"{joint:+z.2f}, no more."
    else:
        price = ", at a price" if not (joint > 0 and separate >= _NEARLY * joint) else ""
        sure = "clearly" if one_sided(more) else "not clearly"
        gained += f"{joint:+z.2f}, {sure} more ({from_to(more)}){_BOUND if one_sided(more) else ''}."
    if additive >= _MOST:
        told = f"may be separated{price}: a sum of both explains {additive:.0%}"
    elif additive >= 0.5:
        told = f"may be separated roughly{price}: a sum of both explains {additive:.0%}"
    else:
        told = f"cannot be separated: a sum of both explains only {additive:.0%}"
    return f"Image and layer {told} of the variance of the log error. {gained}"


def told_joint(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray]) -> str:
    """What joint bits give to ground truth beside separate ones, as many in the mean."""
    truth = gained.groupby("policy")["truth_db"].mean()
    more = (drawn_gains[JOINT] - drawn_gains[SEPARATE])[..., 1].mean(1)
    sure = "clearly" if one_sided(more) else "not clearly"
    apart = f"{sure} {'more' if truth[JOINT] > truth[SEPARATE] else 'less'}, {from_to(more)}"
    return f"To ground truth the best joint bits give {truth[JOINT]:+z.2f} dB, the best separate ones {truth[SEPARATE]:+z.2f} ({apart})."


def told_practice(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray], few: Mapping[str, str]) -> str:
    """What follows from the gains over the same bits for all (dB) to the full-precision output and to ground truth.

    Args:
        gained: by network and policy.
        drawn_gains: by policy, as :func:`spreads` returned them.
        few: of networks that rest on few patches, how many.
    """
    fp = gained.groupby("policy")["to_fp_db"].mean()
    best = f"the best separate bits {fp[SEPARATE]:+z.2f} dB{_to_truth(gained, drawn_gains, few)}"
    given = f"give {_over_same(gained, drawn_gains)}, {best}"
    own, to_truth = (drawn_gains[ADABM][..., side].mean(1) for side in (0, 1))
    harms = ends(to_truth)[1] < 0
    sure = one_sided((drawn_gains[SEPARATE] - drawn_gains[ADABM])[..., 0].mean(1))
    lost, price = fp[SEPARATE] - fp[ADABM], fp[JOINT] - fp[SEPARATE]
    if fp[SEPARATE] <= 0:
        return f"Give all pictures and layers the same bits: over them AdaBM's bits {given}."
    if fp[ADABM] > 0 and one_sided(own) and not harms and (lost <= price or not sure):
        return f"Keep separate bits: AdaBM's {given}.{'' if sure else _DOUBT}"
    if not one_sided(own):
        first = "Whether AdaBM's choice of bits gains is not clear"
    elif lost > price and sure:
        first = "AdaBM's choice of bits costs more than separating does"
    else:
        first = "Choose bits otherwise than AdaBM does"
    return (
        f"{first}: its bits {given}. The best are known only from a search; by what to choose is told on the pages of complexity (pictures) "
        "and of sensitivity (layers)."
    )


def _over_same(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray]) -> str:
    """What AdaBM's bits give, with what draws make of it or, of several networks, from the least to the most of them."""
    own, draws = gained[gained["policy"] == ADABM], drawn_gains[ADABM].mean(1)
    fp, truth = own["to_fp_db"], own["truth_db"].mean()
    between = from_to(draws[:, 0]) if len(own) == 1 else f"{fp.min():+z.2f} to {fp.max():+z.2f} by network"
    return (
        f"{fp.mean():+z.2f} dB ({between}; to ground truth {truth:+z.2f}, {_doubt(draws[:, 1])}{from_to(draws[:, 1])})"
    )


def _doubt(draws: np.ndarray) -> str:
    return "" if one_sided(draws) else "not clearly, "


def _to_truth(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray], few: Mapping[str, str]) -> str:
    """What the best separate bits give to ground truth, by network, and where that rests on few patches."""
    own = gained[gained["policy"] == SEPARATE].set_index("backbone")["truth_db"]
    draws = drawn_gains[SEPARATE][..., 1]
    if len(own) == 1:
        return f" (to ground truth {own.iloc[0]:+z.2f}, {_doubt(draws[:, 0])}{from_to(draws[:, 0])})"
    told = []
    for place, (network, gain) in enumerate(own.items()):
        doubt = ["not clearly"] if not one_sided(draws[:, place]) else []
        doubt += [few[network]] if network in few else []
        told.append(f"{gain:+z.2f} on {network}" + (f" ({', '.join(doubt)})" if doubt else ""))
    return f"; to ground truth the latter give {several(told)}"


def told_larger(shares: pd.DataFrame) -> str:
    """Whether layers or pictures explain more of the error of every network, and so which to begin with; nothing where they differ."""
    parts = shares.groupby("backbone", sort=False)[["layer", "picture"]].mean()
    for more, less in (("layer", "picture"), ("picture", "layer")):
        if (parts[more] > parts[less]).all():
            shares = [least_to_most(parts[kind], ".0%") for kind in (more, less)]
            return (
                f" Begin with {more}s: they explain {shares[0]} of the variance of the log error, {less}s {shares[1]}."
            )
    return ""
