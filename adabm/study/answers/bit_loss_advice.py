"""What follows for who wants to meet a budget of bits."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ..tables.wording import several
from .bit_loss_bits import farther_off, off_target, on_patches, on_sets, quality, sets_off
from .bit_loss_methods import AS_CALIBRATED, MULTIPLIER, QUANTILES, RELEASED, targeted, weighted
from .bit_loss_worth import Gain, short
from .measured import signed

_WAYS = {
    RELEASED: "the released loss comes nearest",
    MULTIPLIER: "tune with a multiplier",
    QUANTILES: "set the thresholds by quantiles of the calibration pictures, which needs no tuning",
}
_CALLED = {RELEASED: "the released loss", MULTIPLIER: "a multiplier", QUANTILES: QUANTILES}


def nearest_weight(bits: pd.DataFrame) -> str:
    """Return the bit loss whose weight ends nearest to the target on the calibration pictures, either way, in the mean of runs."""
    target, methods = bits["target"].iloc[0], [method for method in dict.fromkeys(bits["method"]) if weighted(method)]
    return min(methods, key=lambda method: off_target(bits, method, target).abs().mean())


def advice(means: Mapping[str, Gain], found: Sequence[Gain], units: pd.DataFrame, bits: pd.DataFrame) -> str:
    """Tell how to meet a budget of bits, and what the multiplier and the weight nearest to the target are worth.

    Args:
        means, found: gains at equal bits, in the mean of the networks and of each.
        units, bits: of patches and of pictures, moved as if all networks had the first one's target.
    """
    target, off = bits["target"].iloc[0], sets_off(bits)
    missed = lambda method: f"{off[method]:.2f}"
    near = off.reindex([RELEASED, MULTIPLIER, QUANTILES]).idxmin()
    budget = (
        f"To meet a budget of bits, {_WAYS[near]}: on a set of whole pictures it is off the target by {missed(near)} bits in the mean, "
        f"{several([f'{_CALLED[method]} by {missed(method)}' for method in (RELEASED, MULTIPLIER, QUANTILES) if method != near])}"
        + (f"; {_untuned(bits, near, off)}." if AS_CALIBRATED in off else ".")
    )
    if MULTIPLIER not in means or not means[MULTIPLIER].helps:
        return f"{budget} Whether bits should follow images at all is told on the page of complexity."
    ends = {method: target + off_target(bits, method, target).mean() for method in means}
    networks = [f"{signed(one.fp, 1)} dB on {one.network}" for one in found if one.method == MULTIPLIER]
    by = f": {several(networks)}" if len(networks) > 1 else ""
    gain = means[MULTIPLIER]
    told = (
        f"The multiplier ends at {ends[MULTIPLIER]:.2f} for {target:g} bits on the calibration pictures and at {on_sets(bits, MULTIPLIER):.2f} on "
        f"whole pictures of the evaluated sets; at equal bits it gains {signed(gain.fp, 1)} dB over quantiles to the full-precision output{by} "
        f"({signed(gain.truth, 1)} dB to ground truth{' in the mean' if by else ''})."
    )
    if any(targeted(method) and one.fp > gain.fp for method, one in means.items()):
        told += " The multiplier is recommended for meeting the budget, not for PSNR."
    if (weight := nearest_weight(bits)) in means and weight != RELEASED and means[weight].helps:
        own, where = means[weight], f"{_beside(ends[weight], ends[MULTIPLIER])}, at {ends[weight]:.2f}"
        told += (
            f" {short(weight).capitalize()} ends {where}, and gains {signed(own.fp, 1)} dB over quantiles of its own bits "
            f"({signed(own.truth, 1)} dB to ground truth).{_on_the_patches(units, weight)}"
        )
    return f"If bits are to follow images at all (page of complexity): {budget[:1].lower()}{budget[1:]} {told}"


def _beside(bits: float, other: float) -> str:
    return "as high" if round(bits, 2) == round(other, 2) else "lower" if bits < other else "higher"


def _untuned(bits: pd.DataFrame, near: str, off: pd.Series) -> str:
    """How far bits are off the target as calibrated, and whether that is clearly farther than by the nearest way."""
    gap = farther_off(bits, AS_CALIBRATED, near)
    told = f"as calibrated, without any tuning, by {off[AS_CALIBRATED]:.2f}"
    if gap.spread == 0:
        return told
    return f"{told}, {'clearly more' if gap.sure else 'not clearly more: to stay at the base bits tune nothing'}"


def _on_the_patches(units: pd.DataFrame, weight: str) -> str:
    """Whether a weight has more PSNR than the multiplier, of fewer bits, on the patches; gains at other bits say nothing of that."""
    (own, fab), (other, other_fab) = ((quality(units, way), on_patches(units, way)) for way in (weight, MULTIPLIER))
    if own <= other or fab >= other_fab:
        return " Gains at other bits are not compared with each other."
    return (
        f" On the patches it has more PSNR to the full-precision output than the multiplier ({own:.2f} against {other:.2f} dB in the mean) at "
        f"fewer bits ({fab:.2f} against {other_fab:.2f})."
    )
