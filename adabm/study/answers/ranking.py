"""Whether one measure ranks patches or layers better than another, beyond the chance of which were looked at."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from .dealing import worth

_RESAMPLED = 400


def advantages(units: pd.DataFrame, one: str, other: str, truths: Sequence[str] = ("benefit", "harm")) -> np.ndarray:
    """Return by how much more a measure agrees with the worth of bits than another does, in 400 draws of patches or layers.

    Agreement is Spearman's rank correlation, the mean over ``truths``, seeds and networks. What is ranked is drawn with
    replacement within its network, the same for all its seeds.

    Args:
        units: a row a patch or layer, as :func:`adabm.study.answers.dealing.worth` takes it, with ``backbone``, ``seed`` and a
            column for each measure; as many of each seed of a network.
    """
    columns = [one, other, *truths]
    networks = [
        np.stack([here.assign(**worth(here))[columns].to_numpy(float) for _, here in network.groupby("seed")])
        for _, network in units.groupby("backbone", sort=False)
    ]
    rng, differences = np.random.default_rng(0), []
    for _ in range(_RESAMPLED):
        gaps = [_gaps(values[:, rng.integers(0, values.shape[1], values.shape[1])]) for values in networks]
        differences.append(np.concatenate(gaps).mean())
    return np.array(differences)


def clearly_better(units: pd.DataFrame, one: str, other: str, truths: Sequence[str] = ("benefit", "harm")) -> bool:
    """Whether a measure agrees better than another in 97.5 % of :func:`advantages`.

    That the better of many measures was chosen by looking does not count.
    """
    return bool(np.quantile(advantages(units, one, other, truths), 0.025) > 0)


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


def _gaps(values: np.ndarray) -> np.ndarray:
    """How much more the first column agrees with the third and later ones than the second does: (seeds, units, columns)."""
    agreed = correlations(values, 2).mean(2)
    return agreed[:, 0] - agreed[:, 1]
