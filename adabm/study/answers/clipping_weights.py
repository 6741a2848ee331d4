"""What weight ranges searched at each layer's own bits give over those of the released recipe, network by network."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..tables.methods import OWN_BITS_RECIPE, RELEASED_RECIPE
from ..tables.wording import several
from .clipping_measures import RELEASED
from .clipping_values import drawn_gaps, pivoted
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import signed

_OWN, _OTHER = ("own", RELEASED), ("other", RELEASED)


@dataclass(frozen=True)
class Worth:
    """What a model's own weight ranges give, in dB: the gain, its spread over seeds, and what draws make of it."""

    network: str
    own: float
    released: float
    spread: float
    draws: np.ndarray

    @property
    def gain(self) -> float:
        return self.own - self.released

    @property
    def sure(self) -> bool:
        return one_sided(self.draws)

    @property
    def helps(self) -> bool:
        return self.sure and self.gain > 0


def worths(units: pd.DataFrame, method: str, kind: str) -> list[Worth]:
    """Return what own weight ranges give by network, at the released search; on what both recipes have.

    Args:
        method: the recipe that the question is asked of; nothing is returned of another than the one with own weight ranges.
        kind: "fp", to the full-precision output, or "truth".
    """
    names = {method: _OWN[0], RELEASED_RECIPE: _OTHER[0]}
    here = units[units["method"].isin(names) & (units["series"] == "search") & (units["level"] == RELEASED)]
    values = pivoted(here.assign(series=here["method"].map(names)), kind).dropna()
    if method != OWN_BITS_RECIPE or values.empty or values.columns.get_level_values(0).nunique() < len(names):
        return []
    seeds = values.groupby(["backbone", "seed"], sort=False).mean()
    draws, found = drawn_gaps(values, _OWN, _OTHER), []
    for place, (network, of) in enumerate(seeds.groupby("backbone", sort=False)):
        own, other, gap = of[_OWN], of[_OTHER], of[_OWN] - of[_OTHER]
        spread = float(gap.std()) if len(gap) > 1 else 0.0
        found.append(Worth(network, float(own.mean()), float(other.mean()), spread, draws[:, place]))
    return found


def told_weights(units: pd.DataFrame, method: str) -> str:
    """Tell what own weight ranges give on each network; nothing where the released recipe's were not measured."""
    found = worths(units, method, "fp")
    if not found:
        return ""
    truth = {worth.network: worth.gain for worth in worths(units, method, "truth")}
    on = lambda worth: f" on {worth.network}" if len(found) > 1 else ""
    sure = [worth for worth in found if worth.sure]
    given = [
        f"{signed(worth.gain, 1)} dB{'' if place else ' to the full-precision output'}{on(worth)} "
        f"({signed(truth[worth.network], 1)}{'' if place else ' to ground truth'})"
        for place, worth in enumerate(sure)
    ]
    others = [_unclear(worth) + on(worth) for worth in found if not worth.sure]
    told = several([*given, *others])
    return (
        f" Not fine-tuned, weight ranges searched at their layer's own bits give {told}, against the released recipe's."
    )


def _unclear(worth: Worth) -> str:
    return "no clear gain" if worth.gain > 0 else "no gain"


def advised_weights(units: pd.DataFrame, method: str) -> str:
    """Tell on which networks to search weight ranges at their layer's own bits."""
    found = worths(units, method, "fp")
    if not found:
        return ""
    helped = [worth.network for worth in found if worth.helps]
    if not helped:
        return " Weight ranges searched at their layer's own bits do not clearly help."
    on = f" on {several(helped)}" if len(found) > 1 else ""
    return f" Search weight ranges at their layer's own bits{on}. Fine-tuning may leave less of what that gives."


def weight_rows(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by network: PSNR with either weight ranges, the difference with its spread and draws, and that to ground truth."""
    rows = []
    for fp, truth in zip(worths(units, method, "fp"), worths(units, method, "truth")):
        row = {"weight ranges at the layer's own bits": fp.network}
        row |= {"own (dB to full precision)": f"{fp.own:.1f}", "released recipe's (dB)": f"{fp.released:.1f}"}
        row |= {"difference (dB)": signed(fp.gain, 1), "spread over seeds (dB)": f"{fp.spread:.1f}"}
        row |= {DRAWN: from_to(fp.draws, 1), "clearly": "yes" if fp.sure else "no"}
        row["difference to ground truth (dB)"] = with_ends(truth.gain, truth.draws, 1)
        rows.append(row)
    return rows
