"""Strategies by name, and the one call that runs and checks them."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Le

from ..errors import ConfigError
from ..own_functions import is_own
from ..suggestions import suggestion
from ..validation import Count, Whole, check

if TYPE_CHECKING:
    from .pool import Pool

Choose = Callable[["Pool", int, np.random.Generator], Sequence[int]]


@dataclass(frozen=True)
class Strategy:
    """A way to choose calibration pictures.

    Attributes:
        name: what :func:`select` calls it.
        description: one sentence for tables and help.
        choose: ``f(pool, count, rng)``, which returns indices into the pool.
        variable_size: it may return fewer than ``count`` pictures.
        repeats: it may return a picture more than once.
    """

    name: str
    description: str
    choose: Choose
    variable_size: bool = False
    repeats: bool = False


STRATEGIES: dict[str, Strategy] = {}


def strategy(
    name: str, description: str, *, variable_size: bool = False, repeats: bool = False, replace: bool = False
) -> Callable[[Choose], Choose]:
    """Register the decorated function as a strategy and return it as it is.

    Args:
        name, description, variable_size, repeats: see :class:`Strategy`.
        replace: allow a name that is taken, e.g. in a notebook cell that runs again.

    Raises:
        ConfigError: the name is empty or taken.

    >>> @strategy("first", description="the first pictures of the pool", replace=True)
    ... def first(pool, count, rng):
    ...     return range(count)
    >>> STRATEGIES.pop("first").description
    'the first pictures of the pool'
    """
    if not name:
        raise ConfigError("a sampling strategy needs a name")
    if name in STRATEGIES and not replace:
        raise ConfigError(f"a sampling strategy {name!r} exists already; choose another name or pass replace=True")

    def register(choose: Choose) -> Choose:
        STRATEGIES[name] = Strategy(name, description, choose, variable_size, repeats)
        return choose

    return register


def find(name: str) -> Strategy:
    """Return a strategy by its name; an unknown one raises :class:`ConfigError` with a close match."""
    if name not in STRATEGIES:
        raise ConfigError(f"unknown sampling strategy {name!r}: {suggestion(name, STRATEGIES)}")
    return STRATEGIES[name]


def generator(seed: int) -> np.random.Generator:
    """Return the random numbers of a selection; those of patches and fine-tuning with this seed are others.

    Raises:
        ConfigError: the seed is no whole number >= 0.
    """
    return np.random.default_rng((check("seed", seed, Whole), 2))  # (seed, 0) and (seed, 1) draw patches


def check_count(count: int, pool: Pool) -> None:
    """Raise :class:`ConfigError` unless ``count`` is a whole number from 1 to the size of the pool."""
    check(
        "count",
        count,
        Annotated[Count, Le(len(pool)), f"a whole number from 1 to {len(pool)}, the pictures in the pool"],
    )


def select(name: str, pool: Pool, count: int, seed: int = 0) -> list[int]:
    """Choose pictures of a pool for calibration.

    The order is the strategy's own and nothing is shuffled afterwards. It matters: calibration sets ranges from its
    first batch (16 patches) and updates them by a moving average with the later ones. The strategies of this package
    therefore put no kind of picture first, except ``diverse`` (the most representative first) and ``hardest`` (the
    greatest error first). With one seed, fewer pictures are the beginning of more, except by
    ``stratified`` and ``kmeans``; ``adaptive`` is the beginning of ``random``.

    Args:
        name: one of ``STRATEGIES``, your own among them (:func:`strategy`).
        pool: the pictures.
        count: how many; the most, for a strategy of variable size.
        seed: fixes the choice.

    Returns:
        Indices into the pool, without duplicates unless the strategy repeats pictures.

    Raises:
        ConfigError: unknown name, impossible count, or a strategy of your own that returned what it must not, changed the
            pool's pictures, scenes or measures, or, called twice, chose others the second time.

    >>> chosen = select("diverse", pool, 20)  # doctest: +SKIP
    """
    entry = find(name)
    check_count(count, pool)
    if not is_own(entry.choose):
        return _choice(entry, pool, int(count), seed)
    before = _content(pool)
    try:
        chosen = _choice(entry, pool, int(count), seed)
    except ValueError as error:
        if "read-only" not in str(error):  # as NumPy says that of the pool's measures
            raise
        raise ConfigError(
            f"strategy {entry.name!r} changes what the pool knows ({error}); let it work on copies"
        ) from None
    after = _content(pool)
    changed = next((name for name in before if after.get(name) != before[name]), None)
    if changed is not None:
        raise ConfigError(f"strategy {entry.name!r} changes the pool's {changed}; let it work on copies")
    if _choice(entry, pool, int(count), seed) != chosen:
        raise ConfigError(
            f"strategy {entry.name!r} chooses other pictures each time for the same seed; let it draw from its argument rng alone, and "
            "keep nothing between calls"
        )
    return chosen


def _choice(entry: Strategy, pool: Pool, count: int, seed: int) -> list[int]:
    return _checked(entry, entry.choose(pool, count, generator(seed)), len(pool), count)


def _content(pool: Pool) -> dict[str, str]:
    """Digests of the pool's pictures and scenes, and of what is measured so far, which may be more later."""
    found = {"pictures": _digest(pool.images), "scenes": repr(pool.scenes)}
    known = vars(pool)
    measured = {name: known[name] for name in ("complexities", "errors") if name in known}
    measured |= known["statistics"].to_arrays() if "statistics" in known else {}
    return found | {name: _digest([array]) for name, array in measured.items()}


def _digest(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _checked(entry: Strategy, result: Sequence[int], size: int, count: int) -> list[int]:
    try:
        chosen = [operator.index(None if isinstance(index, bool) else index) for index in result]
    except TypeError:
        raise ConfigError(
            f"strategy {entry.name!r} returned {result!r}; expected whole numbers, indices into the pool"
        ) from None
    outside = [index for index in chosen if not 0 <= index < size]
    if outside:
        raise ConfigError(f"strategy {entry.name!r} returned the index {outside[0]}; the pool has 0 to {size - 1}")
    if not chosen or len(chosen) > count:
        raise ConfigError(f"strategy {entry.name!r} returned {len(chosen)} pictures; expected 1 to {count}")
    if len(chosen) < count and not entry.variable_size:
        raise ConfigError(
            f"strategy {entry.name!r} returned {len(chosen)} pictures instead of {count}; register it with variable_size=True if it may"
        )
    if not entry.repeats and len(set(chosen)) < len(chosen):
        twice = next(index for index in chosen if chosen.count(index) > 1)
        raise ConfigError(
            f"strategy {entry.name!r} returned picture {twice} more than once; register it with repeats=True if it may"
        )
    return chosen
