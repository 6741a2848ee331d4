"""Figures of the bit loss: bits along the tuning, bits off the target, PSNR against bits; a column a network."""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .figures import INK, SLATE, family_color, study_style

_LEFT = ("bit loss, weight 5", "bit loss, weight 50", "bit loss, weight 500")  # names that stand left of their points
_ABOVE = ("multiplier",)  # close to one of them
_BEHIND = dict(facecolor="white", edgecolor="none", pad=0.3, alpha=0.75)  # of a name over lines
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
    """Draw the mean over seeds of ``off``, bits off the target, by ``backbone``, ``method`` and ``where``: sets are open."""
    figure = _columns(off, 2.2, lambda axis, here: _missed(axis, here, released))
    for axis in figure.axes[1:]:
        axis.tick_params(labelleft=False)
    figure.supxlabel("bits off the target; filled: calibration pictures; open: sets", fontsize=9)
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
    told = {method: _short(method) + ",\nreleased" * (method == released) for method in ends} | {"target": "target"}
    for method, end in sorted((ends | {"target": target}).items(), key=lambda item: item[1]):
        low = max(end, low + apart * (1.6 if "\n" in told[method] else 1))
        axis.annotate(
            told[method],
            (last, low),
            (4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color="0.3" if method == "target" else _color(method, released),
        )
        low += 0.6 * apart * ("\n" in told[method])
    axis.set(xlim=(1, last * _ROOM), xlabel="step of the mapping")
    axis.set_xticks([step for step in axis.get_xticks() if 0 <= step <= last])
    axis.grid(axis="x", visible=False)  # names stand where no step is


def _missed(axis: Axes, off: pd.DataFrame, released: str) -> None:
    methods = list(dict.fromkeys(off["method"]))
    for place, method in enumerate(methods):
        means = off[off["method"] == method].groupby(["where", "target"], sort=False)["off"].mean().reset_index()
        for where, marker, size in (("calibration", "D", 6), (None, "o", 5)):
            shown = means[means["where"] == where] if where else means[means["where"] != "calibration"]
            color = _color(method, released)
            axis.plot(
                shown["off"],
                [place + (0.12 if where else -0.12)] * len(shown),
                marker,
                ms=size,
                color=color,
                mfc=color if where else "none",
            )
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
        axis.plot(here["fab"], here["psnr"], color="0.6", lw=1)
    end = curves.iloc[curves["fab"].argmin()]
    axis.annotate("quantiles", (end["fab"], end["psnr"]), (2, -9), textcoords="offset points", fontsize=7, color="0.4")
    means = models.groupby("method", sort=False)[["fab", "psnr"]].mean()
    for method, point in means.iterrows():
        axis.plot(point["fab"], point["psnr"], "o", color=_color(method, released), ms=5)
        ha, away = (
            ("center", (0, 8)) if method in _ABOVE else ("right", (-5, 0)) if method in _LEFT else ("left", (5, 0))
        )
        place = dict(
            textcoords="offset points", fontsize=7, va="center", ha=ha, color=_color(method, released), bbox=_BEHIND
        )
        axis.annotate(_short(method), point, away, **place)
    axis.set(xlabel="FAB of the patches")
    axis.margins(x=0.45)
