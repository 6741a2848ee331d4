"""Figure of calibration pools: what each loses against the reference, a row of panels a network."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import BETTER, WORSE, study_style

_LINEAR = 1.0  # dB up to which the axis is linear; logarithmic beyond
_TICKS = (-1, 0, 1, 3, 10)


def plot_pools(losses: pd.DataFrame) -> Figure:
    """Draw a bar a pool, the mean loss in dB, with its spread and, written beside it, value and FAB; clear losses in a colour.

    Args:
        losses: ``network``, ``column`` (heading), ``pool`` (name of the bar), ``loss`` and ``spread`` (dB), ``sure``, whether
            the loss is clear, and ``fab``, a text that may be empty. A pool that nothing was lost against has a spread of 0.
    """
    networks, columns = (list(dict.fromkeys(losses[name])) for name in ("network", "column"))
    pools = {name: list(dict.fromkeys(here["pool"])) for name, here in losses.groupby("network", sort=False)}
    heights = [len(pools[network]) + 0.6 for network in networks]
    with study_style():
        figure = Figure(figsize=(2.1 + 2.7 * len(columns), 0.9 + 0.23 * sum(heights) + 0.25 * len(networks)))
        grid = figure.subplots(len(networks), len(columns), sharex="row", squeeze=False, height_ratios=heights)
        for network, axes in zip(networks, grid):
            for column, axis in zip(columns, axes):
                _bars(axis, losses[(losses["network"] == network) & (losses["column"] == column)], pools[network])
                axis.set_ylim(len(pools[network]) - 0.4, -0.6)
                axis.tick_params(labelleft=axis is axes[0])
            axes[0].set_ylabel(network)
        for axis, title in zip(grid[0], columns):
            axis.set_title(title)
        figure.supxlabel(
            "PSNR lost against photographs alone (dB; logarithmic beyond 1 dB either way)\ncoloured where clear, lines: spread over seeds",
            fontsize=8.5,
        )
    return figure


def _bars(axis: Axes, here: pd.DataFrame, pools: list[str]) -> None:
    places = [pools.index(pool) for pool in here["pool"]]
    colors = [(WORSE if loss > 0 else BETTER) if sure else "0.75" for loss, sure in zip(here["loss"], here["sure"])]
    axis.barh(places, here["loss"], xerr=here["spread"], color=colors, ecolor="0.3", height=0.62)
    beside = dict(xycoords=("axes fraction", "data"), textcoords="offset points", va="center", fontsize=7.5)
    for place, loss, spread, fab in zip(places, here["loss"], here["spread"], here["fab"]):
        told = f"{loss:+z.2f}" if loss or spread else ""
        axis.annotate(
            ", ".join(filter(None, [told, fab])), (1.0, place), xytext=(4, 0), annotation_clip=False, **beside
        )
    axis.set_xscale("symlog", linthresh=_LINEAR)
    axis.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axis.minorticks_off()
    axis.axvline(0, color="0.3", lw=0.8)
    axis.grid(axis="y", visible=False)
    axis.set_yticks(range(len(pools)), pools)
