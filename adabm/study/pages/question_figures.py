"""Figures that answer the study's questions, from tables of :mod:`adabm.study.tables.schema`. One style, colour-blind safe."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from .figures import study_style
from .loss_axis import bars as bars_of_losses
from .loss_axis import drawn_at, logarithmic_loss
from .series import name_lines, series_styles

LABELS = {
    "psnr_y_db": "PSNR-Y (dB)",
    "gained_db": "PSNR against the\nreleased value (dB)",
    "loss_db": "loss against\nfull precision (dB)",
    "fab": "FAB\n(simulated bits)",
    "seconds": "measured time (s)",
    "peak_mib": "peak memory (MiB)",
}
_WIDEST = 7.0  # inches of all panels of a row: text on the page is as large as it is drawn
_FROM_ZERO = ("seconds", "peak_mib")  # lengths are compared by eye


def plot_sweep(
    table: pd.DataFrame,
    values: Sequence[str],
    label: str,
    log: bool = True,
    full: Mapping[str, float] | None = None,
    shades: Sequence[tuple[float, float, str]] = (),
    apart: Mapping[str, tuple[float, str]] = MappingProxyType({}),
    own: Collection[str] = (),
    legend: bool = False,
) -> Figure:
    """Draw values against a numeric level: a row a value, a column a set, a line a series.

    Points are means and bars one standard deviation over seeds; of times, medians and quartiles over samples.

    Args:
        table: measured rows; ``level`` holds numbers, and what ``apart`` names.
        label: of the horizontal axis.
        log: logarithmic axis, on which a level 0 is drawn left of the rest.
        full: PSNR of full precision by set, drawn as a dotted line.
        shades: (begin, end, name) stretches of the axis to be told apart.
        apart: levels that are no numbers: where on the axis, which is not logarithmic, and how it calls them; no line leads there.
        own: values of which each column has an axis of its own: sets differ by more than what is to be seen.
        legend: name series above all panels, not beside the lines.
    """
    numbers = table["level"].map(lambda level: apart[level][0] if level in apart else level)
    data = table.assign(x=pd.to_numeric(numbers), apart=table["level"].isin(list(apart)))
    datasets = list(dict.fromkeys(data["dataset"]))
    series = list(dict.fromkeys(data["series"]))
    with study_style():
        figure = Figure(figsize=(1.2 + min(3.3 * max(len(datasets), 1.4), _WIDEST), 0.7 + 2.1 * len(values)))
        axes = figure.subplots(len(values), len(datasets), squeeze=False, sharex=True)
        for value, line in zip(values, axes):
            for axis in line[1:] if value not in own else ():
                axis.sharey(line[0])
                axis.tick_params(labelleft=False)
        for column, dataset in enumerate(datasets):
            here = data[data["dataset"] == dataset]
            for row, value in enumerate(values):
                axis = axes[row][column]
                ends = _lines(axis, here.dropna(subset=[value]), value, series)
                if full is not None and value == "psnr_y_db":
                    axis.axhline(full[dataset], color="black", lw=0.8, ls=":")
                    axis.annotate(
                        "full precision",
                        (1, full[dataset]),
                        xycoords=axis.get_yaxis_transform(),
                        fontsize=7,
                        ha="right",
                        va="bottom",
                    )
                if value in _FROM_ZERO:
                    axis.set_ylim(bottom=0)
                if value == "loss_db":  # tenths of a dB matter beside a loss of ten
                    logarithmic_loss(axis, here.groupby(["series", "x"])[value].mean())
                shade(axis, shades, labelled=row == 0)
                told = f"{label} (logarithmic)" if log else label
                axis.set(xlabel=told if row == len(values) - 1 else "", ylabel=LABELS[value] if column == 0 else "")
                _ticks(axis, sorted(data["x"].unique()), log)
                if apart:
                    _name_apart(axis, sorted(data.loc[~data["apart"], "x"].unique()), apart.values())
                axis.autoscale_view(scaley=False)
                if column == len(datasets) - 1 and row == 0 and len(series) > 1 and not legend:
                    name_lines(axis, ends, series_styles(series))
            axes[0][column].set_title(dataset)
        if legend:
            _legend(figure, series)
    return figure


def _lines(axis: Axes, data: pd.DataFrame, value: str, series: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Draw the series and return where each ends."""
    styles, ends = series_styles(series), {}
    for name in series:
        grouped = data[data["series"] == name].groupby("x")[value]
        middle = grouped.median() if value in _FROM_ZERO else grouped.mean()
        # measured times are skewed: median and quartiles; PSNR and bits over seeds: mean and standard deviation
        bars = (
            [middle - grouped.quantile(0.25), grouped.quantile(0.75) - middle]
            if value in _FROM_ZERO
            else grouped.std().fillna(0.0)
        )
        if len(middle):
            if value == "loss_db":
                bars, middle = bars_of_losses(middle, bars), drawn_at(middle)
            of_numbers = middle.index.isin(data.loc[~data["apart"], "x"])
            line = middle[of_numbers] if of_numbers.any() else middle
            ends[name] = (line.index[-1], line.iloc[-1])
            for shown, style in ((of_numbers, {"label": name}), (~of_numbers, {"ls": "none"})):
                if not shown.any():
                    continue
                drawn = axis.errorbar(
                    middle.index[shown],
                    middle[shown],
                    bars[shown] if isinstance(bars, pd.Series) else [bar[shown] for bar in bars],
                    **(styles[name] | style),
                    ms=4.5,
                    lw=1.3,
                    capsize=2,
                    elinewidth=1,
                )
                for part in (*drawn[1], *drawn[2]):  # the bars: where many series lie close, lines stay in front
                    part.set_alpha(0.45)
    return ends


