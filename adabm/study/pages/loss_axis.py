"""A logarithmic axis of losses, which may be nothing, or gains, and whose spread may be larger than themselves."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

LEAST_LOSS = 0.005  # dB; smaller losses and gains are drawn here, a logarithmic axis has no zero
_NEAR = 6.0  # times the least loss of an axis


def drawn_at(losses: pd.Series) -> pd.Series:
    """Return where losses in dB are drawn: as they are, but those that the axis has no place for at the least one."""
    return losses.clip(lower=LEAST_LOSS)


def bars(losses: pd.Series, spreads: pd.Series) -> list[pd.Series]:
    """Return how far bars reach below and above where losses are drawn, so that they end at the loss minus and plus its spread."""
    moved = drawn_at(losses) - losses
    return [spreads + moved, (spreads - moved).clip(lower=0)]


def logarithmic_loss(axis: Axes, losses: Iterable[float], small: bool = False) -> None:
    """Make the vertical axis logarithmic, with ticks that read as losses; a bar that ends at nothing, or below, leaves through the edge.

    Args:
        losses: the points, in dB; where some do not stand at their value, a note in the panel tells so.
        small: a panel in which no more than some five ticks have room.
    """
    axis.set_yscale("log", nonpositive="clip")
    low, high = sorted(axis.get_ylim())
    ticks: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    if high < _NEAR * low:  # few would lie between
        ticks = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    elif small:
        ticks = (1.0, 2.0, 5.0)
    axis.yaxis.set_major_locator(LogLocator(subs=ticks))
    axis.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    tell_least(axis, losses)


def tell_least(axis: Axes, losses: Iterable[float]) -> None:
    """Tell in a panel that some losses do not stand at their value, where it is so."""
    if any(loss < LEAST_LOSS for loss in losses):
        told = f"losses below {LEAST_LOSS} dB, and gains, stand there"
        axis.annotate(told, (0.02, 0.02), xycoords="axes fraction", fontsize=6.5, color="0.4")
