"""Functions of the user's own that a recipe names: what it computes depends on their files, whoever imported these."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ...own_functions import is_own
from ...quantization.bit_mapping import ALLOCATIONS, SENSITIVITIES
from ...quantization.channel_weights import CHANNEL_OBSERVERS
from ...quantization.complexity import COMPLEXITIES
from ...quantization.observers import ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS
from ...recipes import Recipe
from ...steps.rounding import ROUNDING_RULES
from ...support.registry import Registry
from ..origin.fingerprint import definition_root

_REGISTRIES: tuple[Registry, ...] = (
    ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS, CHANNEL_OBSERVERS, COMPLEXITIES, SENSITIVITIES, ALLOCATIONS, ROUNDING_RULES
)  # fmt: skip


def own_files(recipe: Recipe) -> tuple[Path, ...]:
    """Return the files of the functions of the user's own that the settings of a recipe name, each once.

    A recipe need not import them: a program that imported them, or holds them itself, can name them as well.

    Raises:
        ConfigError: one stands in no file, such as a function of a notebook's cell.
    """
    return tuple(dict.fromkeys(Path(definition_root(function)) for function in _named(recipe)))


def _named(recipe: Recipe) -> Iterator[Callable]:
    for step in recipe.steps:
        for name in filter(lambda value: isinstance(value, str), step.settings.values()):
            for function in (registry[name] for registry in _REGISTRIES if name in registry):
                if is_own(function):
                    yield function
