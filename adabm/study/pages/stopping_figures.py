"""Figure of what is kept of fine-tuning: quality and the loss that it sees, along fine-tuning, a column a network.

Both axes are logarithmic: a start may lose ten times what all later states lose, between which a run chooses.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .figures import INK, SLATE, study_style
from .loss_axis import drawn_at, logarithmic_loss

# what is kept, by column of the decisions: marker, whether it is filled, its size, what it is, and how titles call it
_KEPT = {
    "lowest": ("o", True, 6.5, "lowest loss of all steps", "lowest"),
    "kept": ("s", False, 3.5, "kept when stopping early, which saves the shaded steps", "early"),
}
_SHADES = LinearSegmentedColormap.from_list("seeds", [INK, SLATE, "#a9bccb"])
_GAINS = {"lowest": "lowest_db", "kept": "rule_db"}
_ROWS = {"lost_db": "loss (dB),\nevaluated patches", "held_out": "teacher loss,\nheld-out patches"}


def plot_stopping(traces: pd.DataFrame, decisions: pd.DataFrame) -> Figure:
    """Draw a line a seed; dots mark the states of the lowest loss, squares those that a rule keeps, the shade the steps that it saves.

    A seed has one shade in both panels. The legend tells what each state gives against the last step, in the mean of the runs; of several
    networks their titles do.

    Args:
        traces: ``backbone``, ``seed``, ``step``, ``held_out``, ``truth_db``, and ``truth_fp_db`` of full precision.
        decisions: ``backbone``, ``seed``, ``lowest``, ``kept`` and ``stopped`` (steps), ``lowest_db``, ``rule_db`` and
            ``last_db``, a row a run.
    """
    networks = list(dict.fromkeys(traces["backbone"]))
    traces = traces.assign(lost_db=traces["truth_fp_db"] - traces["truth_db"])
    with study_style():
        figure = Figure(figsize=(0.7 + max(1.85, 4.4 / len(networks)) * len(networks), 3.8))
        axes = figure.subplots(2, len(networks), sharex="col", squeeze=False)
        for column, network in enumerate(networks):
            here, found = traces[traces["backbone"] == network], decisions[decisions["backbone"] == network]
            for row, value in enumerate(_ROWS):
                _draw(axes[row, column], here, found, value)
            many = len(networks) > 1
            axes[0, column].set_title(network + _gains(found) * many, fontsize=8.5 if many else None)
            logarithmic_loss(axes[0, column], here["lost_db"], small=True)
            logarithmic_loss(axes[1, column], [], small=True)
            axes[1, column].set_xlabel("step")
        for axis, title in zip(axes[:, 0], _ROWS.values()):
            axis.set_ylabel(title)
        figure.legend(
            handles=[_handle(decisions, column) for column in _KEPT],
            title="in titles: PSNR against the last step, mean of the runs; axes are logarithmic, lower is better"
            * (len(networks) > 1)
            or None,
            title_fontsize=8.5,
            loc="outside lower center",
            fontsize=8.5,
        )
    return figure


def _draw(axis: Axes, here: pd.DataFrame, found: pd.DataFrame, value: str) -> None:
    seeds = sorted(here["seed"].unique())
    for place, seed in enumerate(seeds):
        run, shade = here[here["seed"] == seed], _SHADES(place / max(len(seeds) - 1, 1))
        drawn = drawn_at(run[value])
        axis.plot(run["step"], drawn, color=shade, lw=1.2)
        for column, (marker, filled, size, *_) in _KEPT.items():
            step = found.loc[found["seed"] == seed, column].item()
            at = drawn[run["step"] == step].item()
            axis.plot(step, at, marker, mfc=shade if filled else "white", ms=size, mec=shade, mew=0.9, zorder=3)
    last = here["step"].max()
    if (stopped := found["stopped"].mean()) < last:
        axis.axvspan(stopped, last, color="0.9", lw=0, zorder=0)


def _gain(decisions: pd.DataFrame, column: str) -> str:
    return f"{(decisions[_GAINS[column]] - decisions['last_db']).mean():+z.2f}"


def _gains(decisions: pd.DataFrame) -> str:
    """What each state gives on a network: the second line of its title."""
    return "\n" + ", ".join(f"{short} {_gain(decisions, column)}" for column, (*_, short) in _KEPT.items()) + " dB"


def _handle(decisions: pd.DataFrame, column: str) -> Line2D:
    marker, filled, size, name, short = _KEPT[column]
    alone = decisions["backbone"].nunique() == 1
    told = (
        f"{name}: {_gain(decisions, column)} dB against the last step, mean of the runs"
        if alone
        else f"{short}: {name}"
    )
    look = dict(marker=marker, mfc=INK if filled else "white", ms=size, mec=INK, mew=0.8, ls="")
    return Line2D([], [], label=told, **look)
