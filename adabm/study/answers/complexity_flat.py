"""What a bit fewer costs flat patches, from which AdaBM's rule takes it, and busy ones, to which it gives one more."""

import pandas as pd

from ..tables.wording import least_to_most
from .complexity_measures import OWN
from .probing import psnr

_SHARE = 4  # a quarter of the patches of a network


def flat_told(units: pd.DataFrame, share: float) -> str:
    """Tell what PSNR to ground truth the flattest and the busiest quarter of the patches lose by a bit fewer, and who loses most.

    Args:
        units: of :func:`.complexity.measure`, of all networks and seeds; networks by the names that readers see.
        share: of the patches from which the rule takes a bit.
    """
    lost = units.assign(loss=psnr(units["truth +0"].to_numpy()) - psnr(units["truth -1"].to_numpy()))
    patches = lost.groupby(["backbone", "dataset", "patch"], sort=False)[["loss", OWN]].mean().reset_index()
    networks = [here.sort_values(OWN, kind="stable") for _, here in patches.groupby("backbone", sort=False)]
    flat = [here["loss"].head(max(1, len(here) // _SHARE)).mean() for here in networks]
    busy = [here["loss"].tail(max(1, len(here) // _SHARE)).mean() for here in networks]
    worst = max(networks, key=lambda here: here["loss"].max()).reset_index(drop=True)
    place = int(worst["loss"].idxmax())
    most = worst.loc[place]
    told = (
        f"with one bit fewer for all patches the quarter of least gradient loses {least_to_most(flat)} dB of PSNR to ground truth, the quarter "
        f"of greatest {least_to_most(busy)}{' (by network)' if len(networks) > 1 else ''}; the most that a patch loses is {most['loss']:.2f} dB "
        f"({most['patch']} of {most['dataset']} on {most['backbone']}, number {place + 1} of {len(worst)} from the flattest)"
    )
    if all(one > other for one, other in zip(flat, busy)):
        return (
            f"The rule takes its bits from the flattest {share:.0%}, and flat patches lose most by one fewer: {told}."
        )
    return f"{told[0].upper()}{told[1:]}."
