"""Bits moved at equal FAB: a bit more for some and one fewer for as many, by a score or by the worth of a bit."""

import numpy as np
import pandas as pd

from ...errors import ConfigError


def worth(units: pd.DataFrame) -> pd.DataFrame:
    """Return ``benefit`` of one more bit and ``harm`` of one fewer: squared error to full precision, a row a patch."""
    return pd.DataFrame(
        {"benefit": units["fp +0"] - units["fp +1"], "harm": units["fp -1"] - units["fp +0"]}, index=units.index
    )


def check_share(share: float) -> None:
    """Refuse a share of what gets a bit more, and of what gets one fewer, of which there cannot be as many.

    Raises:
        ConfigError: it is below 0 or above 0.5.
    """
    if not 0 <= share <= 0.5:
        raise ConfigError(f"share {share} must be from 0 to 0.5: as many get a bit more as get one fewer")


def factors_by(score: np.ndarray, share: float) -> np.ndarray:
    """Return +1 for the ``share`` of highest scores, -1 for that of lowest, as many, and 0 between."""
    check_share(share)
    order, number = np.argsort(score, kind="stable"), int(len(score) * share)
    factors = np.zeros(len(score), dtype=int)
    if number:
        factors[order[:number]], factors[order[-number:]] = -1, 1
    return factors


def known_factors(truth: pd.DataFrame, share: float) -> np.ndarray:
    """Return +1 where one more bit is worth most and, of the rest, -1 where one fewer costs least, as many."""
    number = int(len(truth) * share)
    factors = np.zeros(len(truth), dtype=int)
    if number:
        factors[np.argsort(-truth["benefit"].to_numpy(), kind="stable")[:number]] = 1
        cost = np.where(factors > 0, np.inf, truth["harm"])
        factors[np.argsort(cost, kind="stable")[:number]] = -1
    return factors
