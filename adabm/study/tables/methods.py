"""How tables and figures tell a method: by what its recipe says of itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...engines.simulated import SIMULATED
from ...errors import ConfigError
from ...full_precision import FULL_PRECISION, FULL_PRECISION_LABEL
from ...recipes import Recipe, read_recipe
from ..plan.root import working_root

RELEASED_RECIPE, UNTUNED_RECIPE = "adabm", "adabm-notune"  # with the weight ranges of the released search
OWN_BITS_RECIPE = "adabm-own-bits"  # its weight ranges are searched at each layer's own bits


@dataclass(frozen=True)
class Method:
    """A method of a table.

    Attributes:
        label: what people read.
        family: methods of one family share a colour.
        order: place among others.
        tuned: whether it fine-tunes.
        recipe: None of full precision, and of a file that is not there any more.
    """

    label: str
    family: str
    order: int
    tuned: bool
    recipe: Recipe | None = None


@lru_cache(maxsize=256)
def method(name: str) -> Method:
    """Return how to tell the method that a table calls ``name``: ``fp32``, a shipped recipe or the path of a recipe file.

    A file that is not there any more is told by its name.
    """
    if name == FULL_PRECISION:
        return Method(FULL_PRECISION_LABEL, FULL_PRECISION_LABEL, -1, False)
    try:
        recipe = read_recipe(name, working_root())
    except ConfigError:
        return Method(Path(name).stem, Path(name).stem, 1000, False)
    return Method(recipe.label, recipe.family, recipe.order, recipe.step("tune") is not None, recipe)


def label(name: str, engine: str = SIMULATED) -> str:
    """Return what people read for a method, with the engine that measured it where it is not the simulation."""
    return method(name).label + ("" if engine == SIMULATED else f" ({engine})")


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names, each once, in the order of tables: full precision, shipped recipes, users' as they come."""
    return sorted(dict.fromkeys(names), key=lambda name: method(name).order)
