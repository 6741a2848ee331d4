"""Which parts of AdaBM earn their bits?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..pages.frontier_figure import plot_frontier
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named, network
from ..tables.question import Question
from ..tables.wording import several, told_count
from .component_effects import (
    NO_EFFECT,
    PART,
    RESTS,
    best_elsewhere,
    bits_added,
    most,
    other_sets,
    part_effects,
    psnr_by_seed,
    told_elsewhere,
    told_without,
)
from .component_frontier import (
    LAYERS,
    RIVALS,
    against_uniform,
    as_many_bits,
    by_bits,
    equal_rows,
    told_at_equal_fab,
    worth_of_sensitivity,
)
from .component_pairs import told_unpaired
from .component_trials import WHOLE
from .diverged import check_measured, tell_diverged
from .measured import full_precision, measured
from .significance import Difference, adjust, paired_difference, share_seeds

QUESTION = Question(
    "components",
    5,
    "Which parts of AdaBM earn their bits?",
    "The parts of AdaBM are switched off, and its settings moved, one at a time. What a part adds to the other two is told in dB and "
    "in bits (FAB); layer mapping is compared with layer factors dealt at random, too.",
    "Quality with parts of AdaBM switched off, and their average bits (FAB)",
    others={
        "bit_weight": "PSNR and average bits (FAB) by the weight of the bit loss",
        "frontier": "Loss of PSNR against average bits (FAB), a line a way to choose bits",
    },
)
_NO_IMAGE = RESTS["image"]


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR of the combinations and, where they were measured, the frontier of loss and FAB and the weights of the bit loss."""
    check_measured(table[table["variable"].isin(["none", "components"])])
    parts, front, weights = (measured(table, variable) for variable in ("components", "bits", "bit_weight"))
    full = full_precision(table)
    drawn = {"": question_figures.plot_levels(parts, "psnr_y_db", "PSNR-Y (dB)", full, ("fab", "FAB"))}
    if len(front):
        drawn["frontier"] = plot_frontier(named(front))
    if len(weights) and _spans(weights).max() >= NO_EFFECT:  # where nothing moves a sentence says so
        label = "weight of the bit loss"
        drawn["bit_weight"] = question_figures.plot_sweep(weights, ["psnr_y_db", "fab"], label, full=full)
    return drawn