def _name_apart(axis: Axes, numbers: Sequence[float], apart: Iterable[tuple[float, str]]) -> None:
    """Put ticks at the numbers and, with their names, at what is none."""
    places, names = zip(*apart)
    axis.set_xticks([*numbers, *places], [*(f"{number:g}" for number in numbers), *names])
    for label in axis.get_xticklabels()[len(numbers) :]:
        label.set(rotation=90, va="top")


def _ticks(axis: Axes, levels: Sequence[float], log: bool) -> None:
    if not log:
        return
    least = min((level for level in levels if level > 0), default=1.0)
    axis.set_xscale("symlog", linthresh=least, linscale=0.5)
    axis.set_xlim((least * 0.8 if min(levels) > 0 else -least * 0.3), max(levels) * 1.25)
    shown = list(levels)
    while len(shown) > 9:
        shown = shown[::2]
    axis.xaxis.set_major_locator(FixedLocator(shown))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([f"{level:g}" for level in shown])


def shade(axis: Axes, shades: Sequence[tuple[float, float, str]], labelled: bool) -> None:
    """Shade every other of (begin, end, name) stretches of the horizontal axis."""
    for index, (begin, end, name) in enumerate(shades):
        axis.axvspan(begin, end, color="0.5", alpha=0.12 if index % 2 == 0 else 0.0, lw=0)
        if labelled:
            axis.annotate(
                name,
                ((begin + end) / 2, 0.01),
                xycoords=axis.get_xaxis_transform(),
                fontsize=6,
                ha="center",
                va="bottom",
                color="0.4",
            )


def _legend(figure: Figure, series: Sequence[str]) -> None:
    """Name several series above, each once, also one that the first panel lacks."""
    if len(series) < 2:
        return
    found = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            found.setdefault(label, handle[0] if hasattr(handle, "lines") else handle)
    drawn = [name for name in series if name in found]
    figure.legend(
        [found[name] for name in drawn], drawn, loc="outside upper center", ncols=min(len(series), 3), fontsize=8
    )


def plot_levels(
    table: pd.DataFrame,
    value: str,
    label: str,
    full: Mapping[str, float] | None = None,
    beside: tuple[str, str] | None = None,
) -> Figure:
    """Draw a value of named levels: a row a level, a column a set, a colour a series; small dots: seeds, large: their mean (of times: samples and median).

    Args:
        table: measured rows of one variable; levels are drawn in their order of appearance, the first at the top.
        label: of the value's axis.
        full: PSNR of full precision by set, drawn as a dotted line.
        beside: a column whose means stand in numbers at the right of each row, and its heading.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    series = list(dict.fromkeys(table["series"]))
    levels = list(dict.fromkeys(table["level"]))
    styles = series_styles(series)
    with study_style():
        figure = Figure(
            figsize=(2.6 + min(2.7 * max(len(datasets), 1.2), _WIDEST), 1.2 + (0.38 if beside else 0.3) * len(levels))
        )
        axes = figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
        for axis, dataset in zip(axes, datasets):
            for index, name in enumerate(series):
                offset = 0.3 * (index - (len(series) - 1) / 2)
                here = table[(table["dataset"] == dataset) & (table["series"] == name)]
                places = np.array([levels.index(level) for level in here["level"]]) + offset
                style = styles[name] | {"ls": "", "mfc": styles[name]["color"]}
                axis.plot(here[value], places, **style | {"mfc": "none"}, alpha=0.6, ms=3)
                means = here.groupby("level", sort=False)[value].agg("median" if value in _FROM_ZERO else "mean")
                axis.plot(means, [levels.index(level) + offset for level in means.index], **style, ms=6, label=name)
                if beside is not None:
                    _numbers(axis, here.groupby("level", sort=False)[beside[0]].mean(), levels, offset, style["color"])
            if beside is not None:
                axis.text(1.02, 1.02, beside[1], transform=axis.transAxes, fontsize=8, va="bottom")
            if full is not None:
                axis.axvline(full[dataset], color="black", lw=0.8, ls=":")
                axis.annotate(
                    "full precision",
                    (full[dataset], 0.02),
                    xycoords=axis.get_xaxis_transform(),
                    fontsize=7,
                    rotation=90,
                    ha="right",
                    va="bottom",
                )
            if value in _FROM_ZERO:
                axis.set_xlim(left=0)
            axis.set(title=dataset, xlabel=label)
            axis.set_yticks(range(len(levels)), levels)
            axis.tick_params(axis="y", length=0)
        axes[0].set_ylim(len(levels) - 0.5, -0.5)
        _legend(figure, series)
    return figure


def _numbers(axis: Axes, values: pd.Series, levels: Sequence[str], offset: float, colour: str) -> None:
    """Write values at the right of an axis, each beside its level."""
    for level, number in values.items():
        place = (1.02, levels.index(level) + offset)
        axis.text(
            *place, f"{number:.2f}", transform=axis.get_yaxis_transform(), fontsize=6.5, color=colour, va="center"
        )
