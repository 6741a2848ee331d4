"""Figure of quality against bits, a line a way to choose bits."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import study_style
from .loss_axis import bars, drawn_at, logarithmic_loss
from .question_figures import LABELS
from .series import UNTUNED, series_styles


def plot_frontier(table: pd.DataFrame) -> Figure:
    """Draw the loss, logarithmic and least at the top, against FAB: a column a set, a line a series through the means of its levels.

    Bars are one standard deviation over seeds both ways. Where there are both, what is fine-tuned has a row of its own. Titles name
    network and set, and whether a row is fine-tuned.

    Args:
        table: measured rows; networks as people call them.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    series = list(dict.fromkeys(table["series"]))
    untuned = [name for name in series if name.endswith(UNTUNED)]
    rows = [names for names in ([name for name in series if name not in untuned], untuned) if names]
    with study_style():
        figure = Figure(figsize=(2.4 + 3.3 * max(len(datasets), 1.2), 0.9 + 2.4 * len(rows)))
        axes = figure.subplots(len(rows), len(datasets), squeeze=False, sharex=True, sharey="col")
        for number, (line, names) in enumerate(zip(axes, rows), 1):
            styles = series_styles(names)
            for axis, dataset in zip(line, datasets):
                for name in names:
                    here = table[(table["dataset"] == dataset) & (table["series"] == name)]
                    grouped = here.groupby("level", sort=False)[["fab", "loss_db"]]
                    means, spreads = grouped.mean().sort_values("fab"), grouped.std().fillna(0.0)
                    if means.empty:
                        continue
                    spreads = spreads.loc[means.index]
                    drawn = axis.errorbar(
                        means["fab"],
                        drawn_at(means["loss_db"]),
                        bars(means["loss_db"], spreads["loss_db"]),
                        spreads["fab"],
                        **styles[name],
                        ms=5,
                        lw=1.2,
                        capsize=2,
                        elinewidth=1,
                        label=name,
                    )
                    for part in (*drawn[1], *drawn[2]):
                        part.set_alpha(0.45)
                shown = table[(table["dataset"] == dataset) & table["series"].isin(names)]
                logarithmic_loss(axis, shown.groupby(["series", "level"])["loss_db"].mean())
                network = table.loc[table["dataset"] == dataset, "backbone"].iloc[0]
                tuned = "not fine-tuned" if names is untuned else "fine-tuned"
                axis.set_title(f"{network}, {dataset}, {tuned}", fontsize=9)
                axis.set_xlabel("FAB (simulated bits)" if number == len(rows) else "")
            line[0].set_ylabel(f"{LABELS['loss_db']},\nlogarithmic, less above")
        for column in range(len(datasets)):
            axes[0][column].invert_yaxis()
        for line in axes:
            _own_legend(line[-1])
    return figure


def _own_legend(axis: Axes) -> None:
    """Name the lines of a row beside its last panel."""
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
