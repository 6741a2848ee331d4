"""What follows for who wants to meet a budget of bits."""

from collections.abc import Mapping

import pandas as pd

from .bit_loss_bits import farther_off, off_target, on_patches, quality, sets_off
from .bit_loss_methods import AS_CALIBRATED, MULTIPLIER, QUANTILES, RELEASED, targeted, weighted
from .bit_loss_worth import Gain, short

_WAYS = {
    RELEASED: "the released loss comes nearest",
    MULTIPLIER: "tune with a multiplier",
    QUANTILES: "set the thresholds by quantiles of the calibration pictures, which needs no tuning",
}
_CALLED = {RELEASED: "the released loss", MULTIPLIER: "a multiplier"}


def nearest_weight(bits: pd.DataFrame) -> str:
    """Return the bit loss whose weight ends nearest to the target on the calibration pictures, either way, in the mean of runs."""
    target, methods = bits["target"].iloc[0], [method for method in dict.fromkeys(bits["method"]) if weighted(method)]
    return min(methods, key=lambda method: off_target(bits, method, target).abs().mean())


def advice(means: Mapping[str, Gain], units: pd.DataFrame, bits: pd.DataFrame) -> str:
    """Tell how to meet a budget of bits, and whether the multiplier is for quality too; tables have the rest.

    Args:
        means: gains at equal bits, in the mean of the networks.
        units, bits: of patches and of pictures, moved as if all networks had the first one's target.
    """
    off = sets_off(bits)
    near = off.reindex([RELEASED, MULTIPLIER, QUANTILES]).idxmin()
    other = RELEASED if near != RELEASED else MULTIPLIER
    budget = (
        f"To meet a budget of bits, {_WAYS[near]}: a set of whole pictures is then off the target by {off[near]:.2f} bits in the mean, by "
        f"{off[other]:.2f} with {_CALLED[other]}" + (f", {_untuned(bits, near, off)}." if AS_CALIBRATED in off else ".")
    )
    if MULTIPLIER not in means or not means[MULTIPLIER].helps:
        return f"{budget} Whether bits should follow images at all is told on the page of complexity."
    told = f"If bits are to follow images at all (page of complexity): {budget[:1].lower()}{budget[1:]}"
    if near == MULTIPLIER and any(targeted(way) and one.fp > means[MULTIPLIER].fp for way, one in means.items()):
        told += (
            f" The multiplier is recommended for meeting the budget, not for PSNR{_on_the_patches(means, units, bits)}."
        )
    return told


def _untuned(bits: pd.DataFrame, near: str, off: pd.Series) -> str:
    """How far bits are off the target as calibrated, and whether that is clearly farther than by the nearest way."""
    gap = farther_off(bits, AS_CALIBRATED, near)
    told = f"by {off[AS_CALIBRATED]:.2f} as calibrated, without any tuning"
    if gap.spread == 0:
        return told
    return f"{told}{', clearly more' if gap.sure else ', which is not clearly more: to stay at the base bits tune nothing'}"


def _on_the_patches(means: Mapping[str, Gain], units: pd.DataFrame, bits: pd.DataFrame) -> str:
    """Whether the weight nearest to the target has more PSNR than the multiplier, of fewer bits, on the patches."""
    weight = nearest_weight(bits)
    if weight not in means or weight == RELEASED or not means[weight].helps:
        return ""
    (own, fab), (other, other_fab) = ((quality(units, way), on_patches(units, way)) for way in (weight, MULTIPLIER))
    return (
        f", of which {short(weight)} has more, at fewer bits of the patches" if own > other and fab < other_fab else ""
    )
