"""Figures of the main results: what each method loses by setting and set, and PSNR beside theoretical cost."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...full_precision import FULL_PRECISION
from ..tables.methods import in_order, label
from ..tables.networks import network
from ..tables.summary import of_one_engine
from ..tables.wording import several
from .figures import family_colors, study_style
from .loss_axis import LEAST_LOSS, drawn_at

_ABREAST = 3  # panels beside each other at most: more cannot be read at the width of a page
_TICKS = (0.01, 0.1, 1, 10)
_MARKS = {
    "^": "triangles",
    "s": "squares",
    "v": "triangles on their tips",
    "x": "crosses",
    "p": "pentagons",
}  # sets behind the first


def plot_losses(summary: pd.DataFrame) -> Figure:
    """PSNR loss of a network, which the title names, against full precision: a panel a setting, a row a method.

    The loss on the first set is in the method's colour and in figures; lines span one standard deviation over seeds to each side;
    small gray marks are the other sets, open diamonds the published losses on the first set, of the same method at the same
    setting with the published weights. The axis is logarithmic. Where no quantized network was measured, that is told.
    """
    rows = of_one_engine(summary[(summary["status"] == "measured") & (summary["method"] != FULL_PRECISION)])
    rows = rows.assign(place=[_place(*names) for names in zip(rows["dataset"], rows["tile"])])
    settings = list(dict.fromkeys(rows["setting"]))
    if not settings:
        return _nothing_measured()
    columns = math.ceil(len(settings) / math.ceil(len(settings) / _ABREAST))
    lines = [settings[begin : begin + columns] for begin in range(0, len(settings), columns)]
    methods = [in_order(rows.loc[rows["setting"].isin(line), "method"]) for line in lines]
    first, *others = dict.fromkeys(rows["place"])
    marks = dict(zip(others, itertools.cycle(_MARKS)))
    published = "published_loss_db" in rows and rows.loc[rows["place"] == first, "published_loss_db"].notna().any()
    with study_style():
        counts = [len(names) for names in methods]
        figure = Figure(figsize=(2.4 + 1.4 * max(2, columns), 0.6 + 0.5 * len(lines) + 0.25 * sum(counts)))
        grid = figure.subplots(len(lines), columns, squeeze=False, sharey="row", sharex=True, height_ratios=counts)
        colors = family_colors(in_order(rows["method"]))
        for axes, line, names in zip(grid, lines, methods):
            for axis, setting in zip(axes, line):
                _draw_losses(axis, rows[rows["setting"] == setting], names, colors, first, marks, published)
                axis.set(xscale="log", title=setting)
                axis.margins(x=0.12)  # for the numbers at the ends
                axis.set_xticks([tick for tick in _TICKS if axis.get_xlim()[0] <= tick <= axis.get_xlim()[1]])
                axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.minorticks_off()
            for axis in axes[len(line) :]:
                axis.set_visible(False)
            axes[0].set_yticks(range(len(names)), [label(name) for name in names])
            axes[0].set_ylim(len(names) - 0.4, -0.8)
        figure.suptitle(several([network(name) for name in dict.fromkeys(rows["backbone"])]))
        told = f"loss of PSNR-Y against full precision (dB, logarithmic): filled {first}"
        told += f"; small {', '.join(f'{_MARKS[mark]} {place}' for place, mark in marks.items())}" if others else ""
        figure.supxlabel(told + (f"; diamonds: published, {first}" if published else ""), fontsize=8, wrap=True)
    return figure


def _nothing_measured() -> Figure:
    with study_style():
        figure = Figure(figsize=(4.0, 0.6))
        figure.text(0.5, 0.5, "No quantized network was measured.", ha="center", va="center", fontsize=9)
    return figure


def _draw_losses(
    axis: Axes,
    here: pd.DataFrame,
    methods: Sequence[str],
    colors: Mapping[str, tuple],
    first: str,
    marks: Mapping[str, str],
    published: bool,
) -> None:
    for place, mark in marks.items():
        axis.plot(
            *_points(here[here["place"] == place], "loss_db", methods), mark, mfc="none", mec="0.5", ms=3.5, mew=0.8
        )
    own = here[here["place"] == first]
    for _, row in own.iterrows():
        y, color, loss = methods.index(row["method"]), colors[row["method"]], max(row["loss_db"], LEAST_LOSS)
        spread = row["psnr_std_db"] if row["seeds"] > 1 else 0.0
        axis.plot([max(loss - spread, LEAST_LOSS), loss + spread], [y, y], color=color, lw=1.5)
        axis.plot(loss, y, "o", color=color, ms=5.5)
        beside = dict(textcoords="offset points", ha="center", fontsize=6.5)
        axis.annotate(f"{row['loss_db']:z.2f}", (loss, y), (0, 4), **beside)
    if published:
        known = own[own["published_loss_db"].notna()]
        axis.plot(*_points(known, "published_loss_db", methods), "D", mfc="none", mec="0.3", ms=5)


def _place(dataset: str, tile: int) -> str:
    return f"{dataset} in {tile}px patches" if tile else dataset


def _points(rows: pd.DataFrame, column: str, methods: Sequence[str]) -> tuple[list[float], list[int]]:
    return list(drawn_at(rows[column])), [methods.index(name) for name in rows["method"]]


def plot_psnr_bitops(means: pd.DataFrame) -> Figure:
    """PSNR of each method, best first, a panel a setting with its theoretical BitOPs; full precision as a line; as :func:`plot_losses` without any."""
    means = of_one_engine(means)
    reference = means[means["method"] == FULL_PRECISION].iloc[0]
    settings: Sequence[str] = list(dict.fromkeys(means.loc[means["method"] != FULL_PRECISION, "setting"]))
    if not settings:
        return _nothing_measured()
    counts = [max(4, int((means["setting"] == setting).sum())) for setting in settings]
    with study_style():
        figure = Figure(figsize=(6.4, 0.5 * len(settings) + 0.19 * sum(counts) + 0.4))
        axes = figure.subplots(len(settings), 1, squeeze=False, height_ratios=counts)[:, 0]
        colors = family_colors(name for name in means["method"] if name != FULL_PRECISION)
        for axis, setting in zip(axes, settings):
            _rank(axis, means[means["setting"] == setting].sort_values("psnr_y_db", kind="stable"), colors)
            axis.axvline(reference["psnr_y_db"], color="black", lw=0.8, ls=":")
            ends = [f"{value:.3g}" for value in np.unique(means.loc[means["setting"] == setting, "bitops_g"]) / 1000]
            axis.set_title(
                f"{setting}: {' to '.join(dict.fromkeys([ends[0], ends[-1]]))} T BitOPs (theoretical, 720p output)"
            )
        axes[-1].set_xlabel("PSNR-Y (dB); dotted: full precision")
    return figure


def _rank(axis: Axes, chosen: pd.DataFrame, colors: Mapping[str, tuple]) -> None:
    """Draw a dot a method, from bottom to top as the rows are, with its name and value."""
    for place, (_, row) in enumerate(chosen.iterrows()):
        value = row["psnr_y_db"]
        axis.plot(value, place, "o", color=colors[row["method"]], ms=5, zorder=3)
        beside = dict(textcoords="offset points", fontsize=7, va="center", color="0.3")
        axis.annotate(f"{value:.2f}", (value, place), (-6, 0), ha="right", **beside)
    axis.set_yticks(range(len(chosen)), [label(name) for name in chosen["method"]], fontsize=7)
    axis.set_ylim(-0.7, len(chosen) - 0.3)
    axis.margins(x=0.14)
    axis.grid(axis="x", visible=False)
