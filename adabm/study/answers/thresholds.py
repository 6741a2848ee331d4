"""Where do the first thresholds come from, and does it matter?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .measured import full_precision, measured, several
from .significance import Difference, paired_difference

QUESTION = Question(
    "thresholds",
    9,
    "Where should the first thresholds lie, and does it matter?",
    "Thresholds of Image2Bit and first factors of Layer2Bit are percentiles of what calibration saw; at 0 they are its extremes.",
    "Quality and bits against the percentiles that the first thresholds are",
)
IMAGES, LAYERS = "images", "layers"
_SETTINGS = {IMAGES: "map_bits.image_percentile", LAYERS: "map_bits.layer_percentile"}
RELEASED = {IMAGES: 10, LAYERS: 30}


def trials(
    bench: Bench, setting: str, percentiles: Sequence[int], count: int, methods: Mapping[str, Mapping]
) -> list[Trial]:
    """Return the models to compare: the thresholds of images, then those of layers, moved with all else as released.

    Args:
        percentiles: below 50; 0, the extremes of what calibration saw, and the released ones are there in any case.
        count: random calibration pictures, others for each seed.
        methods: by name: ``method``, ``seeds`` and, where they differ, ``changes``, ``percentiles`` of its own.

    Raises:
        ConfigError: a method has an unknown key or lacks one.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method", "seeds"], ["changes", "percentiles"])
    return [
        Trial(f"{which}, {name}", "percentile", str(level), run, bench.choose("random", count, run))
        for name, method in methods.items()
        for which, changed in _SETTINGS.items()
        for level in sorted({0, *method.get("percentiles", percentiles), RELEASED[which]})
        for seed in method["seeds"]
        for run in [Run.at(method["method"], setting, seed, {**method.get("changes", {}), changed: float(level)})]
    ]


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR and FAB against the percentile, a line for images and one for layers of each method."""
    swept = measured(table, "percentile")
    drawn = question_figures.plot_sweep(
        swept, ["psnr_y_db", "fab"], "percentile of the thresholds", log=False, full=full_precision(table)
    )
    return {"": drawn}


@dataclass(frozen=True)
class Moved:
    """What moving one pair of thresholds does, over seeds: ``lost``, the released percentile against the best; ``worth``,
    against the extremes of what calibration saw; means by percentile."""

    which: str
    name: str
    psnr: pd.Series
    fab: pd.Series
    best: int
    lost: Difference
    worth: Difference
    seeds: int


def compared(table: pd.DataFrame) -> list[Moved]:
    """Compare, on the first set, the released percentiles with the others, of images and of layers, for each method."""
    swept = measured(table, "percentile").astype({"level": int})
    found = []
    for series, here in swept[swept["dataset"] == swept["dataset"].iloc[0]].groupby("series", sort=False):
        which, _, name = series.partition(", ")
        psnr = here.pivot_table(index="seed", columns="level", values="psnr_y_db")
        means, released = psnr.mean(), RELEASED[which]
        best = released if means[released] == means.max() else int(means.idxmax())
        lost, worth = (paired_difference(psnr[released], psnr[other]) for other in (best, 0))
        found.append(Moved(which, name, means, here.groupby("level")["fab"].mean(), best, lost, worth, len(psnr)))
    return found


def conclusion(table: pd.DataFrame) -> list[str]:
    """Tell, on the first set, what the released percentiles lose against the best, and what they gain on the extremes."""
    found = compared(table)
    spans = [
        f"{moved.psnr.max() - moved.psnr.min():.2f} dB (FAB {moved.fab.min():.2f} to {moved.fab.max():.2f}) for those of "
        f"{moved.which}, {moved.name}"
        for moved in found
    ]
    better = [moved for moved in found if moved.lost.sure]
    return [
        answer(_verdict(found, better)),
        f"Over all percentiles PSNR on {measured(table, 'percentile')['dataset'].iloc[0]} spans {several(spans)}.",
        practice(
            several([f"try {m.best} instead of {RELEASED[m.which]} for {m.which}, {m.name}" for m in better]) + "."
            if better
            else "keep the released percentiles."
        ),
        *evidence([row for moved in found for row in _rows(moved)]),
    ]


def _verdict(found: Sequence[Moved], better: Sequence[Moved]) -> str:
    if better:
        listed = several([f"{m.best} for {m.which}, {m.name} ({-m.lost.mean:+.2f} dB)" for m in better])
        first = f"Other percentiles are clearly better than the released ones: {listed}"
    else:
        first = "No other percentile is clearly better than the released one"
    worths = {which: [moved.worth for moved in found if moved.which == which] for which in (IMAGES, LAYERS)}
    sides = {"adapting clearly helps for": 1, "adapting clearly harms for": -1}
    told = {}
    for verb, sign in sides.items():
        told[verb] = [
            which for which, all_of in worths.items() if all_of and all(w.sure and w.mean * sign > 0 for w in all_of)
        ]
    unsure = [
        which for which, all_of in worths.items() if all_of and not any(which in names for names in told.values())
    ]
    texts = [f"{verb} {several(names)}" for verb, names in told.items() if names]
    texts += [f"whether adapting helps for {several(unsure)} the seeds cannot tell"] if unsure else []
    return f"{'; '.join([first, *texts])}."


def _rows(moved: Moved) -> list[dict[str, str]]:
    released = RELEASED[moved.which]
    others = {moved.best: ("the best", moved.lost), 0: ("the extremes", moved.worth)}
    if moved.best == 0:
        others = {0: ("the best, the extremes", moved.worth)}
    elif moved.best == released:
        others[released] = ("the best, itself", moved.lost)
    return [
        {
            "thresholds of": f"{moved.which}, {moved.name}",
            "released": str(released),
            "PSNR-Y (dB)": f"{moved.psnr[released]:.2f}",
            "FAB": f"{moved.fab[released]:.2f}",
            "against": f"{name}, {level}",
            "its FAB": f"{moved.fab[level]:.2f}",
            **difference.cells("p (paired)"),
            "seeds": str(moved.seeds),
        }
        for level, (name, difference) in others.items()
    ]
