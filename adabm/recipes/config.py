"""What a quantization is asked for: bits and a recipe."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Predicate
from pydantic import InstanceOf

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.model import QuantizedSR
from ..steps import Step
from ..validation import Checked, check, shown
from .idle_groups import check_tuned_groups
from .idle_settings import asked_for, idle_bits, idle_settings
from .kept_layers import check_layers_kept
from .recipe import Changes, Recipe, read_recipe

Bits = Annotated[
    int, Predicate(lambda bits: 1 <= bits <= 16 or bits == FULL_PRECISION_BITS), f"1 to 16, or {FULL_PRECISION_BITS}"
]
IsRecipe = Annotated[InstanceOf[Recipe], "a recipe, such as adabm.read_recipe('adabm')"]


@dataclass(frozen=True)
class QuantizationConfig(Checked):
    """To how many bits a network is quantized, and how (defaults: recipe ``adabm`` at W4A4).

    Attributes:
        weight_bits, activation_bits: base bits b_w and b_a; 32 means full precision.
        fully_quantized: quantize first, upsampling and last convolutions too, at ``fixed_bits``.
        recipe: the steps, see :class:`Recipe`.
    """

    weight_bits: Bits = 4
    activation_bits: Bits = 4
    fully_quantized: bool = True
    fixed_bits: Bits = 8
    recipe: IsRecipe = field(default_factory=lambda: read_recipe("adabm"))

    def __post_init__(self) -> None:
        super().__post_init__()
        for step in self.recipe.steps:
            step.check(self)
        found = self.step("calibrate")
        if (
            found is not None
            and (found.granularity, found.weight_search) == ("channel", "base")
            and self.fully_quantized
            and self.weight_bits > self.fixed_bits
        ):
            raise ConfigError(
                f"weight_bits = {self.weight_bits}: must be {self.fixed_bits} or less, since layers at {self.fixed_bits} fixed bits "
                "would get steps searched for more, which cut their weights off; set calibrate.weight_search to own"
            )

    @property
    def bits(self) -> dict[str, object]:
        """The bits without the recipe, JSON-ready."""
        return {name: getattr(self, name) for name in BITS}

    @property
    def label(self) -> str:
        """The setting in the literature's short form, such as ``W4A4 FQ``."""
        return f"W{self.weight_bits}A{self.activation_bits} {'FQ' if self.fully_quantized else 'body only'}"

    def step(self, name: str) -> Step | None:
        """Return the recipe's step of this name, or None."""
        return self.recipe.step(name)

    def install(self, model: QuantizedSR) -> None:
        """Let each step put its modules into a freshly wrapped model.

        Raises:
            ConfigError: a step cannot work on this model, or removes or replaces a layer.
        """
        layers = model.layers
        for step in self.recipe.steps:
            step.install(model)
            check_layers_kept(model, layers, step)
        for step in self.recipe.steps:
            step.check_model(model)
        check_tuned_groups(model, self.recipe.steps)

    def to_dict(self) -> dict:
        """Return a JSON-ready dictionary; :meth:`from_dict` reads it back."""
        recipe = self.recipe
        described = {name: getattr(recipe, name) for name in _DESCRIBED}
        return self.bits | {"recipe": described | {"steps": recipe.to_dict()}}

    @classmethod
    def from_dict(cls, settings: Mapping) -> "QuantizationConfig":
        """Build from what :meth:`to_dict` returned.

        Raises:
            ConfigError: an unknown step or setting, or an impossible value.
        """
        given = _parts("configuration", settings, ("recipe", *BITS))
        recipe = _parts("recipe", given.pop("recipe"), ("name", "steps"))
        steps = _parts("steps", recipe.pop("steps"))
        described = {key: recipe[key] for key in _DESCRIBED if key in recipe}
        return cls(**{key: given[key] for key in BITS}, recipe=Recipe.from_dict(steps=steps, **described))


def _parts(name: str, given: object, required: tuple[str, ...] = ()) -> dict[str, object]:
    parts = dict(check(name, given, Changes))
    for key in required:
        if key not in parts:
            raise ConfigError(f"{name}: {key!r} is missing")
    return parts


BITS = ("weight_bits", "activation_bits", "fully_quantized", "fixed_bits")
_DESCRIBED = ("name", "label", "family", "paper", "sentence", "order", "changed")


def preset(
    name: str | Path, changes: Mapping[str, object] | None = None, *, root: str | Path | None = None, **bits: object
) -> QuantizationConfig:
    """Return a recipe at given bits, with changes, e.g. ``preset("adabm", {"tune.rounds": 3}, activation_bits=6)``.

    Args:
        name: a shipped recipe (``adabm recipes`` lists them) or a recipe file.
        changes: see :meth:`Recipe.with_changes`.
        root: what the path of a recipe file is relative to; by default the working directory.
        bits: ``weight_bits``, ``activation_bits``, ``fully_quantized``, ``fixed_bits``.

    Warns:
        UserWarning: a change that has no effect given the others, such as ``calibrate.percentile`` of min/max ranges.

    Raises:
        ConfigError: unknown names, with a close match, or impossible values.
    """
    if not isinstance(name, (str, Path)):
        raise ConfigError(f"recipe = {shown(name)}: must be the name of a recipe or the path of its file")
    for given in bits:
        if given not in BITS:
            raise ConfigError(
                f"unknown setting {given!r}: it is no bit-width; settings of steps go into changes, "
                'such as preset("adabm", {"calibrate.ema": 0.8})'
            )
    recipe = read_recipe(name, root).with_changes({} if changes is None else changes)
    config = QuantizationConfig(**bits, recipe=recipe)
    idle = idle_settings(recipe.steps, asked_for(changes or {}), bits=config.bits)
    for told in (*idle_bits(config.fully_quantized, bits), *idle):
        warnings.warn(told, stacklevel=2)
    return config
