"""Which parts of AdaBM earn their bits?"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..tables.question import Question
from .component_trials import PARTS, UNTUNED, WHOLE
from .measured import full_precision, measured, several
from .significance import Difference, adjusted, paired_difference

QUESTION = Question(
    "components",
    5,
    "Which parts of AdaBM earn their bits?",
    "The parts of AdaBM are switched off, and its settings moved, one at a time.",
    "Quality and average bits with parts of AdaBM switched off or moved",
)
_LEAST_TOLD = 0.01  # dB; clear differences of series are told from here on


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR of the combinations and, where they were measured, the frontier of loss and FAB and the weights of the bit loss."""
    parts, front, weights = (measured(table, variable) for variable in ("components", "bits", "bit_weight"))
    full = full_precision(table)
    drawn = {"": question_figures.plot_levels(parts, "psnr_y_db", "PSNR-Y (dB)", full)}
    if len(front):
        drawn["frontier"] = question_figures.plot_frontier(front)
    if len(weights):
        label = "weight of the bit loss"
        drawn["bit_weight"] = question_figures.plot_sweep(weights, ["psnr_y_db", "fab"], label, full=full)
    return drawn


def conclusion(table: pd.DataFrame, steps: int) -> list[str]:
    """Tell, on the first set, the effect of each component, the worth of the sensitivity, and of the bits at equal FAB.

    Args:
        steps: of fine-tuning.
    """
    first = table[table["status"] == "measured"]["dataset"].iloc[0]
    here = table[table["dataset"] == first]
    parts, front, weights = (measured(here, variable) for variable in ("components", "bits", "bit_weight"))
    told = [text for series in dict.fromkeys(parts["series"]) for text in _component_effects(parts, series, steps)]
    told += _worth_of_sensitivity(front)
    if told:
        told.append(
            "p values are of paired t-tests over seeds, adjusted for the comparisons of their sentence (Benjamini and Hochberg)."
        )
    for ending in ("", UNTUNED):
        gaps = at_equal_fab(front, f"AdaBM{ending}", f"uniform bits{ending}")
        if gaps:
            texts = [
                f"{gap.mean():+.2f} ± {gap.std(ddof=1) if len(gap) > 1 else 0:.2f} dB at FAB {fab.mean():.2f}"
                for fab, gap in (values.T for values in gaps.values())
            ]
            told.append(
                f"AdaBM{ending}{',' if ending else ''} differs from uniform bits of equal FAB (interpolated) by {several(texts)}."
            )
    if len(weights):
        means = weights.groupby("level", sort=False)[["psnr_y_db", "fab"]].mean()
        texts = [f"{level}: {row['psnr_y_db']:.2f} dB at FAB {row['fab']:.2f}" for level, row in means.iterrows()]
        told.append(f"By weight of the bit loss: {'; '.join(texts)}.")
    return told


def _component_effects(parts: pd.DataFrame, series: str, steps: int) -> list[str]:
    """A sentence on what each component adds to the other two; none where AdaBM, or all that it is compared with, is missing."""
    names = list(dict.fromkeys(parts.loc[parts["series"] == series, "level"]))
    rests = {part: "+".join(other for other in PARTS if other != part) for part in PARTS}
    if WHOLE not in names:
        return []
    value = _psnr(parts, series, WHOLE)
    effects = {
        f"({part})": paired_difference(value, _psnr(parts, series, rest))
        for part, rest in rests.items()
        if rest in names
    }
    if not effects:
        return []
    best = max(names, key=lambda level: _psnr(parts, series, level).mean())
    return [
        f"**{series.capitalize()}**{f' ({steps} steps)' if series == 'fine-tuned' else ''} on {parts['dataset'].iloc[0]}, "
        f"AdaBM has {value.mean():.2f} ± {value.std():.2f} dB; "
        f"the effect of each component beside the other two, base bits being the same, is: {several(tell_adjusted(effects))}. "
        f"The best combination is {best} ({_psnr(parts, series, best).mean():.2f} dB)."
    ]


def _worth_of_sensitivity(front: pd.DataFrame) -> list[str]:
    """Sentences on layer factors by sensitivity against random, opposite and no ones, at the same base bits."""
    told, one = [], f"layer mapping{UNTUNED}"
    for other in (f"random layer factors{UNTUNED}", f"opposite layer factors{UNTUNED}", f"uniform bits{UNTUNED}"):
        found = {f"at {bits} bits": d for bits, d in by_bits(front, one, other).items()}
        texts = zip(tell_adjusted(found), found.values())
        clear = [text for text, d in texts if d.clear and abs(d.mean) >= _LEAST_TOLD]
        if found:
            differing = several(clear) if clear else "no more than the spread over seeds"
            told.append(f"{one[0].upper()}{one[1:]}, differs from {other}, by {differing}.")
    return told


def by_bits(front: pd.DataFrame, one: str, other: str) -> dict[str, Difference]:
    """Return PSNR (dB) of one series minus another's with the same seeds, by base bits that both have."""
    levels = [set(front.loc[front["series"] == series, "level"]) for series in (one, other)]
    return {
        bits: paired_difference(_psnr(front, one, bits), _psnr(front, other, bits))
        for bits in sorted(levels[0] & levels[1], key=int)
    }


def at_equal_fab(front: pd.DataFrame, one: str, other: str) -> dict[str, np.ndarray]:
    """Compare two series at the FAB of the first, where the other has it, interpolated between the other's base bits.

    Args:
        front: measured rows of one set.

    Returns:
        By base bits of the first, (seeds, 2) values: its FAB, and its PSNR minus the other's with the same seed in dB.
    """
    gaps: dict[str, list] = {}
    for (level, seed), row in front[front["series"] == one].set_index(["level", "seed"]).iterrows():
        curve = front[(front["series"] == other) & (front["seed"] == seed)].sort_values("fab")
        if len(curve) and curve["fab"].min() <= row["fab"] <= curve["fab"].max():
            reference = np.interp(row["fab"], curve["fab"], curve["psnr_y_db"])
            gaps.setdefault(level, []).append((row["fab"], row["psnr_y_db"] - reference))
    return {level: np.array(values) for level, values in gaps.items()}


def tell_adjusted(differences: Mapping[str, Difference]) -> list[str]:
    """Tell differences, each with its name behind it, with p values adjusted for their number (Benjamini and Hochberg)."""
    p_values = adjusted([d.p_value for d in differences.values()])
    return [f"{replace(d, p_value=p).tell()} {name}" for (name, d), p in zip(differences.items(), p_values)]


def _psnr(rows: pd.DataFrame, series: str, level: str) -> pd.Series:
    """PSNR by seed."""
    here = rows[(rows["series"] == series) & (rows["level"] == level)]
    return here.set_index("seed")["psnr_y_db"].sort_index()
