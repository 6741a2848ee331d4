"""Figure of many courses: a small panel each, with all others in gray behind it."""

import pandas as pd
from matplotlib.figure import Figure

from .figures import INK, study_style


def plot_small_multiples(table: pd.DataFrame, series: str, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    """Draw a panel a series, in order of appearance.

    Args:
        series, x, y: columns of the table.
    """
    names = list(dict.fromkeys(table[series]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with study_style():
        figure = Figure(figsize=(1.9 * columns + 0.4, 1.6 * rows + 0.4))
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
        for axis, name in zip(axes, names):
            for _, other in table[table[series] != name].groupby(series, sort=False):
                axis.plot(other[x], other[y], color="0.85", lw=0.8)
            here = table[table[series] == name]
            axis.plot(here[x], here[y], color=INK, lw=1.8)
            axis.annotate(
                f"{here[y].iloc[-1]:.2f}",
                (here[x].iloc[-1], here[y].iloc[-1]),
                (2, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                annotation_clip=False,
            )
            axis.set_title(name, fontsize=8)
        for place in range(len(names), len(axes)):
            axes[place].set_axis_off()
            axes[place - columns].tick_params(labelbottom=True)
        figure.supxlabel(xlabel, fontsize=9)
        figure.supylabel(ylabel, fontsize=9)
    return figure
