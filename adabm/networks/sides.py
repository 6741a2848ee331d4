"""Which sides of a picture a network takes."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from torch import nn

from ..errors import ConfigError
from ..pictures.padding import fitting_side
from .architecture import architecture_of
from .community import facts_of
from .loading import load_network
from .scale import network_scale


class Sides(NamedTuple):
    """The sides of the input must be multiples of the one and no less than the other, in pixels."""

    multiple: int = 1
    minimum: int = 1

    def check(self, what: str, side: int, name: str) -> None:
        """Refuse the side of a picture that the network called ``name`` does not take.

        Raises:
            ConfigError: with the next larger side that it takes.
        """
        if side != (fitting := fitting_side(side, self.multiple, self.minimum)):
            raise ConfigError(
                f"{what} = {side}: {name} takes sides that are multiples of {self.multiple} and at least {self.minimum}; "
                f"the next is {fitting}"
            )


def network_sides(network: nn.Module) -> Sides:
    """Return what a network takes, as far as its architecture or spandrel tells it; elsewhere any side will do."""
    if (facts := facts_of(network)) is not None:
        return Sides(facts.size_multiple, facts.minimum_size)
    known = architecture_of(network)
    if known is None or known.layout is None:
        return Sides()
    return Sides(known.layout.size_multiple(network_scale(network)))


def file_sides(path: Path) -> Sides:
    """Return what the network of a file of full-precision weights takes; it is built, once.

    Raises:
        CheckpointError: missing, damaged, or of an unknown network.
    """
    state = path.stat()
    return _sides_of_file(path, state.st_mtime_ns, state.st_size)


@lru_cache
def _sides_of_file(path: Path, changed: int, size: int) -> Sides:
    return network_sides(load_network(path))
