"""What follows for who wants to meet a budget of bits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..tables.wording import several
from .bit_loss_bits import off_target, sets_off
from .bit_loss_methods import AS_CALIBRATED, QUANTILES, RELEASED, targeted, weighted
from .bit_loss_worth import Gain, short
from .measured import signed

_NEAR = 0.1  # bits that a way may end farther off than the nearest


def nearest_weight(bits: pd.DataFrame) -> str:
    """Return the bit loss whose weight ends nearest to the target on the calibration pictures, either way, in the mean of runs."""
    target, methods = bits["target"].iloc[0], [method for method in dict.fromkeys(bits["method"]) if weighted(method)]
    return min(methods, key=lambda method: off_target(bits, method, target).abs().mean())


def advice(found: Sequence[Gain], bits: pd.DataFrame) -> str:
    """Tell by network how to meet a budget of bits: of the ways that end about as near as any, by the one that clearly gains most.

    Args:
        found: gains at equal bits; those to full precision and to ground truth count.
        bits: of pictures, moved as if all networks had the first one's target.
    """
    ways: dict[str, list[_Way]] = {}
    for name, here in bits.groupby("backbone", sort=False):
        gained = {gain.method: gain.truth for gain in found if gain.network == name and gain.helps_both}
        way = _way(name, sets_off(here), gained)
        ways.setdefault(way.method, []).append(way)
    told: list[str] = []
    for of in ways.values():
        told.append(_told(of, bits["backbone"].nunique() == 1, "; ".join(told)))
    targets = list(dict.fromkeys(bits["target"]))
    budget = f"a budget of {targets[0]:g} bits" if len(targets) > 1 else "a budget of bits"
    others = "".join(_at_another(bits, target, list(ways)) for target in targets[1:])
    return (
        f"To meet {budget}, {several(told)}: {_why([way for of in ways.values() for way in of])}.{_beside(bits, ways)}{others} "
        "Whether bits should follow images at all is told on the page of complexity."
    )


@dataclass(frozen=True)
class _Way:
    """How a network best meets its target: bits that a set of whole pictures is off it, and dB gained to ground truth, if clearly."""

    network: str
    method: str
    off: float
    gain: float | None


def _way(network: str, off: pd.Series, gained: Mapping[str, float]) -> _Way:
    off = _meeting(off)
    near = off[off <= off.min() + _NEAR]
    helping = [method for method in near.index if method in gained and targeted(method)]
    untuned = QUANTILES if QUANTILES in near else near.idxmin()
    method = max(helping, key=lambda method: gained[method]) if helping else untuned
    return _Way(network, method, float(off[method]), gained.get(method))


def _meeting(off: pd.Series) -> pd.Series:
    """Those of ways that are made to meet a target and that may be chosen without the pictures of the set."""
    return off[[method for method in off.index if targeted(method) or method == QUANTILES]]


def _at_another(bits: pd.DataFrame, target: float, advised: Sequence[str]) -> str:
    """Tell which way ends nearest to a target behind the first, where what is advised for the first ends farther off there."""
    off = _meeting(sets_off(bits, target))
    if off.empty:
        return ""
    nearest = off.idxmin()
    rest = [method for method in advised if method in off and off[method] > off[nearest] + _NEAR]
    if not rest:
        return ""
    told = [f"{short(method)} {'miss' if method == QUANTILES else 'misses'} it by {off[method]:.2f}" for method in rest]
    mean = ", in the mean of the networks" * (bits["backbone"].nunique() > 1)
    return f" For {target:g} bits take {_named(nearest)}, off by {off[nearest]:.2f}: {several(told)}{mean}."


def _named(method: str) -> str:
    return f"{'the bit loss of ' * weighted(method)}{short(method)}"


def _told(of: Sequence[_Way], alone: bool, before: str) -> str:
    """One way, on which networks, how far off it ends and what it gains; what numbers are is said where nothing ``before`` did."""
    method = of[0].method
    does = (
        "set the thresholds by quantiles of the calibration pictures"
        if method == QUANTILES
        else f"tune with {_named(method)}"
    )
    on = "" if alone else f" on {several([way.network for way in of])}"
    off = f"{several(list(dict.fromkeys(f'{way.off:.2f}' for way in of)))} bits"
    off = f"off by {off}" if before else f"a set of whole pictures is then off the target by {off}"
    gains = [signed(way.gain) for way in of if way.gain is not None]
    unit = "dB" if "dB" in before else "dB to ground truth over quantiles at equal bits, clearly"
    return f"{does}{on} ({off}{f'; {several(gains)} {unit}' if gains else ''})"


def _why(ways: Sequence[_Way]) -> str:
    """Why these ways: what they have over others, that end about as near or do not."""
    rest = [way for way in ways if way.gain is None]
    told = [f"of what ends within {_NEAR:g} bits of the nearest, that gains most"] if len(rest) < len(ways) else []
    near = [way.network for way in rest if way.method == QUANTILES]
    far = [way.network for way in rest if way.method != QUANTILES]
    on = lambda networks: f" on {several(networks)}" if len(ways) > 1 else ""
    told += [f"no tuning that ends as near clearly gains{on(near)}"] if near else []
    told += [f"quantiles end more than {_NEAR:g} bits farther off{on(far)}"] if far else []
    return "; ".join(told)


def _beside(bits: pd.DataFrame, ways: Mapping[str, Sequence[_Way]]) -> str:
    """How far off the others end that need no choice, in the mean of the networks."""
    off = sets_off(bits)
    names = {RELEASED: "the released loss", AS_CALIBRATED: "mappings as calibrated"}
    told = [
        f"{name} by {off[method]:.2f} bits" for method, name in names.items() if method in off and method not in ways
    ]
    if not told:
        return ""
    are = "is" if told[0].startswith("the released") else "are"
    text = several(told).replace(" by ", f" {are} off by ", 1)
    return f" {text[0].upper()}{text[1:]}{' in the mean' * (bits['backbone'].nunique() > 1)}."
