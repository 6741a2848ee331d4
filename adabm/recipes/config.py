"""What a quantization is asked for: bits and a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.model import QuantizedSR
from ..steps import Step, require
from .recipe import Recipe, read_recipe


@dataclass(frozen=True)
class QuantizationConfig:
    """To how many bits a network is quantized, and how (defaults: recipe ``adabm`` at W4A4).

    Attributes:
        weight_bits, activation_bits: base bits b_w and b_a; 32 means full precision.
        fully_quantized: quantize first, upsampling and last convolutions too, at ``fixed_bits``.
        recipe: the steps, see :class:`Recipe`.
    """

    weight_bits: int = 4
    activation_bits: int = 4
    fully_quantized: bool = True
    fixed_bits: int = 8
    recipe: Recipe = field(default_factory=lambda: read_recipe("adabm"))

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "fixed_bits"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(
                whole and (1 <= value <= 16 or value == FULL_PRECISION_BITS),
                name,
                value,
                f"1 to 16, or {FULL_PRECISION_BITS}",
            )
        require(isinstance(self.fully_quantized, bool), "fully_quantized", self.fully_quantized, "true or false")
        for step in self.recipe.steps:
            step.check(self)

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
            ConfigError: a step cannot work on this model.
        """
        for step in self.recipe.steps:
            step.install(model)
        for step in self.recipe.steps:
            step.check_model(model)

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
        given = dict(settings["recipe"])
        steps, name = given.pop("steps"), given.pop("name")
        recipe = Recipe.from_dict(name, steps, **{key: given[key] for key in _DESCRIBED if key in given})
        return cls(**{key: settings[key] for key in BITS}, recipe=recipe)


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

    Raises:
        ConfigError: unknown names, with a close match, or impossible values.
    """
    for given in bits:
        if given not in BITS:
            raise ConfigError(
                f"unknown setting {given!r}: it is no bit-width; settings of steps go into changes, "
                'such as preset("adabm", {"calibrate.ema": 0.8})'
            )
    return QuantizationConfig(**bits, recipe=read_recipe(name, root).with_changes(changes or {}))
