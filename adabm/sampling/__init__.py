"""Which of a pool of low-resolution pictures to calibrate on.

>>> from adabm.sampling import Pool, select
>>> pool = Pool(images, network)  # doctest: +SKIP
>>> chosen = select("diverse", pool, 20)  # doctest: +SKIP
>>> model, record, steps = adabm.quantize(network, [images[i] for i in chosen])  # doctest: +SKIP
"""

from . import strategies  # noqa: F401 (it registers them)
from .adaptive import AdaptiveTrace, adaptive_trace
from .pool import Pool
from .registry import STRATEGIES, Strategy, select, strategy
from .statistics import Statistics

__all__ = ["STRATEGIES", "AdaptiveTrace", "Pool", "Statistics", "Strategy", "adaptive_trace", "select", "strategy"]
