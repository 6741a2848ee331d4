"""Recipes: the methods of quantization, each a YAML file that lists steps; one's own is a file of the same form."""

from .carrying_out import calibrate, carry_out
from .config import QuantizationConfig, preset
from .recipe import Recipe, is_file, read_recipe, shipped

__all__ = ["QuantizationConfig", "Recipe", "calibrate", "carry_out", "is_file", "preset", "read_recipe", "shipped"]


def __getattr__(name: str):
    """``PRESETS``: the shipped recipes by name, read when first asked for."""
    if name == "PRESETS":
        return shipped()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
