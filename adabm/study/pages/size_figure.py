"""Figure of calibration-set sizes: loss and bits against the number of pictures, how many of them are needed, and why."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from .figures import BETTER, study_style
from .loss_axis import bars, drawn_at, logarithmic_loss
from .question_figures import LABELS
from .series import series_styles


def plot_sizes(swept: pd.DataFrame, needed: Mapping[tuple[str, str], tuple[int, str]]) -> Figure:
    """Draw a column a network and set, the loss (logarithmic) above FAB, a line a series; bars: a standard deviation over seeds.

    Args:
        swept: measured rows; ``level`` is the number of pictures.
        needed: by network and set, how many pictures are needed, from where on the panel is shaded, and a text that says why.
    """
    data = swept.assign(x=pd.to_numeric(swept["level"]))
    panels = list(data.groupby(["backbone", "dataset"], sort=False))
    styles = series_styles(dict.fromkeys(data["series"]))
    sizes = sorted(data["x"].unique())
    with study_style():
        figure = Figure(figsize=(1.0 + 2.4 * max(len(panels), 1.4), 4.2))
        grid = figure.subplots(2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 2))
        for (place, here), axes in zip(panels, grid.T):
            for axis, value in zip(axes, ("loss_db", "fab")):
                _lines(axis, here, value, styles)
            _tell(axes, needed.get(place), max(here["x"]), sizes)
            axes[0].set_title("{}\n{}".format(*place), fontsize=9)
            _name(axes[0], list(dict.fromkeys(here["series"])), styles)
        losses = data.groupby(["backbone", "dataset", "series", "x"])["loss_db"].mean()
        logarithmic_loss(grid[0, 0], losses)
        grid[0, 0].yaxis.set_major_locator(
            LogLocator(subs=(1.0, 2.0, 5.0))
        )  # from the least to the most loss it is far
        grid[0, 0].set_ylim(drawn_at(losses).min() * 0.25, drawn_at(losses).max() * 4)
        for axis, value in zip(grid[:, 0], ("loss_db", "fab")):
            axis.set_ylabel(LABELS[value])
        grid[0, 0].set_xscale("log")
        grid[0, 0].set_xlim(min(sizes) * 0.8, max(sizes) * 1.3)
        grid[0, 0].xaxis.set_major_locator(FixedLocator(sizes))
        grid[0, 0].xaxis.set_minor_locator(NullLocator())
        grid[0, 0].xaxis.set_major_formatter(lambda size, _: f"{size:g}")
        figure.supxlabel("calibration pictures (logarithmic)", fontsize=9)
    return figure


def _lines(axis: Axes, here: pd.DataFrame, value: str, styles: Mapping[str, Mapping]) -> None:
    for name, rows in here.groupby("series", sort=False):
        grouped = rows.groupby("x")[value]
        means, spreads = grouped.mean(), grouped.std().fillna(0.0)
        if value == "loss_db":
            means, spreads = drawn_at(means), bars(means, spreads)
        drawn = axis.errorbar(
            means.index, means, spreads, **styles[name], ms=4, lw=1.3, capsize=2, elinewidth=1, label=name
        )
        for part in (*drawn[1], *drawn[2]):
            part.set_alpha(0.45)


def _name(axis: Axes, series: Sequence[str], styles: Mapping[str, Mapping]) -> None:
    """Name the lines of a panel, where there are several, in their colours."""
    for index, name in enumerate(series if len(series) > 1 else ()):
        place = dict(
            xycoords="axes fraction", ha="right", va="top", bbox=dict(fc="white", ec="none", pad=0.5, alpha=0.7)
        )
        axis.annotate(name, (0.97, 0.97 - 0.08 * index), fontsize=7.5, color=styles[name]["color"], **place)


def _tell(axes: Sequence[Axes], needed: tuple[int, str] | None, most: int, sizes: Sequence[int]) -> None:
    """Shade from as many as are needed on and say why; nothing where no sizes can be compared."""
    if needed is None:
        return
    count, text = needed
    if count < most:
        for axis in axes:
            axis.axvspan(count, most * 1.3 if most == max(sizes) else most, color=BETTER, alpha=0.12, lw=0)
    axes[0].annotate(
        text,
        (0.97, 0.03),
        xycoords="axes fraction",
        ha="right",
        va="bottom",
        fontsize=8.5,
        color=BETTER,
        weight="bold",
        bbox=dict(fc="white", ec="none", pad=0.5, alpha=0.7),
    )
