"""Figure of the bit loss: bits along the tuning, bits off the target, PSNR against bits."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import study_style


def plot_bit_loss(
    trace: pd.DataFrame, off: pd.DataFrame, models: pd.DataFrame, curves: pd.DataFrame, released: str
) -> Figure:
    """Draw a row a network, means over seeds but for the first panel.

    Args:
        trace: ``backbone``, ``method``, ``target``, ``step`` and ``fab`` of the calibration pictures; one target and seed.
        off: ``backbone``, ``method``, ``where`` and ``off``, bits off the target.
        models: ``backbone``, ``method``, ``fab`` and ``psnr`` of patches.
        curves: ``backbone``, ``seed``, ``fab`` and ``psnr`` of thresholds by quantiles.
        released: the method that is drawn in a colour of its own.
    """
    networks = list(dict.fromkeys(trace["backbone"]))
    with study_style():
        figure = Figure(figsize=(11.4, 0.5 + 3.2 * len(networks)))
        for row, backbone in zip(figure.subplots(len(networks), 3, squeeze=False), networks):
            here = [part[part["backbone"] == backbone] for part in (trace, off, models, curves)]
            _along(row[0], here[0], released)
            _missed(row[1], here[1], released)
            _quality(row[2], here[2], here[3], released)
            row[0].set_ylabel(f"{backbone}\nFAB of the calibration pictures")
    return figure


def _color(method: str, released: str) -> tuple:
    colors = sns.color_palette("colorblind")
    return colors[1] if method == released else colors[2] if method == "multiplier" else colors[0]


def _short(method: str) -> str:
    return method.removeprefix("bit loss, ")


def _along(axis: Axes, trace: pd.DataFrame, released: str) -> None:
    target, ends = trace["target"].iloc[0], {}
    for method, here in trace.groupby("method", sort=False):
        width = 1.8 if method == released else 1.1
        axis.plot(here["step"], here["fab"], "-o", markevery=[-1], ms=3.5, color=_color(method, released), lw=width)
        ends[method] = here["fab"].iloc[-1]
    axis.axhline(target, xmax=0.77, color="0.3", ls=":", lw=1)  # names stand behind it
    axis.annotate("target", (1, target), (2, 2), textcoords="offset points", fontsize=7, color="0.3")
    last, low = trace["step"].max(), -1e9
    apart = 0.07 * (trace["fab"].max() - trace["fab"].min())
    for method, end in sorted(ends.items(), key=lambda item: item[1]):
        low = max(end, low + apart)
        axis.annotate(
            _short(method),
            (last, low),
            (4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color=_color(method, released),
        )
    axis.set(xlim=(1, last * 1.3), xlabel="step of the mapping", title="bits by weight of the bit loss")


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
        range(len(methods)), [m.replace(" of the ", "\nof the ").replace(", ", ",\n") for m in methods], fontsize=7
    )
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="bits off the target", title="filled: calibration pictures; open: sets")


def _quality(axis: Axes, models: pd.DataFrame, curves: pd.DataFrame, released: str) -> None:
    for _, here in curves.groupby("seed"):
        axis.plot(here["fab"], here["psnr"], color="0.6", lw=1)
    end = curves.iloc[curves["fab"].argmin()]
    axis.annotate("quantiles", (end["fab"], end["psnr"]), (2, -9), textcoords="offset points", fontsize=7, color="0.4")
    means = models.groupby("method", sort=False)[["fab", "psnr"]].mean()
    for method, point in means.iterrows():
        axis.plot(point["fab"], point["psnr"], "o", color=_color(method, released), ms=5)
        axis.annotate(
            _short(method), point, (5, -3), textcoords="offset points", fontsize=7, color=_color(method, released)
        )
    axis.set(xlabel="FAB of the patches", title="PSNR to the full-precision output (dB)")
    axis.margins(x=0.18)
