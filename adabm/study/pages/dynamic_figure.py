"""Figure of fixed and dynamic layer factors: gains patch by patch, and which layers keep their factor from picture to picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from .figures import FACTORS, study_style

_LINEAR = 0.5  # dB up to which the axis is linear; logarithmic beyond
_SIGNS = {-1: "-", 0: ".", 1: "+"}


def plot_gains(gained: pd.DataFrame, summary: pd.DataFrame, factors: pd.DataFrame, fixed: str) -> Figure:
    """Draw each rule's gain on fixed factors, patch by patch, above the factors that each layer has over the patches.

    Args:
        gained: ``backbone``, ``rule`` and ``truth``, the gain in dB, a row a patch.
        summary: by rule, ``truth`` with ``least`` and ``most``.
        factors: ``backbone``, ``rule`` and ``factors``, a sign a layer, for the rule named ``fixed`` and one other.
        fixed: name of the fixed rule.
    """
    first = factors[factors["backbone"] == factors["backbone"].iloc[0]]
    with study_style():
        figure = Figure(figsize=(7.4, 5.0))
        above, below = figure.subplots(2, 1, height_ratios=(1.0, 1.0))
        _strip(above, gained, summary)
        _shares(below, first, fixed)
    return figure


def _strip(axis: Axes, gained: pd.DataFrame, summary: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    for place, (rule, row) in enumerate(summary.iterrows()):
        values = gained.loc[gained["rule"] == rule, "truth"].to_numpy()
        axis.plot(values, place + rng.uniform(-0.22, 0.22, len(values)), "o", color="0.6", ms=3, alpha=0.6, mew=0)
        axis.plot([row["least"], row["most"]], [place, place], color="black", lw=2)
        axis.plot(row["truth"], place, "D", color="white", mec="black", ms=6, zorder=3)
        axis.annotate(
            f"{row['truth']:+z.2f} dB", (1.01, place), xycoords=axis.get_yaxis_transform(), va="center", fontsize=8
        )
    axis.axvline(0, color="0.3", lw=0.8)
    axis.set_xscale("symlog", linthresh=_LINEAR)
    axis.xaxis.set_major_locator(FixedLocator([-5, -2, -1, -0.5, 0, 0.5, 1, 2, 5]))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_yticks(range(len(summary)), list(summary.index))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set(
        xlabel=f"gain on fixed factors at equal FAB (dB to ground truth; logarithmic beyond {_LINEAR} dB either way)",
        title="Dots: patches; diamonds: means, with 95 % of draws of patches",
    )


def _shares(axis: Axes, factors: pd.DataFrame, fixed: str) -> None:
    """Stack the shares of patches in which each layer gets a bit fewer, none or one more; mark the fixed factor."""
    dynamic = np.array([list(text) for text in factors.loc[factors["rule"] != fixed, "factors"]])
    settled = np.array([list(text) for text in factors.loc[factors["rule"] == fixed, "factors"]])
    layers, bottom = np.arange(dynamic.shape[1]), np.zeros(dynamic.shape[1])
    for factor, color in FACTORS.items():
        share = (dynamic == _SIGNS[factor]).mean(0)
        axis.bar(layers, share, 0.9, bottom, color=color)
        usual = (settled == _SIGNS[factor]).mean(0) >= 0.5
        axis.plot(layers[usual], np.full(usual.sum(), 1.07), "s", color=color, ms=5, clip_on=False)
        bottom += share
    place = ("axes fraction", "data")
    axis.annotate("fixed", (-0.015, 1.07), xycoords=place, ha="right", va="center", fontsize=8, annotation_clip=False)
    axis.set(
        xlim=(-0.6, len(layers) - 0.4),
        ylim=(0, 1.13),
        yticks=[0, 0.5, 1],
        xlabel=f"layer of {factors['backbone'].iloc[0]}, in execution order",
        ylabel="share of patches",
        title="By the picture's own percentiles: a bit fewer (pale), base (gray), one more (dark)",
    )
    axis.grid(visible=False)
