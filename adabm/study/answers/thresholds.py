"""Where do the first thresholds come from, and does it matter?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.question import Question
from .measured import full_precision, measured
from .significance import paired_difference

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


def conclusion(table: pd.DataFrame) -> list[str]:
    """Tell, on the first set, what the released percentiles lose against the best, and what they gain on the extremes."""
    swept = measured(table, "percentile").astype({"level": int})
    dataset = swept["dataset"].iloc[0]
    told = []
    for series, here in swept[swept["dataset"] == dataset].groupby("series", sort=False):
        which, _, name = series.partition(", ")
        psnr = here.pivot_table(index="seed", columns="level", values="psnr_y_db")
        means, fab = psnr.mean(), here.groupby("level")["fab"].mean()
        released = RELEASED[which]
        best = released if means[released] == means.max() else int(means.idxmax())
        lost = paired_difference(psnr[released], psnr[best])
        worth = paired_difference(psnr[released], psnr[0])
        gained = "the same as" if (psnr[released] == psnr[0]).all() else f"{worth.tell()} against"
        compared = (
            "which is the best"
            if best == released
            else f"{lost.tell()} against the best, {best} ({fab[best]:.2f} bits)"
        )
        told.append(
            f"**Thresholds of {which}**, {name}, on {dataset}: the released percentile {released} has {means[released]:.2f} dB "
            f"at FAB {fab[released]:.2f}, {compared}, and {gained} the extremes, 0 (FAB {fab[0]:.2f}). "
            f"Over all percentiles PSNR spans {means.max() - means.min():.2f} dB and FAB {fab.min():.2f} to {fab.max():.2f}."
        )
    return told
