"""The sentences and tables about measures of complexity: how they rank patches, and what bits by them gain."""

import numpy as np
import pandas as pd

from ..tables.wording import several
from .complexity_draws import ORACLE, Spreads
from .complexity_measures import OWN
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import signed

_LITTLE, _MUCH = 0.3, 0.7  # rank correlation
_NOTHING = 0.01  # dB


def measure_told(
    name: str, mean: pd.DataFrame, ranks: pd.DataFrame, gains: pd.DataFrame, spreads: Spreads
) -> dict[str, str]:
    """Return a row of evidence: how a measure, chance or the known worth ranks patches, and what bits by it gain (dB)."""
    row = {"bits by": name}
    if name in mean.index:
        own = [f"{rank:.2f}" for rank in ranks.loc[name]]
        row |= {
            "rank correlation with the benefit of one more bit": f"{mean.loc[name, 'benefit']:.2f}",
            **({f"on {several(list(ranks))}": ", ".join(own)} if len(own) > 1 else {}),
            DRAWN: from_to(spreads.benefit[name].mean(1)),
            "above the gradient's": "" if name == OWN else from_to(_above(spreads, name)),
            "with the harm of one fewer": f"{mean.loc[name, 'harm']:.2f}",
        }
    return row | {
        "gain to full precision, pooled (dB)": signed(gains.loc[name, "to_fp_db"]),
        "gain to ground truth, mean (dB)": signed(gains.loc[name, "truth_db"]),
    }


def networks_told(by_network: pd.DataFrame, spreads: Spreads) -> list[dict[str, str]]:
    """Rows by measure and network, the mean of several networks first: gains between the ends of draws."""
    rows, networks = [], list(dict.fromkeys(by_network["backbone"]))
    columns = {"full precision": ("to_fp_db", spreads.to_fp), "ground truth": ("truth_db", spreads.truth)}
    for name in spreads.to_fp:
        own = by_network[by_network["measure"] == name].set_index("backbone")
        places = {network: (own.loc[[network]], [place]) for place, network in enumerate(networks)}
        if len(networks) > 1:
            places = {"all, in the mean": (own, list(range(len(networks))))} | places
        for network, (here, place) in places.items():
            rows.append(
                {"bits by": name, "network": network}
                | {
                    f"gain to {side} (dB), {DRAWN}": with_ends(here[column].mean(), of[name][:, place].mean(1))
                    for side, (column, of) in columns.items()
                }
            )
    return rows


def _above(spreads: Spreads, name: str) -> np.ndarray:
    """By how much a measure's rank correlation exceeds the gradient's, in each draw."""
    return (spreads.benefit[name] - spreads.benefit[OWN]).mean(1)


def ranked(ranks: pd.DataFrame, best: str, spreads: Spreads) -> str:
    """How well the gradient ranks patches, by network where that differs, and which measure does it better.

    Args:
        ranks: rank correlations with the benefit, a row a measure and a column a network.
    """
    own, mean = ranks.loc[OWN], ranks.mean(axis=1)
    alike = own.groupby(own.map(_how_well), sort=False)
    if len(alike) == 1:
        told = f"{_how_well(mean[OWN])} which patches need bits (rank correlation {mean[OWN]:.2f}, {from_to(spreads.benefit[OWN].mean(1))})"
    else:
        (first, of), *others = alike
        told = f"{first} which patches need bits on {several(list(of.index))} (rank correlation {_listed(of)})"
        told += "".join(
            f", {how.replace('ranks', '').strip()} on {several(list(of.index))} ({_listed(of)})" for how, of in others
        )
    if best == OWN:
        return f"AdaBM's gradient {told}, best of all measures"
    better = "clearly better" if one_sided(_above(spreads, best)) else "better, but not clearly"
    reached = f"{mean[best]:.2f}" + (f" against {mean[OWN]:.2f} in the mean" if len(alike) > 1 else "")
    return f"AdaBM's gradient {told}; {best} does {better} ({reached})"


def _how_well(rank: float) -> str:
    return "hardly ranks" if rank < _LITTLE else "ranks fairly well" if rank < _MUCH else "ranks well"


def _listed(ranks: pd.Series) -> str:
    return several([f"{rank:.2f}" for rank in ranks])


def gained(rank: float, own: pd.Series, spreads: Spreads) -> str:
    """What moving bits by the gradient brings (dB); ``rank``: its rank correlation with the worth of bits."""
    fp, truth = own["to_fp_db"], own["truth_db"]
    if min(fp, truth) >= _NOTHING:
        how = "gains"
    elif max(fp, truth) >= _NOTHING:
        how = "gains on one side alone"
    else:
        how = "changes nothing" if min(fp, truth) > -_NOTHING else "loses"
    but = "But moving" if rank >= _LITTLE and max(fp, truth) < _NOTHING else "Moving"
    told = _lost if how == "loses" else _certain
    sides = f"{told(fp, spreads.to_fp[OWN])} to the full-precision output, {told(truth, spreads.truth[OWN])} to ground truth"
    return f"{but} bits by the gradient {how}{' ' if told is _lost else ': '}{sides}."


def _lost(value: float, values: np.ndarray) -> str:
    """What is lost in dB, without a sign, with the ends of its draws, and whether they have one sign."""
    told = _certain(-value, -values)
    return told.replace("+", "") if one_sided(values.mean(1)) else told.removeprefix("+")


def _certain(value: float, values: np.ndarray) -> str:
    """A difference in dB with the ends of its draws, and whether they have one sign."""
    means = values.mean(1)
    return f"{signed(value)} dB ({'' if one_sided(means) else 'not clearly, '}{from_to(means)})"


def advice(gains: pd.DataFrame, spreads: Spreads, share: float) -> str:
    """What follows from the gains to the full-precision output and to ground truth (dB), by measure."""
    fp, truth = gains.loc[OWN, "to_fp_db"], gains.loc[OWN, "truth_db"]
    if min(fp, truth) >= _NOTHING:
        return "let bits follow the gradient." + ("" if _clear(spreads) else " What that gains is not clear.")
    known = gains.loc[ORACLE]
    by_worth = "even by" if known["truth_db"] <= -_NOTHING else "by"
    told = (
        f"give all images the same bits. Moving {share:.0%} of the patches up and {share:.0%} down by one bit, {by_worth} their measured "
        f"worth, changes PSNR by {signed(known['to_fp_db'])} dB to the full-precision output and {signed(known['truth_db'])} dB to ground truth."
    )
    if truth <= -_NOTHING:
        told += " The patches that give up a bit lose more decibels than those that get one gain."
    if fp >= _NOTHING and one_sided(spreads.to_fp[OWN].mean(1)):
        told += " Let them follow the gradient only where the largest errors count, not the mean PSNR."
    return told


def _clear(spreads: Spreads) -> bool:
    """Whether what bits by the gradient change, to full precision and to ground truth, has one sign in 95 % of draws."""
    return one_sided(spreads.to_fp[OWN].mean(1)) and one_sided(spreads.truth[OWN].mean(1))
