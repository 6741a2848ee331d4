"""Whether one measure ranks patches or layers better than another, beyond the chance of which were looked at."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from .dealing import worth

_RESAMPLED = 400


def advantages(
    units: pd.DataFrame, names: Sequence[str], other: str, truths: Sequence[str] = ("benefit", "harm")
) -> dict[str, np.ndarray]:
    """Return by how much more each measure agrees with the worth of bits than another does, in 400 draws of patches or layers.

    Agreement is Spearman's rank correlation, the mean over ``truths``, seeds and networks. What is ranked is drawn with
    replacement within its network, the same for all its seeds.

    Args:
        units: a row a patch or layer, as :func:`adabm.study.answers.dealing.worth` takes it, with ``backbone``, ``seed`` and a
            column for each measure; as many of each seed of a network.
    """
    columns = [*names, other, *truths]
    networks = [
        np.stack([here.assign(**worth(here))[columns].to_numpy(float) for _, here in network.groupby("seed")])
        for _, network in units.groupby("backbone", sort=False)
    ]
    rng, differences = np.random.default_rng(0), []
    for _ in range(_RESAMPLED):
        gaps = [_gaps(values[:, rng.integers(0, values.shape[1], values.shape[1])], len(names)) for values in networks]
        differences.append(np.concatenate(gaps).mean(0))
    return dict(zip(names, np.array(differences).T))


def clearly_better(units: pd.DataFrame, one: str, other: str, truths: Sequence[str] = ("benefit", "harm")) -> bool:
    """Whether a measure agrees better than another in 97.5 % of :func:`advantages`.

    That the better of many measures was chosen by looking does not count.
    """
    return is_clear(advantages(units, [one], other, truths)[one])


def is_clear(draws: np.ndarray) -> bool:
    """Whether 97.5 % of draws of an advantage are above 0."""
    return bool(np.quantile(draws, 0.025) > 0)


def correlations(values: np.ndarray, measures: int) -> np.ndarray:
    """Return Spearman's rank correlation of the first columns with each of the others.

    Args:
        values: (seeds, units, columns).
        measures: how many columns come first.

    Returns:
        (seeds, measures, others); NaN of a column that is constant, which agrees with nothing.
    """
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks /= np.sqrt((ranks**2).sum(1, keepdims=True))
    return np.einsum("sum,sut->smt", ranks[..., :measures], ranks[..., measures:])


def _gaps(values: np.ndarray, measures: int) -> np.ndarray:
    """How much more each of the first columns agrees with those behind the next one than that does: (seeds, measures).

    Args:
        values: (seeds, units, columns).
    """
    agreed = correlations(values, measures + 1).mean(2)
    return agreed[:, :-1] - agreed[:, -1:]
