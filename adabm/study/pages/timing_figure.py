"""Figures of measured times: each part of quantizing a network and of upscaling with it, and whole recipes."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.figure import Figure

from ..tables.methods import label
from .figures import INK, SLATE, family_colors, study_style


def plot_parts(parts: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw a row a part: its samples as small dots, their median as a large one, told in seconds; a shade a group.

    Args:
        parts: samples in seconds by part, by group.
    """
    rows = sum(len(group) for group in parts.values())
    with study_style():
        figure = Figure(figsize=(7.2, 0.7 + 0.3 * (rows + len(parts))))
        axis = figure.subplots()
        names: dict[float, str] = {}
        for color, (group, timed) in zip(itertools.cycle((INK, SLATE)), parts.items()):
            head = max(names, default=-1) + (1.4 if names else 1)
            axis.text(
                0.01, head, group, transform=axis.get_yaxis_transform(), color=color, va="center", fontweight="bold"
            )
            for place, (name, samples) in enumerate(timed.items()):
                names[y := head + 1 + place] = name
                middle = median(samples)
                axis.plot(samples, [y] * len(samples), "o", color=color, ms=3, alpha=0.5, mew=0)
                axis.plot(middle, y, "o", color=color, ms=6)
                told = f"{middle:.2g} s" if middle < 10 else f"{middle:.0f} s"
                axis.annotate(told, (max(samples), y), (7, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set_yticks(list(names), list(names.values()))
        axis.set_ylim(max(names) + 0.6, -0.6)
        axis.margins(x=0.12)
        axis.set(xscale="log", xlabel="measured time of one thread (s, logarithmic)")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.grid(axis="y", visible=False)
    return figure


def plot_recipes(times: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a row a recipe, the fastest on top: its samples in seconds as open dots, their median as a large one, told beside it."""
    medians = {name: median(samples) for name, samples in times.items()}
    order = sorted(medians, key=lambda name: medians[name])
    with study_style():
        figure = Figure(figsize=(6.4, 0.8 + 0.3 * len(order)))
        axis = figure.subplots()
        colors = family_colors(order)
        for place, name in enumerate(order):
            axis.plot(times[name], [place] * len(times[name]), "o", mfc="none", color=colors[name], ms=3, alpha=0.6)
            axis.plot(medians[name], place, "o", color=colors[name], ms=6)
            axis.annotate(
                f"{medians[name]:.3g} s",
                (max(times[name]), place),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.set_yticks(range(len(order)), [label(name) for name in order])
        axis.set_ylim(len(order) - 0.5, -0.5)
        axis.set_xlim(0, 1.12 * max(max(samples) for samples in times.values()))
        axis.set_xlabel("measured time of one thread (s)")
        axis.grid(axis="y", visible=False)
    return figure