def conclusion(table: pd.DataFrame, steps: int) -> list[str]:
    """Tell the effect of each component, the worth of the sensitivity, and of the bits at equal FAB.

    On the first set; of others whether the parts of AdaBM do the same there.

    Args:
        steps: of fine-tuning.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    table = named(table)
    first = table[table["status"] == "measured"]["dataset"].iloc[0]
    here = table[table["dataset"] == first]
    parts, front, weights = (measured(here, variable) for variable in ("components", "bits", "bit_weight"))
    effects = {series: found for series in dict.fromkeys(parts["series"]) if (found := part_effects(parts, series))}
    equal = against_uniform(front)
    moved = [
        *worth_of_sensitivity(front, RIVALS[:1]),
        *worth_of_sensitivity(front, RIVALS[1:]),
        *told_at_equal_fab(equal),
        *_told_of_weights(weights),
    ]
    series = "fine-tuned" if "fine-tuned" in effects else next(iter(effects), None)
    others = other_sets(table, first, series) if series else {}
    scope = [*_scope(parts, effects, steps), *told_elsewhere(others, series)]
    if series and (without := told_without(parts, series, effects[series])):
        scope.insert(1, without)
    told = [" ".join(texts) for texts in (scope, moved) if texts]
    left_out = [*tell_diverged(table), *told_unpaired(here)]
    if not told:
        return left_out
    where = table["backbone"].iloc[0]
    tuned = f"fine-tuned for {steps} steps" if series == "fine-tuned" else f"{series}"
    seeds = parts.loc[parts["series"] == series, "seed"].nunique()
    tuned += f"; over {seeds} seeds, not over pictures" * (seeds > 1)
    cleared = _cleared(effects[series], others, series) if series else {}
    head = (
        f"{_verdict(effects[series], bits_added(parts, series), where, cleared)} ({tuned})."
        if series
        else "The parts of AdaBM were not compared with each other."
    )
    advised = (
        [practice(_advice(parts, front, effects[series], cleared, series) + best_elsewhere(parts, others, series))]
        if series
        else []
    )
    return [
        answer(head),
        *told,
        *left_out,
        *advised,
        *evidence(_tested(effects, front)),
        *evidence(equal_rows(equal)),
        *evidence(_weights(weights)),
    ]


def _cleared(
    effects: Mapping[str, Difference], others: Mapping[str, pd.DataFrame], series: str
) -> dict[str, dict[str, Difference]]:
    """By other set, the parts that differ clearly there and not on the first."""
    told = {name: part_effects(here, series) for name, here in others.items()}
    clear = {
        name: {part: d for part, d in found.items() if d.sure and part in effects and not effects[part].sure}
        for name, found in told.items()
    }
    return {name: found for name, found in clear.items() if found}


def _verdict(
    effects: Mapping[str, Difference],
    bits: Mapping[str, float],
    where: str,
    cleared: Mapping[str, Mapping[str, Difference]],
) -> str:
    """Which parts help, harm or do nothing, beyond doubt; of the others how much they seem to, and where else that is clear."""
    named = {part: f"{PART[part]} ({d.told()} at {bits[part]:+z.2f} bits)" for part, d in effects.items()}
    helps, harms = ([named[part] for part, d in effects.items() if d.sure and d.mean * sign > 0] for sign in (1, -1))
    idle = [part for part, d in effects.items() if d.seeds > 1 and d.mean == d.spread == 0]
    unsure = [part for part, d in effects.items() if not d.sure and part not in idle]
    doubtful = sorted(unsure, key=lambda part: -effects[part].mean)
    told = [f"{several(helps)} clearly {'add' if len(helps) > 1 else 'adds'} quality"] if helps else []
    told += [f"{several(harms)} clearly {'cost' if len(harms) > 1 else 'costs'} it"] if harms else []
    told += (
        [f"{several([named[part] for part in idle])} {'change' if len(idle) > 1 else 'changes'} nothing"]
        if idle
        else []
    )
    verb = "do" if len(doubtful) > 1 else "does"
    told += (
        [f"what {several([named[part] for part in doubtful])} {verb} is not clear with so few seeds"]
        if doubtful
        else []
    )
    for name, found in cleared.items():
        clear = [f"{PART[part]} ({d.told()})" for part, d in found.items()]
        told.append(f"on {name} {several(clear)} {'are' if len(clear) > 1 else 'is'} clear")
    return f"On {where} {'; '.join(told)}"


def _advice(
    parts: pd.DataFrame,
    front: pd.DataFrame,
    effects: Mapping[str, Difference],
    cleared: Mapping[str, Mapping[str, Difference]],
    series: str,
) -> str:
    """Which parts to keep, why those whose effect is not clear, and what the bits of those to leave out would give without them."""
    where = parts["backbone"].iloc[0]
    names = list(dict.fromkeys(parts.loc[parts["series"] == series, "level"]))
    best = most(parts, series)
    if best != WHOLE:
        gain = paired_difference(psnr_by_seed(parts, series, best), psnr_by_seed(parts, series, WHOLE))
        told = f"{gain.told()} against all of AdaBM"
        return f"on {where} use {best}, the best combination: {told} (chosen by looking, out of {len(names)})."
    bits = bits_added(parts, series)
    dear = [part for part, d in effects.items() if not d.sure and bits[part] > NO_EFFECT]
    if not dear:
        return f"keep all of AdaBM, which has the most PSNR in the mean on {where}."
    kept = []
    for part, d in effects.items():
        if part not in dear:
            sets = [name for name, found in cleared.items() if part in found and found[part].mean > 0]
            doubt = f" (no bits; clear on {several(sets)})" if sets else " (no bits)"
            kept.append(PART[part] + ("" if d.sure else doubt))
    prices = [f"{bits[part]:+.2f} bits for {effects[part].told()}" for part in dear]
    evenly = as_many_bits(front, parts["setting"].iloc[0], bits["image"]) if "image" in dear else ""
    return (
        (f"on {where} keep {several(kept)}, and " if kept else f"on {where} ")
        + f"do without {several([PART[part] for part in dear])}: {several(prices)}, which the seeds cannot tell from nothing{evenly}."
    )


def _scope(parts: pd.DataFrame, effects: Mapping[str, Mapping], steps: int) -> list[str]:
    """Tell on what the parts were compared, and which questions ask the same of other networks."""
    if not effects:
        return []
    tuned = f"; fine-tuning takes {steps} steps" if "fine-tuned" in effects else ""
    return [
        f"A part's effect is what it adds to the other two at the same base bits, on {parts['dataset'].iloc[0]}{tuned}. Seeds draw what models are "
        f"calibrated on, not the pictures that they are measured on. This is one "
        f"network, {parts['backbone'].iloc[0]}: whether layers should follow their deviation, and images their gradient, on others too "
        "is asked on the pages of sensitivity, of dynamic factors and of complexity."
    ]


def _weights(weights: pd.DataFrame) -> list[dict[str, str]]:
    means = weights.groupby("level", sort=False)[["psnr_y_db", "fab"]].mean()
    return [
        {"weight of the bit loss": level, "PSNR-Y (dB)": f"{row['psnr_y_db']:.2f}", "FAB": f"{row['fab']:.2f}"}
        for level, row in means.iterrows()
    ]


def _spans(weights: pd.DataFrame) -> pd.Series:
    """From least to most over weights of the bit loss, of the means over seeds: PSNR in dB and FAB, on the set where that is most."""
    means = weights.groupby(["dataset", "level"])[["psnr_y_db", "fab"]].mean().groupby("dataset")
    return (means.max() - means.min()).max()


def _told_of_weights(weights: pd.DataFrame) -> list[str]:
    if weights.empty:
        return []
    spans = _spans(weights)
    if spans.max() < NO_EFFECT:
        return [
            "The weight of the bit loss changes nothing in so few steps; the question on the bit loss gives it enough to act."
        ]
    return [f"Over all weights of the bit loss PSNR spans {spans['psnr_y_db']:.2f} dB and FAB {spans['fab']:.2f}."]


def _tested(effects: Mapping[str, Mapping[str, Difference]], front: pd.DataFrame) -> list[dict[str, str]]:
    """Rows of evidence: paired t-tests over seeds, p values adjusted within each comparison."""
    test = "p adjusted (paired, Benjamini and Hochberg)"
    rows = [
        {"what": f"AdaBM, {series}", "against": f"without {PART[part]}", "bits": "", **d.cells(test)}
        for series, found in effects.items()
        for part, d in found.items()
    ]
    return rows + [
        {"what": LAYERS, "against": other, "bits": bits, **d.cells(test)}
        for other in RIVALS
        for bits, d in adjust(by_bits(front, LAYERS, other)).items()
    ]


def image_difference(table: pd.DataFrame) -> tuple[pd.DataFrame, Difference] | None:
    """Return the rows of the first set with and without image mapping, everything else being there, and their difference.

    Returns:
        Of fine-tuned models where they were measured; None where neither was, with a seed of both.
    """
    for series in ("fine-tuned", "not fine-tuned"):
        rows = measured(table, "components")
        rows = rows[(rows["series"] == series) & rows["level"].isin([WHOLE, _NO_IMAGE])]
        rows = rows[rows["dataset"] == rows["dataset"].iloc[0]] if len(rows) else rows
        pair = psnr_by_seed(rows, series, WHOLE), psnr_by_seed(rows, series, _NO_IMAGE)
        if share_seeds(*pair):
            return rows, paired_difference(*pair)
    return None


def image_worth(table: pd.DataFrame) -> str:
    """Tell in one sentence what it changes, on the first set, that bits follow the image; nothing where that was not measured."""
    compared = image_difference(table)
    if compared is None:
        return ""
    rows, found = compared
    series = rows["series"].iloc[0]
    return (
        f"Beside layer mapping and clipping it changes PSNR by {found.told()} "
        f"({'clearly' if found.sure else 'not clearly'}, {told_count(found.seeds, 'seed')}) and FAB by "
        f"{bits_added(rows, series)['image']:+z.2f} bits, {series}, on {network(rows['backbone'].iloc[0])} and {rows['dataset'].iloc[0]}."
    )
