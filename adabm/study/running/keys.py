"""The code that a kept result depends on: of its recipe's steps and its network alone, not of all that there are."""

from pathlib import Path

from ...checkpoint import file_metadata
from ...networks.architecture import known_architectures
from ...recipes import Recipe
from ..origin.fingerprint import MEASURING, QUANTIZING, code_hash, definition_root


def quantizing_code(recipe: Recipe, backbone: Path) -> str:
    """Hash the code that quantizes the network of a weight file by a recipe, a user's own steps and files included."""
    steps = [definition_root(type(step)) for step in recipe.steps]
    return code_hash(*QUANTIZING, *dict.fromkeys([*steps, *_files(recipe), *_network(backbone)]))


def measuring_code(backbone: Path) -> str:
    """Hash the code that measures a model of the network of a weight file on pictures."""
    return code_hash(*MEASURING, *_network(backbone))


def _files(recipe: Recipe) -> list[str]:
    return [str(file.resolve()) for file in recipe.files]


def _network(backbone: Path) -> tuple[str, ...]:
    """The module, or the user's file, of the network's architecture; none where it is unknown."""
    known = known_architectures().get(file_metadata(backbone).get("network", ""))
    if known is None:
        return ()
    return (str(known.file.resolve()),) if known.file is not None else (known.module.removeprefix("adabm."),)
