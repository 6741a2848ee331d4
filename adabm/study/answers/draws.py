"""How far a number moves with the patches and the seeds that it rests on: drawn again and again, with replacement."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from .measured import signed

_DRAWS, _OF_PATCHES = 400, 2000
_DIGITS = 3  # at most; an end that they do not tell from zero is zero
DRAWN = "95 % of draws of patches and seeds"  # how tables and sentences call what :func:`ends` returns


def drawn(networks: Sequence[np.ndarray], value: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what 400 draws give, (draws, networks, ...): each of seeds and of patches of every network, as many as it has.

    Args:
        networks: (seeds, patches, ...) each; a draw takes the same patches of all its seeds.
        value: takes a drawn array of a network and returns its numbers, of one shape for all networks.
    """
    places = _places(tuple(rows.shape[:2] for rows in networks))
    return np.array([[value(rows[chosen]) for rows, chosen in zip(networks, draw, strict=True)] for draw in places])


def drawn_means(networks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the means that :func:`drawn` gives, (draws, networks), many times as fast.

    Args:
        networks: (seeds, patches) each.
    """
    if not all(np.isfinite(numbers).all() for numbers in networks):
        return drawn(networks, np.mean)  # only draws that have what is missing have no mean
    shapes = tuple(numbers.shape for numbers in networks)
    weights = zip(*_times(shapes), strict=True)
    found = [
        np.einsum("ds,sp,dp->d", seeds, numbers, patches, optimize=True)
        for numbers, (seeds, patches) in zip(networks, weights, strict=True)
    ]
    return np.stack(found, axis=1)


@lru_cache
def _times(shapes: tuple[tuple[int, int], ...]) -> list[list[np.ndarray]]:
    """Return how often each seed and patch of each network is drawn, (draws, count), of all that are: seeds, then patches."""
    shares = lambda axis: [
        np.array([np.bincount(draw[place][axis].ravel(), minlength=shape[axis]) for draw in _places(shapes)])
        / shape[axis]
        for place, shape in enumerate(shapes)
    ]
    return [shares(0), shares(1)]


@lru_cache
def _places(shapes: tuple[tuple[int, int], ...]) -> list[list[tuple[np.ndarray, ...]]]:
    """Return which seeds and patches are drawn: a list a draw, of indices into each network, the same for the same shapes."""
    rng = np.random.default_rng(0)
    choose = lambda count: rng.integers(0, count, count)
    return [[np.ix_(choose(seeds), choose(patches)) for seeds, patches in shapes] for _ in range(_DRAWS)]


def patch_ends(networks: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return between what 95 % of 2,000 draws of patches have the mean over networks.

    Patches are drawn with replacement within their network, the same for values of as many; networks count alike.

    Args:
        networks: values of the patches of each, (patches,).
    """
    rng = np.random.default_rng(0)
    drawn = [values[rng.integers(0, len(values), (_OF_PATCHES, len(values)))].mean(1) for values in networks]
    least, most = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return float(least), float(most)


def ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return between what 95 % of draws lie, (draws, ...); draws that gave no number are left out."""
    least, most = np.nanquantile(values, [0.025, 0.975], axis=0)
    return least, most


def from_to(values: np.ndarray, digits: int = 2) -> str:
    """Tell between what 95 % of draws of one difference lie: ``-0.12 to +0.03``."""
    return span(*ends(values), digits)


def with_ends(value: float, values: np.ndarray, digits: int = 2) -> str:
    """Tell a difference and between what 95 % of its draws lie: ``-0.04 (-0.12 to +0.03)``."""
    return with_span(value, *ends(values), digits)


def span(least: float, most: float, digits: int = 2) -> str:
    """Tell between what a difference lies, with as many more digits as tell its ends from zero, at most three.

    >>> span(0.04, 1.6, 1), span(0.0, 1.6, 1)
    ('+0.04 to +1.60', '+0.0 to +1.6')
    """
    digits = _telling(least, most, digits)
    return f"{signed(least, digits)} to {signed(most, digits)}"


def with_span(value: float, least: float, most: float, digits: int = 2) -> str:
    """Tell a difference and between what it lies, with digits as in :func:`span`."""
    digits = _telling(least, most, digits)
    return f"{signed(value, digits)} ({span(least, most, digits)})"


def _telling(least: float, most: float, digits: int) -> int:
    known = [end for end in (least, most) if abs(end) >= 0.5 * 10**-_DIGITS]
    return next((more for more in range(digits, _DIGITS) if all(round(end, more) for end in known)), _DIGITS)


def one_sided(values: np.ndarray) -> bool:
    """Whether 95 % of draws of one difference have the same sign: "clearly" is said of these."""
    least, most = ends(values)
    return bool(least > 0 or most < 0)
