"""Figures of clipping: what is kept of a range by bits, what a range of other bits costs, and which layers owe it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import INK, SLATE, family_color, network_styles, study_style
from .series import name_lines

_WORST = -8.0  # dB at which colours end
_LETTER, _PANEL = 0.055, 2.2  # inches: of a letter in the name of a layer, and at least of a panel


def plot_clipping(gaps: pd.DataFrame, gains: pd.Series) -> Figure:
    """Draw two panels: gaps to the matched range, gains by how the range is searched.

    Args:
        gaps: found for (rows), used at (columns), dB.
        gains: by name of a search, dB against no clipping.
    """
    with study_style():
        figure = Figure(figsize=(8.4, 3.4))
        matrix, searched = figure.subplots(1, 2, width_ratios=[1.45, 0.6])
        _matrix(matrix, gaps)
        order = gains.sort_values(ascending=False)
        colors = [family_color("AdaBM") if "released" in name else SLATE for name in order.index]
        searched.barh(range(len(order)), order, color=colors, height=0.6)
        searched.set_yticks(
            range(len(order)),
            [name.replace(", ", ",\n").replace(" and ", "\nand ") for name in order.index],
            fontsize=8,
        )
        searched.invert_yaxis()
        searched.axvline(0, color="0.3", lw=0.8)
        searched.set(
            title="at AdaBM's mapped bits, ranges\nsearched at (orange: as released):", xlabel="dB against no clipping"
        )
        searched.grid(axis="y", visible=False)
    return figure


def plot_kept(layers: pd.DataFrame) -> Figure:
    """Draw the share of its range that a layer keeps, by bits: median and quartiles, a line a network.

    Args:
        layers: ``backbone`` and ``kept <bits>``, a row a layer and seed.
    """
    with study_style():
        figure = Figure(figsize=(5.4, 3.2))
        _shares(figure.subplots(), layers)
    return figure


def _shares(axis: Axes, layers: pd.DataFrame) -> None:
    names = [name for name in layers if name.startswith("kept ") and name != "kept all"]
    bits = np.array([int(name.split()[1]) for name in names])
    styles, ends = network_styles(dict.fromkeys(layers["backbone"])), {}
    for place, (backbone, here) in enumerate(layers.groupby("backbone", sort=False)):
        low, middle, high = here[names].quantile([0.25, 0.5, 0.75]).to_numpy()
        aside = bits + 0.08 * (place - (len(styles) - 1) / 2)  # no bar on another
        bars = [middle - low, high - middle]
        axis.errorbar(aside, middle, bars, **styles[backbone], ms=4.5, lw=1.4, capsize=2, elinewidth=1)
        ends[backbone] = (aside[-1], middle[-1])
    axis.set(
        ylim=(0, 1), xlabel="bits that are searched for", title="best share of a layer's range (median and quartiles)"
    )
    axis.set_xticks(bits)
    axis.set_xlim(axis.get_xlim())  # names stand by what is drawn
    name_lines(axis, ends, styles)


def _matrix(axis: Axes, gaps: pd.DataFrame) -> None:
    values = gaps.to_numpy()
    found = np.ma.masked_array(values, np.eye(len(values), dtype=bool))
    drawn = axis.pcolormesh(found, cmap="RdBu", vmin=_WORST, vmax=-_WORST)
    bar = axis.figure.colorbar(drawn, ax=axis, extend="both", pad=0.02, aspect=30)
    bar.set_label("dB (red: worse than matched, blue: better)", fontsize=8)
    bar.outline.set_visible(False)
    axis.invert_yaxis()
    for row, column in np.ndindex(values.shape):
        strong = abs(values[row, column]) > -0.7 * _WORST
        if row == column:  # nothing to compare: no colour
            axis.text(column + 0.5, row + 0.5, "matched", ha="center", va="center", fontsize=7, color="0.45")
            continue
        text = f"{round(values[row, column], 1) + 0.0:+.1f}"
        axis.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color="white" if strong else "black"
        )
    axis.set_xticks(np.arange(len(gaps.columns)) + 0.5, gaps.columns)
    axis.set_yticks(np.arange(len(gaps.index)) + 0.5, gaps.index)
    axis.set(
        xlabel="bits used",
        ylabel="range found for bits",
        title="dB against the matched range,\nto the full-precision output",
    )
    axis.grid(visible=False)


def plot_owed(owed: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the share that each layer has in the cost of a range of other bits: a row a pair of bits, a column a network.

    Args:
        owed: by pair such as ``owed 8 at 3``: ``backbone``, ``layer`` and ``share``; layers are drawn in the order of their names.
    """
    networks = list(dict.fromkeys(name for told in owed.values() for name in told["backbone"]))
    with study_style():
        figure = Figure(figsize=(max(5.6, 0.8 + 2.5 * len(networks)), 0.9 + 1.6 * len(owed)))
        axes = figure.subplots(len(owed), len(networks), squeeze=False, sharey=True)
        for row, (pair, told) in zip(axes, owed.items()):
            _, of, _, used = pair.split()
            for axis, backbone in zip(row, networks):
                here = told[told["backbone"] == backbone].sort_index()
                top = int(here["share"].argmax())
                colors = [INK if place == top else SLATE for place in range(len(here))]
                axis.bar(range(len(here)), here["share"], color=colors, width=0.9, lw=0)
                first = here.iloc[top]
                name = f"{first['layer']}: {first['share']:.0%}"
                half = min(0.5, 0.5 * len(name) * _LETTER / _PANEL)  # of the name's width, as a share of the panel's
                middle = min(max((top + 0.5) / len(here), half), 1 - half)
                axis.annotate(
                    name,
                    (middle, first["share"]),
                    (0, 2),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                )
                axis.set_title(f"{backbone}:\nranges of {of} bits used at {used}", fontsize=8)
                axis.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
                axis.margins(y=0.15)
                axis.set_xticks([])
                if row is axes[-1]:
                    axis.set_xlabel("layer, from first to last")
        figure.supylabel("share of the cost, one layer at a time", fontsize=9)
    return figure
