"""Figure of what is kept of fine-tuning: quality and the loss that it sees, along fine-tuning, a column a network."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .figures import INK, SLATE, study_style

# what is kept, by column of the decisions: marker, its inside, its size, and what it is
_KEPT = {
    "lowest": ("o", INK, 6.5, "lowest loss of all steps"),
    "kept": ("s", "white", 3.5, "kept when stopping early, which saves the shaded steps"),
}
_GAINS = {"lowest": "lowest_db", "kept": "rule_db"}
_ROWS = {"truth_db": "PSNR-Y (dB),\nevaluated patches", "held_out": "teacher loss,\nheld-out patches"}


def plot_stopping(traces: pd.DataFrame, decisions: pd.DataFrame) -> Figure:
    """Draw a line a seed; dots mark the states of the lowest loss, squares those that a rule keeps, the shade the steps that it saves.

    The legend tells what each gives against the last step, in the mean of the runs.

    Args:
        traces: ``backbone``, ``seed``, ``step`` and the values above; ``truth_fp_db``, of full precision.
        decisions: ``backbone``, ``seed``, ``lowest``, ``kept`` and ``stopped`` (steps), ``lowest_db``, ``rule_db`` and
            ``last_db``, a row a run.
    """
    networks = list(dict.fromkeys(traces["backbone"]))
    with study_style():
        figure = Figure(figsize=(0.7 + max(1.85, 4.4 / len(networks)) * len(networks), 3.8))
        axes = figure.subplots(2, len(networks), sharex="col", squeeze=False)
        for column, network in enumerate(networks):
            here, found = traces[traces["backbone"] == network], decisions[decisions["backbone"] == network]
            for row, value in enumerate(_ROWS):
                _draw(axes[row, column], here, found, value)
            axes[0, column].set_title(network)
            _label_full(axes[0, column], here)
            axes[1, column].set_xlabel("step")
        for axis, title in zip(axes[:, 0], _ROWS.values()):
            axis.set_ylabel(title)
        figure.legend(
            handles=[_handle(decisions, column) for column in _KEPT], loc="outside lower center", fontsize=8.5
        )
    return figure


def _draw(axis: Axes, here: pd.DataFrame, found: pd.DataFrame, value: str) -> None:
    for seed, run in here.groupby("seed"):
        axis.plot(run["step"], run[value], color=SLATE, lw=1.2, alpha=0.9)
        for column, (marker, color, size, _) in _KEPT.items():
            step = found.loc[found["seed"] == seed, column].item()
            at = run.loc[run["step"] == step, value].item()
            axis.plot(step, at, marker, mfc=color, ms=size, mec=INK, mew=0.8, zorder=3)
    last = here["step"].max()
    if (stopped := found["stopped"].mean()) < last:
        axis.axvspan(stopped, last, color="0.9", lw=0, zorder=0)


def _label_full(axis: Axes, here: pd.DataFrame) -> None:
    full, low = here["truth_fp_db"].iloc[0], here["truth_db"].min()
    axis.set_ylim(top=full + 0.17 * (full - low))  # room above for the label, where no line runs
    axis.axhline(full, color="0.4", lw=0.9, ls="--")
    axis.annotate(
        "full precision",
        (1, full),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7.5,
        color="0.3",
    )


def _handle(decisions: pd.DataFrame, column: str) -> Line2D:
    marker, color, size, name = _KEPT[column]
    gain = (decisions[_GAINS[column]] - decisions["last_db"]).mean()
    told = f"{name}: {gain:+z.2f} dB against the last step, mean of the runs"
    look = dict(marker=marker, mfc=color, ms=size, mec=INK, mew=0.8, ls="")
    return Line2D([], [], label=told, **look)
