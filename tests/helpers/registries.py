"""Forget, after a test, what files of its own registered."""

from collections.abc import Iterator
from contextlib import contextmanager

from adabm.engines import ENGINES
from adabm.networks.architecture import _KNOWN, known_architectures
from adabm.quantization.bit_mapping import ALLOCATIONS, SENSITIVITIES
from adabm.quantization.complexity import COMPLEXITIES
from adabm.quantization.observers import ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS
from adabm.steps import step_names
from adabm.steps.step import _STEPS

TABLES = [
    _KNOWN, _STEPS, ENGINES, *(r._entries for r in (ALLOCATIONS, SENSITIVITIES, COMPLEXITIES, ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS))
]  # fmt: skip


@contextmanager
def forgetting() -> Iterator[None]:
    """Put the registries of networks, of steps, of their functions and of engines back as they were."""
    known_architectures()
    step_names()  # those of the package are there from now on
    before = [dict(table) for table in TABLES]
    try:
        yield
    finally:
        for table, entries in zip(TABLES, before):
            table.clear()
            table.update(entries)
