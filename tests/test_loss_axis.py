"""Figures with logarithmic losses: no spread and no loss of nothing, or less, vanishes; bars end where the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from adabm.study.pages.frontier_figure import plot_frontier
from adabm.study.pages.leaderboard import plot_loss_bits, plot_loss_seconds
from adabm.study.pages.loss_axis import LEAST_LOSS
from adabm.study.pages.panel_figures import plot_panels
from adabm.study.pages.question_figures import plot_sweep
from adabm.study.pages.size_figure import plot_sizes

NOTE = "losses below 0.005 dB, and gains, stand there"
LOSSES = {
    "1": (0.0, 6.0),
    "5": (-0.2, 0.1),
    "20": (1.0, 1.5),
}  # mean 3 and -0.05, spreads larger than they are; and 1.25


def table(losses: dict[str, tuple[float, float]] = LOSSES) -> pd.DataFrame:
    rows = [
        dict(series="AdaBM", level=level, seed=seed, loss_db=loss, fab=3.0 + place)
        for place, (level, of_seeds) in enumerate(losses.items())
        for seed, loss in enumerate(of_seeds)
    ]
    return pd.DataFrame(rows).assign(backbone="net", dataset="Set", setting="W4A4 FQ")


def points(axis: Axes) -> list[float]:
    return axis.containers[0].lines[0].get_ydata().tolist()


def drawn_bars(axis: Axes) -> list[list[float]]:
    """Lower and upper ends of the bars of losses as they come to the page, in inches from the lower edge of the panel; NaN is nothing."""
    collection = next(c for c in axis.containers[0].lines[2] if np.ptp(c.get_segments()[0][:, 1]) > 0)
    return [
        axis.transAxes.inverted().transform(axis.transData.transform(s))[:, 1].tolist()
        for s in collection.get_segments()
    ]


FIGURES = {
    "sizes": lambda losses: plot_sizes(table(losses), {}),
    "sweep": lambda losses: plot_sweep(table(losses), ["loss_db"], "pictures"),
    "frontier": lambda losses: plot_frontier(table(losses)),
    "panels": lambda losses: plot_panels(table(losses), "loss_db", "step"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_spread_larger_than_its_loss_leaves_through_the_edge(name):
    axis = FIGURES[name]({"1": (0.0, 6.0), "20": (1.0, 1.5)}).axes[0]
    (beyond, upper), (low, high) = drawn_bars(axis)
    edge = 1 if axis.yaxis_inverted() else 0
    assert np.isfinite([beyond, upper]).all() and abs(beyond) > 2 and 0 < upper < 1, "it is drawn, and ends outside"
    assert (beyond > 1) == (edge == 1) and 0 < min(low, high)
    assert not [text for text in axis.texts if text.get_text() == NOTE]


@pytest.mark.parametrize("name", FIGURES)
def test_a_gain_stands_at_the_least_loss_and_is_told(name):
    axis = FIGURES[name](LOSSES).axes[0]
    assert points(axis) == pytest.approx([3.0, LEAST_LOSS, 1.25])
    least, most = sorted(axis.get_ylim())
    assert least <= LEAST_LOSS < most
    collection = next(c for c in axis.containers[0].lines[2] if np.ptp(c.get_segments()[1][:, 1]) > 0)
    spread = np.std([-0.2, 0.1], ddof=1)
    assert collection.get_segments()[1][:, 1].tolist() == pytest.approx([-0.05 - spread, -0.05 + spread])
    assert [text.get_text() for text in axis.texts].count(NOTE) == 1


def board(losses: list[float]) -> pd.DataFrame:
    rows = [
        dict(method=method, label=method, setting=setting, loss_db=loss, fab=fab, seconds=seconds, seconds_from="whole")
        for method, seconds, of in zip(("adabm", "minmax"), (10.0, 1.0), (losses, [0.5, 1.0]))
        for setting, loss, fab in zip(("W8A8 FQ", "W4A4 FQ"), of, (8.0, 4.0))
    ]
    return pd.DataFrame(rows).assign(backbone="net", dataset="Set", tile=0)


def test_a_recipe_that_gains_stays_on_the_leaderboard_s_figures():
    bits, seconds = plot_loss_bits(board([-0.02, 0.4])).axes[0], plot_loss_seconds(board([-0.02, 0.4])).axes[0]
    assert [0.4, LEAST_LOSS] in [line.get_ydata().tolist() for line in bits.lines] and bits.get_ylim()[0] <= LEAST_LOSS
    assert NOTE in [text.get_text() for text in bits.texts]
    assert seconds.get_ylim()[0] < -0.02
    assert plot_loss_seconds(board([0.1, 0.4])).axes[0].get_ylim()[0] == 0
