"""Add pictures until what calibration takes from them stops moving: a choice of how many, not of which."""

from dataclasses import dataclass

import numpy as np

from ..validation import Count, NotNegative, check_all
from .pool import Pool
from .registry import check_count, generator, strategy

TOLERANCE = 0.02  # stops after 14 to 32 of the 136 tiles of 32x32 that the demo's calibration pictures give (shipped EDSR, 30 seeds)
PATIENCE = 3
_LAYERS = 90.0  # percentile over layers: a single unruly layer does not decide
_LEAST_DISTANCE = 0.1  # of the upper threshold: that thresholds of almost equal pictures move does not matter


@dataclass(frozen=True, eq=False)
class AdaptiveTrace:
    """How estimates moved while pictures were added.

    Attributes:
        order: (count,) pictures in random order.
        ranges: (count,) relative change of the layers' ranges when each picture was added; the first is infinite.
        thresholds: (count,) likewise of the complexity thresholds.
        size: how many pictures of ``order`` the strategy takes.
    """

    order: np.ndarray
    ranges: np.ndarray
    thresholds: np.ndarray
    size: int

    @property
    def movements(self) -> np.ndarray:
        """(count,) the larger of both changes, which is compared with the tolerance."""
        return np.maximum(self.ranges, self.thresholds)


def adaptive_trace(
    pool: Pool, count: int | None = None, seed: int = 0, *, tolerance: float = TOLERANCE, patience: int = PATIENCE
) -> AdaptiveTrace:
    """Return what ``select("adaptive", pool, count, seed)`` looks at, also beyond the picture where it stops.

    Args:
        count: how many pictures at most; by default the whole pool.
        tolerance, patience: it stops after ``patience`` pictures in a row that moved nothing by ``tolerance`` or more.

    Raises:
        ConfigError: impossible count, seed, tolerance or patience.
    """
    check_all(tolerance=(tolerance, NotNegative), patience=(patience, Count))
    count = len(pool) if count is None else count
    check_count(count, pool)
    return _trace(pool, count, generator(seed), tolerance, patience)


@strategy("adaptive", description="random pictures until ranges and thresholds stop moving", variable_size=True)
def adaptive(
    pool: Pool, count: int, rng: np.random.Generator, tolerance: float = TOLERANCE, patience: int = PATIENCE
) -> list[int]:
    """At most ``count``. Another tolerance is another strategy: ``strategy(...)(partial(adaptive, tolerance=0.01))``.

    After each picture two things are estimated from those chosen so far: every layer's range, its mean least and mean
    greatest input; and the complexity thresholds, the percentiles that calibration takes (10 and 90). A range's change is
    that of its end that moved more, relative to its width; over layers the 90th percentile counts. The change of the
    thresholds is relative to their distance, or to a tenth of the upper one if that is more.
    """
    trace = _trace(pool, count, rng, tolerance, patience)
    return trace.order[: trace.size].tolist()


def _trace(pool: Pool, count: int, rng: np.random.Generator, tolerance: float, patience: int) -> AdaptiveTrace:
    order = rng.permutation(len(pool))[:count]
    ranges = _range_changes(pool.ranges[order])
    thresholds = _threshold_changes(pool.complexities[order], pool.image_percentile)
    calm = np.maximum(ranges, thresholds) < tolerance
    size = next((end for end in range(patience, count) if calm[end - patience : end].all()), count)
    return AdaptiveTrace(order, ranges, thresholds, size)


def _range_changes(ranges: np.ndarray) -> np.ndarray:
    """Changes of the running mean of (count, layers, 2) ranges."""
    means = np.cumsum(ranges, 0) / np.arange(1, len(ranges) + 1)[:, None, None]
    widths = np.maximum(means[1:, :, 1] - means[1:, :, 0], 1e-12)  # a constant input has none
    changes = np.abs(np.diff(means, axis=0)).max(2) / widths
    return np.concatenate([[np.inf], np.percentile(changes, _LAYERS, axis=1)])


def _threshold_changes(complexities: np.ndarray, percentile: float) -> np.ndarray:
    """Changes of both percentiles of the first 1, 2, ... of (count,) complexities."""
    ends = (percentile, 100 - percentile)
    estimates = np.array([np.percentile(complexities[:size], ends) for size in range(1, len(complexities) + 1)])
    lower, upper = estimates[1:].T
    scales = np.maximum(np.maximum(upper - lower, _LEAST_DISTANCE * upper), 1e-12)
    return np.concatenate([[np.inf], np.abs(np.diff(estimates, axis=0)).max(1) / scales])
