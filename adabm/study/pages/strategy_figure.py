"""Figure of strategies of choosing pictures: PSNR against that of random ones, and which differ clearly."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import BETTER, WORSE, study_style

_COLUMNS = 3


def plot_strategies(points: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Draw a panel a network, series and set, a row a strategy: small dots are seeds, large ones their mean, which is written beside.

    Args:
        points: a row a seed: ``backbone``, ``series``, ``dataset``, ``strategy`` and ``gained``, dB against the mean of random pictures.
        means: likewise a row a strategy; ``against random``, empty for those themselves; and ``clear``, whether it differs
            clearly: those are coloured.
    """
    strategies = list(dict.fromkeys(points["strategy"]))
    panels = list(points.groupby(["backbone", "series", "dataset"], sort=False))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with study_style():
        size = (1.5 + 2.6 * columns, 0.7 + (0.6 + 0.21 * len(strategies)) * rows)
        figure = Figure(figsize=size)
        axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        for axis, (keys, here) in zip(axes, panels):
            own = means[(means[["backbone", "series", "dataset"]] == list(keys)).all(axis=1)].set_index("strategy")
            _draw(axis, here, own, strategies)
            axis.set_title("{0}, {2}\n{1}".format(*keys), fontsize=8)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        axes[0].set_yticks(range(len(strategies)), strategies)
        axes[0].set_ylim(len(strategies) - 0.5, -0.5)
        figure.supxlabel(
            "PSNR against random pictures (dB); coloured where it differs clearly, small dots: seeds", fontsize=8.5
        )
    return figure


def _draw(axis: Axes, here: pd.DataFrame, means: pd.DataFrame, strategies: list[str]) -> None:
    axis.axvline(0, color="0.3", lw=0.8)
    for place, strategy in enumerate(strategies):
        beside = dict(xycoords=("axes fraction", "data"), textcoords="offset points", va="center", fontsize=7)
        if strategy not in means.index:
            axis.annotate("not tried", (1.0, place), xytext=(3, 0), color="0.6", annotation_clip=False, **beside)
            continue
        mean, clear = means.loc[strategy, "gained"], bool(means.loc[strategy, "clear"])
        color = (BETTER if mean > 0 else WORSE) if clear else "0.45"
        seeds = here[here["strategy"] == strategy]["gained"]
        axis.plot(seeds, [place] * len(seeds), "o", mfc="none", color=color, ms=3, alpha=0.6)
        axis.plot(mean, place, "o", color=color, ms=6)
        weight, told = (
            "bold" if clear else "normal",
            "reference" if pd.isna(means.loc[strategy, "against random"]) else f"{mean:+z.2f}",
        )
        axis.annotate(told, (1.0, place), xytext=(3, 0), color=color, weight=weight, annotation_clip=False, **beside)
    axis.tick_params(axis="y", length=0)
