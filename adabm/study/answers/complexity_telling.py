"""The sentences and tables about measures of complexity: how they rank patches, and what bits by them gain."""

import numpy as np
import pandas as pd

from ..tables.wording import several
from .complexity_draws import DECIBELS, ORACLE, SHOWN, Spreads
from .complexity_measures import OWN
from .complexity_predicted import ALL_MEASURES
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import signed

_LITTLE, _MUCH = 0.3, 0.7  # rank correlation
_NOTHING = 0.01  # dB
_FEW = 10  # patches that are moved


def measure_told(
    name: str, mean: pd.DataFrame, ranks: pd.DataFrame, gains: pd.DataFrame, spreads: Spreads
) -> dict[str, str]:
    """Return a row of evidence: how a measure, chance or the known worth ranks patches, and what bits by it gain (dB)."""
    row = {"bits by": SHOWN.get(name, name)}
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
                {"bits by": SHOWN.get(name, name), "network": network}
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
    return f"AdaBM's gradient {told}; {best}, best of {len(ranks) - 1} others, does {better} ({reached}, not adjusted for that choice)"


def _how_well(rank: float) -> str:
    return "hardly ranks" if rank < _LITTLE else "ranks fairly well" if rank < _MUCH else "ranks well"


def _listed(ranks: pd.Series) -> str:
    return several([f"{rank:.2f}" for rank in ranks])


def gained(rank: float, own: pd.Series, spreads: Spreads) -> str:
    """What moving bits by the gradient brings (dB); ``rank``: its rank correlation with the worth of bits."""
    sides = {
        "of the pooled error to the full-precision output": (own["to_fp_db"], spreads.to_fp[OWN].mean(1)),
        "of mean PSNR to ground truth": (own["truth_db"], spreads.truth[OWN].mean(1)),
    }
    verbs = [_verb(*of) for of in sides.values()]
    told = [_moved(verb, *of, side) for verb, (side, of) in zip(verbs, sides.items())]
    if verbs[0] == verbs[1]:
        told[1] = told[1].removeprefix(f"{verbs[1]} ")
    but = "But moving" if rank >= _LITTLE and "gains" not in verbs else "Moving"
    return f"{but} bits by the gradient {' and '.join(told)}."


def _verb(value: float, draws: np.ndarray) -> str:
    """What a difference in dB, with what draws make of it, is called."""
    if abs(value) < _NOTHING:
        return "changes nothing"
    if not one_sided(draws):
        return "gains nothing clear" if value > 0 else "loses nothing clear"
    return "gains" if value > 0 else "loses"


def _moved(verb: str, value: float, draws: np.ndarray, side: str) -> str:
    """Tell a difference in dB with the ends of its draws: without a sign where the verb has it."""
    if verb == "gains":
        return f"{verb} {value:.2f} dB ({from_to(draws).replace('+', '')}) {side}"
    if verb == "loses":
        return f"{verb} {-value:.2f} dB ({from_to(-draws).replace('+', '')}) {side}"
    return f"{verb} {side} ({signed(value)} dB, {from_to(draws)})"


def advice(gains: pd.DataFrame, spreads: Spreads, share: float) -> str:
    """What follows from the gains of the pooled error and of mean PSNR, to the full-precision output and to ground truth (dB), by measure."""
    fp, truth = gains.loc[OWN, "to_fp_db"], gains.loc[OWN, "truth_db"]
    if min(fp, truth) >= _NOTHING:
        return "let bits follow the gradient." + ("" if _clear(spreads) else " What that gains is not clear.")
    tried = gains.loc[list(ALL_MEASURES), "truth_db"]
    best, known = tried.idxmax(), gains.loc[ORACLE]
    found = (
        f"{best} gains most mean PSNR to ground truth of {len(tried)} measures, {signed(tried[best])} dB, chosen by looking"
        if tried[best] >= _NOTHING
        else f"by none of {len(tried)} measures does moving them gain mean PSNR to ground truth (at best {signed(tried[best])} dB)"
    )
    told = (
        f"give all images the same bits: {found}. Moving {share:.0%} of the patches up and {share:.0%} down by one bit by their worth in squared "
        f"error, were it known, changes PSNR of the pooled error by {signed(known['to_fp_db'])} dB (to ground truth "
        f"{signed(known['truth_pooled_db'])}) and the mean of the patches' PSNR by {signed(known['to_fp_mean_db'])} dB (to ground truth "
        f"{signed(known['truth_db'])})"
    )
    if max(known["to_fp_mean_db"], known["truth_db"]) <= -_NOTHING:
        told += ": those that give up a bit lose more decibels than those that get one gain"
    told += f".{_by_decibels(gains, spreads, tried[best])}"
    if fp >= _NOTHING and one_sided(spreads.to_fp[OWN].mean(1)):
        told += " Let them follow the gradient only where the largest errors count, not the mean PSNR."
    return told


def _by_decibels(gains: pd.DataFrame, spreads: Spreads, tried: float) -> str:
    """What bits by their worth in dB, as other seeds tell it, give to ground truth, and whether what was ``tried`` finds it; nothing of one seed."""
    if DECIBELS not in gains.index:
        return ""
    gain, draws = gains.loc[DECIBELS, "truth_db"], spreads.truth[DECIBELS].mean(1)
    doubt = "" if one_sided(draws) else "not clearly, "
    told = f" By their worth in dB to ground truth, as the other seeds tell it, the mean there changes by {signed(gain)} dB ({doubt}{from_to(draws)})"
    found = ": there is something to find, and no measure finds it" if gain >= _NOTHING > tried and not doubt else ""
    return f"{told}{found}."


def moved_told(units: pd.DataFrame, share: float) -> str:
    """Tell how many patches of a network get a bit more, and as many one fewer, where these are few."""
    counts = units.drop_duplicates(["backbone", "dataset", "patch"]).groupby("backbone").size()
    moved = sorted({int(count * share) for count in counts})
    if moved[0] >= _FEW:
        return ""
    if len(moved) > 1:
        return f" ({moved[0]} to {moved[-1]} patches, by network)"
    return f" ({moved[0]} {'patch' if moved[0] == 1 else 'patches'}{' of a network' * (len(counts) > 1)})"


def pictures_told(units: pd.DataFrame) -> str:
    """Tell of how many pictures the patches are, where these are fewer: draws take patches one by one."""
    patches = units.drop_duplicates(["dataset", "patch"])
    pictures = len(set(zip(patches["dataset"], patches["patch"].str.rsplit(" ", n=1).str[0])))
    if pictures >= len(patches):
        return ""
    return (
        f"; patches are of {pictures} picture{'s' * (pictures > 1)}, and draws take those of one picture as independent"
    )


def _clear(spreads: Spreads) -> bool:
    """Whether what bits by the gradient change, to full precision and to ground truth, has one sign in 95 % of draws."""
    return one_sided(spreads.to_fp[OWN].mean(1)) and one_sided(spreads.truth[OWN].mean(1))
