"""Sentences on separability: what a sum explains, what policies gain by network, and with what to begin."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..tables.wording import least_to_most, several
from .draws import from_to, one_sided
from .separability_gains import ADABM, JOINT, SEPARATE

_MOST, _NEARLY = 0.9, 0.8  # shares that are called nearly all and most
_FEW = 5  # patches
_DOUBT = " That AdaBM's are worse is not clear."


def told_first(additive: float, fp: pd.Series, more: np.ndarray) -> str:
    """The answer; ``more``: what joint bits gain over separate ones (dB), in each draw."""
    joint, separate, price = fp[JOINT], fp[SEPARATE], ""
    gained = (
        "Over the same bits for all, the best separate bits, chosen on these very patches, give "
        f"{separate:+z.2f} dB to the full-precision output, the best joint bits "
    )
    if separate >= joint:
        gained += f"{joint:+z.2f}, no more."
    else:
        price = ", at a price" if not (joint > 0 and separate >= _NEARLY * joint) else ""
        gained += f"{joint:+z.2f}, {'clearly' if one_sided(more) else 'not clearly'} more ({from_to(more)})."
    if additive >= _MOST:
        told = f"may be separated{price}: a sum of both explains {additive:.0%}"
    elif additive >= 0.5:
        told = f"may be separated roughly{price}: a sum of both explains {additive:.0%}"
    else:
        told = f"cannot be separated: a sum of both explains only {additive:.0%}"
    return f"Image and layer {told} of the variance of the log error. {gained}"


def told_practice(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray], patches: Sequence[int]) -> str:
    """What follows from the gains over the same bits for all (dB) to the full-precision output and to ground truth.

    Args:
        gained: by network and policy.
        drawn_gains: by policy, as :func:`spreads` returned them.
        patches: of each network.
    """
    fp, truth = (gained.groupby("policy")[kind].mean() for kind in ("to_fp_db", "truth_db"))
    own = gained[gained["policy"] == ADABM]["to_fp_db"]
    by_network = f" ({own.min():+z.2f} to {own.max():+z.2f} by network)" if len(own) > 1 else ""
    best = f"{fp[SEPARATE]:+z.2f} dB{_to_truth(gained, drawn_gains, patches)}"
    given = f"give {fp[ADABM]:+z.2f} dB{by_network}, the best separate bits {best}"
    sure = one_sided((drawn_gains[SEPARATE] - drawn_gains[ADABM])[..., 0].mean(1))
    lost, price = fp[SEPARATE] - fp[ADABM], fp[JOINT] - fp[SEPARATE]
    if fp[SEPARATE] <= 0:
        return f"Give all pictures and layers the same bits: over them AdaBM's bits {given}."
    if fp[ADABM] > 0 and (lost <= price or not sure):
        told = f"Keep separate bits: AdaBM's {given}.{'' if sure else _DOUBT}"
        return told + (f" To ground truth AdaBM's lose {-truth[ADABM]:.2f} dB." if truth[ADABM] < 0 else "")
    first = (
        "AdaBM's choice of bits costs more than separating does"
        if lost > price
        else "Choose bits otherwise than AdaBM does"
    )
    return (
        f"{first}: its bits {given}. The best are known only from a search; by what to choose is told on the pages of complexity (pictures) "
        "and of sensitivity (layers)."
    )


def _to_truth(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray], patches: Sequence[int]) -> str:
    """What the best separate bits give to ground truth, by network, and where that rests on few patches."""
    own = gained[gained["policy"] == SEPARATE].set_index("backbone")["truth_db"]
    draws = drawn_gains[SEPARATE][..., 1]
    if len(own) == 1:
        sure = "" if one_sided(draws[:, 0]) else "not clearly, "
        return f" (to ground truth {own.iloc[0]:+z.2f}, {sure}{from_to(draws[:, 0])})"
    told = []
    for place, (network, gain) in enumerate(own.items()):
        doubt = ["not clearly"] if not one_sided(draws[:, place]) else []
        doubt += [f"{patches[place]} patch{'es' * (patches[place] > 1)}"] if patches[place] < _FEW else []
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
