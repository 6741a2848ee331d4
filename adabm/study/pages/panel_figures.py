"""Small multiples: a panel a series, with the others in gray behind it, where one panel would hold too many lines."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import INK, study_style
from .loss_axis import bars, drawn_at, logarithmic_loss
from .question_figures import LABELS, shade

_COLUMNS = 4
_NOTHING: Mapping = MappingProxyType({})
Place = tuple[str, str]  # network and series


def plot_panels(
    table: pd.DataFrame,
    value: str,
    label: str,
    shades: Mapping[Place, Sequence[tuple[float, float, str]]] = _NOTHING,
    notes: Mapping[Place, str] = _NOTHING,
) -> Figure:
    """Draw a value against a numeric level: rows of a network, with axes of its own, and a panel a series; bars are one standard deviation over seeds.

    Args:
        table: measured rows of one variable; ``level`` holds numbers. Of several sets of a network the first is drawn.
        label: of the horizontal axis.
        shades: (begin, end, name) stretches of the axis to be told apart, by network and series.
        notes: second lines of panels' titles, likewise.
    """
    data = table.assign(x=pd.to_numeric(table["level"])).dropna(subset=[value])
    first = data.drop_duplicates("backbone").set_index("backbone")["dataset"]
    data = data[data["dataset"] == data["backbone"].map(first)]
    networks = {
        network: {name: rows.groupby("x")[value] for name, rows in here.groupby("series", sort=False)}
        for network, here in data.groupby("backbone", sort=False)
    }
    columns = min(_COLUMNS, max(len(grouped) for grouped in networks.values()))
    rows = {network: math.ceil(len(grouped) / columns) for network, grouped in networks.items()}
    height = 1.8 + 0.2 * bool(notes) + 0.2 * (len(networks) > 1)
    with study_style():
        figure = Figure(figsize=(0.8 + 2.0 * max(columns, 2), 0.6 + height * sum(rows.values())))
        grid = figure.subplots(sum(rows.values()), columns, squeeze=False)
        top = 0
        for network, grouped in networks.items():
            axes = grid[top : top + rows[network]]
            top += rows[network]
            for axis, name in zip(axes.flat, grouped):
                means = {run: rows.mean() for run, rows in grouped.items()}
                _panel(axis, name, means, grouped[name].std().fillna(0.0), value == "loss_db")
                if value == "loss_db":
                    logarithmic_loss(axis, pd.concat(means))
                shade(axis, shades.get((network, name), ()), labelled=True)
                axis.set_title(
                    "\n".join([name, *[notes[place] for place in [(network, name)] if place in notes]]), fontsize=8
                )
            _share(list(axes.flat)[: len(grouped)], columns)
            for axis in list(axes.flat)[len(grouped) :]:
                axis.set_axis_off()
            if len(networks) > 1:
                setting = data.loc[data["backbone"] == network, "setting"].iloc[0]
                axes[0][0].set_ylabel(f"{network}\n{setting}", fontsize=8.5, weight="bold")
        sets = ", ".join(dict.fromkeys(first))
        figure.supxlabel(f"{label}; gray: the other runs ({sets})", fontsize=9)
        hint = ", logarithmic, less below" * (value == "loss_db")
        figure.supylabel(LABELS[value].replace("\n", " ") + hint, fontsize=9)
    return figure


def _panel(axis: Axes, name: str, means: Mapping[str, pd.Series], spreads: pd.Series, losses: bool) -> None:
    """Draw the means of a series, with its spreads, over those of the others of its network."""
    places = {run: drawn_at(of) for run, of in means.items()} if losses else means
    for other, place in places.items():
        if other != name:
            axis.plot(place.index, place, color="0.8", lw=1)
    ends = bars(means[name], spreads) if losses else spreads
    axis.errorbar(
        places[name].index, places[name], ends, color=INK, marker="o", ms=3.5, lw=1.6, capsize=2, elinewidth=1
    )


def _share(axes: Sequence[Axes], columns: int) -> None:
    """Give the panels of a network the same axes, labelled at the left and below the last of each column, with room for what names the shades."""
    for index, axis in enumerate(axes):
        if index:
            axis.sharex(axes[0])
            axis.sharey(axes[0])
        axis.tick_params(labelleft=index % columns == 0, labelbottom=index + columns >= len(axes))
    for axis in axes:
        axis.autoscale_view(scaley=False)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low * (low / high) ** 0.08 if axes[0].get_yscale() == "log" else low - 0.08 * (high - low), high)
