"""The code that a kept result depends on: of its recipe's steps and its network alone, not of all that there are."""

from functools import cache
from pathlib import Path

from ...checkpoints.checkpoint import network_hash
from ...networks import load_network, registered_name
from ...networks.architecture import known_architectures
from ...networks.community import version
from ...recipes import Recipe
from ...support.serialization import file_metadata
from ..origin.fingerprint import MEASURING, QUANTIZING, code_hash, definition_root, file_hash, key


def quantizing_code(recipe: Recipe, backbone: Path) -> str:
    """Hash the code that quantizes the network of a weight file by a recipe, a user's own steps and files included."""
    steps = [definition_root(type(step)) for step in recipe.steps]
    return with_network(
        backbone, code_hash(*QUANTIZING, *dict.fromkeys([*steps, *_files(recipe), *_network(backbone)]))
    )


def measuring_code(backbone: Path) -> str:
    """Hash the code that measures a model of the network of a weight file on pictures."""
    return with_network(backbone, code_hash(*MEASURING, *_network(backbone)))


def with_network(backbone: Path, code: str) -> str:
    """Add to a hash of code what the network of a file depends on that is neither in that code nor in the file.

    A file that this package wrote tells a network of this package, whose code counts already; the hash stays as it is.
    """
    metadata = file_metadata(backbone)
    if "network" in metadata and "recognized_by" not in metadata:
        return code
    if "recognized_by" in metadata:
        return key(code=code, spandrel=version())
    name, network = _foreign(backbone, file_hash(backbone))
    return key(code=code, network=network, **({} if name else {"spandrel": version()}))


def _files(recipe: Recipe) -> list[str]:
    return [str(file.resolve()) for file in recipe.files]


def _network(backbone: Path) -> tuple[str, ...]:
    """The module, or the user's file, of the network's architecture; none where it is unknown."""
    known = known_architectures().get(_name(backbone))
    if known is None:
        return ()
    return (str(known.file.resolve()),) if known.file is not None else (known.module.removeprefix("adabm."),)


def _name(backbone: Path) -> str:
    """The name under which the architecture is registered; empty for one of spandrel's, which may have the same."""
    metadata = file_metadata(backbone)
    if "recognized_by" in metadata:
        return ""
    return metadata["network"] if "network" in metadata else (_foreign(backbone, file_hash(backbone))[0] or "")


@cache
def _foreign(backbone: Path, content: str) -> tuple[str | None, str]:
    """The registered name, if it has one, and a hash of tensors and options of the network of a foreign file of this content."""
    network = load_network(backbone)
    options = getattr(network, "adabm_options", {})
    return registered_name(network), key(options=options, tensors=network_hash(network.state_dict()))
