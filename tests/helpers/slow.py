"""Parameters of tests of which some take several seconds."""

from collections.abc import Collection, Iterable

import pytest


def slow_among(names: Iterable[str], slow: Collection[str]) -> list:
    """Return the names as parameters, those in ``slow`` marked as slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]


def slow(*values: object) -> object:
    """Return the values as one parameter that is marked as slow."""
    return pytest.param(*values, marks=pytest.mark.slow)
