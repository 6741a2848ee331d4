"""Figure of a ranking: candidates as rows, what each is worth as points, a marker a network."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from ..tables.networks import network as network_name
from .figures import SLATE, family_color, network_styles, study_style


def plot_ranking(
    table: pd.DataFrame,
    titles: Mapping[str, str],
    own: str,
    references: Sequence[str] = (),
    whiskers: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType({}),
) -> Figure:
    """Draw a panel a value, best candidate on top; bars are means over networks, points the networks.

    Args:
        table: ``backbone``, ``measure`` and the columns of ``titles``.
        titles: heading of each value's panel.
        own: the candidate that the method uses, in a colour of its own.
        references: candidates that are no measures, in gray, below the others.
        whiskers: of each value and candidate between what it lies, where that is known.
    """
    mean = table.groupby("measure")[list(titles)].mean()
    order = [name for name in mean.sort_values(next(iter(titles)), ascending=False).index if name not in references]
    order += [name for name in references if name in mean.index]
    networks = list(dict.fromkeys(table["backbone"]))
    with study_style():
        colors = [family_color("AdaBM") if n == own else "0.75" if n in references else SLATE for n in order]
        figure = Figure(figsize=(1.9 + 2.7 * len(titles), 1.1 + 0.3 * len(order)))
        axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axis, (value, title) in zip(axes, titles.items()):
            axis.barh(range(len(order)), mean.loc[order, value].fillna(0), color=colors, height=0.62)
            for name, between in whiskers.get(value, {}).items():
                axis.plot(between, [order.index(name)] * 2, color="0.25", lw=1, marker="|", ms=5)
            for network, style in network_styles(networks).items():
                here = table[table["backbone"] == network].set_index("measure")[value].reindex(order)
                axis.plot(
                    here,
                    range(len(order)),
                    style["marker"],
                    color="black",
                    ms=3.5,
                    mfc="white",
                    label=network_name(network),
                )
            axis.axvline(0, color="0.3", lw=0.8)
            axis.set_title(title)
            axis.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(order)), order)
        for text, name in zip(axes[0].get_yticklabels(), order):
            text.set_fontweight("bold" if name == own else "normal")
        axes[0].invert_yaxis()
        if len(networks) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(networks), fontsize=8)
    return figure
