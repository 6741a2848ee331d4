"""Small multiples: a panel a series, with the others in gray behind it, where one panel would hold too many lines."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from .figures import INK, study_style
from .question_figures import LABELS, logarithmic_loss, shade

_COLUMNS = 4


def plot_panels(table: pd.DataFrame, value: str, label: str, shades: Sequence[tuple[float, float, str]] = ()) -> Figure:
    """Draw a value against a numeric level, a panel a series; bars are one standard deviation over seeds.

    Args:
        table: measured rows of one variable; ``level`` holds numbers. Of several sets the first is drawn.
        label: of the horizontal axis.
        shades: (begin, end, name) stretches of the axis to be told apart.
    """
    data = table[table["dataset"] == table["dataset"].iloc[0]].assign(x=lambda t: pd.to_numeric(t["level"]))
    data = data.dropna(subset=[value])
    grouped = {name: rows.groupby("x")[value] for name, rows in data.groupby("series", sort=False)}
    columns = min(_COLUMNS, len(grouped))
    rows = math.ceil(len(grouped) / columns)
    with study_style():
        figure = Figure(figsize=(0.8 + 2.0 * max(columns, 2), 0.6 + 1.8 * rows))
        axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axis, name in zip(axes, grouped):
            for other in grouped:
                means = grouped[other].mean()
                if other != name:
                    axis.plot(means.index, means, color="0.8", lw=1)
            means, spreads = grouped[name].mean(), grouped[name].std().fillna(0.0)
            axis.errorbar(means.index, means, spreads, color=INK, marker="o", ms=3.5, lw=1.6, capsize=2, elinewidth=1)
            if value == "loss_db":
                logarithmic_loss(axis)
            shade(axis, shades, labelled=True)
            axis.set_title(name, fontsize=8)
            axis.autoscale_view(scaley=False)
        for axis in axes[len(grouped) :]:
            axis.set_axis_off()
        figure.supxlabel(f"{label}; gray: the other runs ({data['dataset'].iloc[0]})", fontsize=9)
        figure.supylabel(LABELS[value].replace("\n", " "), fontsize=9)
    return figure
