"""Figures of the leaderboard: loss against time, and loss against bits."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..tables.leaderboard import by_parts, first_board
from ..tables.methods import in_order, label
from ..tables.networks import network
from .figures import family_colors, study_style
from .loss_axis import LEAST_LOSS, drawn_at, tell_least
from .series import name_lines

_SHOWN_BEST = 2
# what a network gets if nothing is asked for, the released recipe, and plain ones: with the best, few enough lines to be told apart
_ALWAYS_SHOWN = ("fast", "adabm", "minmax", "omse")


def plot_loss_seconds(board: pd.DataFrame, amounts: str = "") -> Figure | None:
    """Draw loss against the measured time of quantizing, of the first board; None where nothing was timed.

    Args:
        amounts: from how many patches losses and seconds come, told below the axis.
    """
    rows = first_board(board)
    rows = rows[rows["seconds"].notna()]
    if rows.empty:
        return None
    with study_style():
        figure = Figure(figsize=(6.4, 3.6))
        axis = figure.subplots()
        colors = family_colors(rows["method"])
        summed = [by_parts(row) for _, row in rows.iterrows()]
        middle = np.sqrt(rows["seconds"].min() * rows["seconds"].max())
        for (_, row), open_ in zip(rows.iterrows(), summed):
            color, late = colors[row["method"]], row["seconds"] > middle  # names stand towards the middle
            point = (row["seconds"], row["loss_db"])
            axis.plot(*point, "o", color=color, mfc="white" if open_ else color, mew=1.5, ms=7, zorder=3)
            away = dict(textcoords="offset points", ha="right" if late else "left")
            behind = dict(
                facecolor="white", edgecolor="none", pad=0.8, alpha=0.85
            )  # no line of the grid runs through a name
            axis.annotate(row["label"], point, (-7 if late else 7, 4), fontsize=8, color=color, bbox=behind, **away)
        axis.set(
            xscale="log", ylim=(min(0.0, 1.08 * rows["loss_db"].min()), 1.08 * max(rows["loss_db"].max(), LEAST_LOSS))
        )
        axis.set_xlim(rows["seconds"].min() / 1.4, rows["seconds"].max() * 1.4)
        told = "; open: put together from parts" if any(summed) else ""
        axis.set(
            xlabel=f"time to quantize (s, measured on one thread, logarithmic{told})"
            + (f"\n{amounts}" if amounts else "")
        )
        axis.set_ylabel("loss of PSNR-Y (dB)")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_locator(NullLocator())
        first = rows.iloc[0]
        axis.set_title(f"{network(first['backbone'])}, {first['setting']}, {first['dataset']}: lower left is better")
    return figure


def plot_loss_bits(board: pd.DataFrame) -> Figure | None:
    """Draw loss against FAB over fully quantized settings, a line a recipe; None where no recipe has two of them."""
    first = board.iloc[0]
    rows = board[(board["backbone"] == first["backbone"]) & (board["dataset"] == first["dataset"])]
    rows = rows[(rows["tile"] == first["tile"]) & rows["setting"].str.endswith("FQ")]
    several = [name for name in in_order(rows["method"]) if (rows["method"] == name).sum() > 1]
    best = [name for name in dict.fromkeys(rows["method"]) if name in several][:_SHOWN_BEST]
    several = [name for name in several if name in best or name in _ALWAYS_SHOWN]
    if not several:
        return None
    with study_style():
        figure = Figure(figsize=(6.4, 3.8))
        axis = figure.subplots()
        colors = family_colors(several)
        ends = {}
        for name in several:
            line = rows[rows["method"] == name].sort_values("fab")
            losses = drawn_at(line["loss_db"])
            axis.plot(line["fab"], losses, "o-", color=colors[name], ms=4, lw=1.3)
            ends[label(name)] = (line["fab"].iloc[-1], losses.iloc[-1])
        axis.set(yscale="log", xlabel="FAB (simulated bits)", ylabel="loss of PSNR-Y (dB, logarithmic)")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tell_least(axis, rows.loc[rows["method"].isin(several), "loss_db"])
        axis.set_title(f"{network(first['backbone'])}, {first['dataset']}, fully quantized: lower left is better")
        axis.autoscale_view()
        name_lines(axis, ends, {label(name): {"color": colors[name]} for name in several})
    return figure
