"""Figure of a stopping rule: quality and the loss that it sees, along fine-tuning, a column a network."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import INK, SLATE, study_style

_ROWS = {"truth_db": "PSNR-Y (dB),\nevaluated patches", "held_out": "teacher loss,\nheld-out patches"}


def plot_stopping(traces: pd.DataFrame, decisions: pd.DataFrame) -> Figure:
    """Draw a line a seed; dots mark the states that the rule keeps, and the shade the steps that it saves.

    Args:
        traces: ``backbone``, ``seed``, ``step`` and the values above; ``truth_fp_db``, of full precision.
        decisions: ``backbone``, ``seed``, ``kept`` and ``stopped`` (steps), a row a run.
    """
    networks = list(dict.fromkeys(traces["backbone"]))
    with study_style():
        figure = Figure(figsize=(0.7 + max(1.85, 4.4 / len(networks)) * len(networks), 3.6))
        axes = figure.subplots(2, len(networks), sharex=True, squeeze=False)
        for column, network in enumerate(networks):
            here, found = traces[traces["backbone"] == network], decisions[decisions["backbone"] == network]
            for row, value in enumerate(_ROWS):
                _draw(axes[row, column], here, found, value)
            axes[0, column].set_title(network)
            _label_full(axes[0, column], here)
            axes[1, column].set_xlabel("step")
        for axis, title in zip(axes[:, 0], _ROWS.values()):
            axis.set_ylabel(title)
        figure.supxlabel("dots: states that the rule keeps; shaded: steps that it saves", fontsize=8.5)
    return figure


def _draw(axis: Axes, here: pd.DataFrame, found: pd.DataFrame, value: str) -> None:
    for seed, run in here.groupby("seed"):
        axis.plot(run["step"], run[value], color=SLATE, lw=1.2, alpha=0.9)
        kept = found.loc[found["seed"] == seed, "kept"].item()
        axis.plot(
            kept, run.loc[run["step"] == kept, value].item(), "o", color=INK, ms=6, mec="white", mew=0.6, zorder=3
        )
    last = here["step"].max()
    if (stopped := found["stopped"].mean()) < last:
        axis.axvspan(stopped, last, color="0.9", lw=0, zorder=0)


def _label_full(axis: Axes, here: pd.DataFrame) -> None:
    full = here["truth_fp_db"].iloc[0]
    axis.axhline(full, color="0.4", lw=0.9, ls="--")
    axis.annotate(
        "full precision",
        (1, full),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -2),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7.5,
        color="0.3",
    )
