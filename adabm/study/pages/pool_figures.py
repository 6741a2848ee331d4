"""Figure of calibration pools: what each loses against the reference, a row a network, a column a method."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .figures import study_style

_LINEAR = 1.0  # dB up to which the axis is linear; logarithmic beyond
_TICKS = (-1, 0, 1, 3, 10)


def plot_pools(losses: pd.DataFrame) -> Figure:
    """Draw a bar a pool, the mean loss in dB, with its spread and, written beside it, value and FAB; clear losses in a colour.

    Args:
        losses: ``network``, ``column`` (heading), ``pool``, ``loss`` and ``spread`` (dB), ``sure``, whether the loss is
            clear, and ``fab``, a text that may be empty. The first pool is the reference.
    """
    networks, columns, pools = (list(dict.fromkeys(losses[name])) for name in ("network", "column", "pool"))
    with study_style():
        clear = sns.color_palette("colorblind")[1]
        figure = Figure(figsize=(1.4 + 2.6 * len(columns), 0.7 + (0.5 + 0.23 * len(pools)) * len(networks)))
        grid = figure.subplots(len(networks), len(columns), sharey=True, sharex="row", squeeze=False)
        for network, axes in zip(networks, grid):
            for column, axis in zip(columns, axes):
                here = losses[(losses["network"] == network) & (losses["column"] == column)]
                if here.empty:
                    axis.set_axis_off()
                    continue
                places = [pools.index(pool) for pool in here["pool"]]
                colors = [clear if sure else "0.75" for sure in here["sure"]]
                axis.barh(places, here["loss"], xerr=here["spread"], color=colors, ecolor="0.3", height=0.62)
                beside = dict(xycoords=("axes fraction", "data"), textcoords="offset points", va="center", fontsize=7.5)
                for place, loss, fab in zip(places, here["loss"], here["fab"]):
                    told = fab if place == 0 else f"{loss:+.2f}" + f", {fab}" * bool(fab)
                    axis.annotate(told, (1.0, place), xytext=(4, 0), annotation_clip=False, **beside)
                for place in set(range(len(pools))) - set(places):
                    axis.annotate("not measured", (1.0, place), xytext=(4, 0), color="0.6", **beside)
                axis.set_xscale("symlog", linthresh=_LINEAR)
                axis.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
                axis.minorticks_off()
                axis.axvline(0, color="0.3", lw=0.8)
                axis.grid(axis="y", visible=False)
                axis.set_yticks(range(len(pools)), pools)
            axes[0].set_ylabel(network)
        for axis, title in zip(grid[0], columns):
            axis.set_title(title)
        grid[0, 0].set_ylim(len(pools) - 0.5, -0.5)
        figure.supxlabel(
            "PSNR lost against photographs alone (dB); coloured where clear, lines: spread over seeds", fontsize=8.5
        )
    return figure
