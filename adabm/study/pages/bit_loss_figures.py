"""Figures of the bit loss: bits along the tuning, bits off the target, PSNR against bits; a column a network."""

import itertools
from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .figures import INK, SLATE, family_color, study_style
from .series import name_lines

CALIBRATION = "calibration"  # what tables call the calibration pictures

_SETS = "os^vP*X"  # markers of sets, which are open
_ROOM = 2.0  # of the steps, for names behind their lines


def plot_along(trace: pd.DataFrame, released: str) -> Figure:
    """Draw FAB along the tuning, a line a method with its name at its end.

    Args:
        trace: ``backbone``, ``method``, ``target``, ``step`` and ``fab`` of the calibration pictures; one target and seed.
        released: the method that is drawn in AdaBM's colour.
    """
    figure = _columns(trace, 3.0, lambda axis, here: _along(axis, here, released))
    figure.axes[0].set_ylabel("FAB of the calibration pictures")
    return figure


def plot_missed(off: pd.DataFrame, released: str) -> Figure:
    """Draw the mean over seeds of ``off``, bits off the target, by ``backbone``, ``method`` and ``where``: a marker a set, open."""
    markers = dict(
        zip([where for where in dict.fromkeys(off["where"]) if where != CALIBRATION], itertools.cycle(_SETS))
    )
    figure = _columns(
        off, 1.1 + 0.4 * off["method"].nunique(), lambda axis, here: _missed(axis, here, released, markers)
    )
    for axis in figure.axes[1:]:
        axis.tick_params(labelleft=False)
    key = [Line2D([], [], color="0.3", marker=mark, mfc="none", ls="") for mark in markers.values()]
    key.insert(0, Line2D([], [], color="0.3", marker="D", ls=""))
    names = ["calibration pictures", *(f"{name}, whole pictures" for name in markers)]
    figure.legend(key, names, loc="outside lower center", ncols=3, fontsize=7.5, handletextpad=0.2, frameon=False)
    figure.axes[len(figure.axes) // 2].set_xlabel("bits off the target (mean of seeds)")
    return figure


def plot_quality(models: pd.DataFrame, curves: pd.DataFrame, released: str) -> Figure:
    """Draw PSNR against FAB, means over seeds as dots, above what thresholds by quantiles give.

    Args:
        models: ``backbone``, ``method``, ``fab`` and ``psnr`` of patches.
        curves: ``backbone``, ``seed``, ``fab`` and ``psnr`` of thresholds by quantiles.
    """
    of = lambda here: curves[curves["backbone"] == here["backbone"].iloc[0]]
    figure = _columns(models, 2.9, lambda axis, here: _quality(axis, here, of(here), released))
    figure.axes[0].set_ylabel("PSNR to the full-precision output (dB)")
    return figure


def _columns(table: pd.DataFrame, height: float, draw: Callable[[Axes, pd.DataFrame], None]) -> Figure:
    networks = list(dict.fromkeys(table["backbone"]))
    with study_style():
        figure = Figure(figsize=(max(5.0, 0.6 + 2.5 * len(networks)), height))
        for axis, network in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks):
            draw(axis, table[table["backbone"] == network])
            axis.set_title(network)
    return figure


def _color(method: str, released: str) -> tuple:
    return family_color("AdaBM") if method == released else INK if method == "multiplier" else SLATE


def _short(method: str) -> str:
    return method.removeprefix("bit loss, ")


def _along(axis: Axes, trace: pd.DataFrame, released: str) -> None:
    target, ends = trace["target"].iloc[0], {}
    for method, here in trace.groupby("method", sort=False):
        width = 1.8 if method == released else 1.1
        axis.plot(here["step"], here["fab"], "-o", markevery=[-1], ms=3.5, color=_color(method, released), lw=width)
        ends[method] = here["fab"].iloc[-1]
    axis.axhline(target, xmax=1 / _ROOM, color="0.3", ls=":", lw=1)  # names stand behind it
    last, low = trace["step"].max(), -1e9
    apart = 0.07 * (trace["fab"].max() - trace["fab"].min())
    more = {released: ",\nreleased", "multiplier": ",\nto the step kept"}
    told = {method: _short(method) + more.get(method, "") for method in ends} | {"target": "target"}
    for method, end in sorted((ends | {"target": target}).items(), key=lambda item: item[1]):
        low = max(end, low + apart * (1.6 if "\n" in told[method] else 1))
        axis.annotate(
            told[method],
            (last, low),
            (4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            bbox=dict(
                facecolor="white", edgecolor="none", pad=0.3, alpha=0.85
            ),  # no line of the grid runs through a name
            color="0.3" if method == "target" else _color(method, released),
        )
        low += 0.6 * apart * ("\n" in told[method])
    axis.set(xlim=(1, last * _ROOM), xlabel="step of the mapping")
    axis.set_xticks([step for step in axis.get_xticks() if 0 <= step <= last])
    axis.grid(axis="x", visible=False)  # names stand where no step is


def _missed(axis: Axes, off: pd.DataFrame, released: str, markers: Mapping[str, str]) -> None:
    methods = list(dict.fromkeys(off["method"]))
    for place, method in enumerate(methods):
        means, color = off[off["method"] == method].groupby("where", sort=False)["off"].mean(), _color(method, released)
        axis.plot(means[CALIBRATION], place + 0.15, "D", ms=6, color=color)
        for where, marker in markers.items():
            if where in means:
                axis.plot(means[where], place - 0.15, marker, ms=5, color=color, mfc="none")
    axis.axvline(0, color="0.3", ls=":", lw=1)
    axis.set_yticks(
        range(len(methods)),
        [m.replace(" of the ", "\nof the ").replace(", ", ",\n") + " (released)" * (m == released) for m in methods],
        fontsize=7,
    )
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.grid(axis="y", visible=False)


def _quality(axis: Axes, models: pd.DataFrame, curves: pd.DataFrame, released: str) -> None:
    for _, here in curves.groupby("seed"):
        axis.plot(here["fab"], here["psnr"], color="0.7", lw=1)
    means = models.groupby("method", sort=False)[["fab", "psnr"]].mean()
    ends = {_short(method): (point["fab"], point["psnr"]) for method, point in means.iterrows()}
    styles = {_short(method): {"color": _color(method, released)} for method in means.index}
    for name, point in ends.items():
        axis.plot(*point, "o", color=styles[name]["color"], ms=5)
    first = curves[curves["seed"] == curves["seed"].iloc[0]]
    middle = first.iloc[(first["fab"] - first["fab"].quantile(0.3)).abs().argmin()]
    ends["quantiles"], styles["quantiles"] = (middle["fab"], middle["psnr"]), {"color": "0.4"}
    axis.set(xlabel="FAB of the patches")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.autoscale_view()
    name_lines(axis, ends, styles)
