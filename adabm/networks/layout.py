"""Where a network of a known architecture has what."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from ..errors import NetworkError
from .descriptor import Role

FindBlocks = Callable[[Mapping[str, Role]], tuple[str, ...]]


@dataclass(frozen=True)
class Layout:
    """What :func:`adabm.networks.describe` has to know of an architecture.

    In its networks the order of definition must be the order of execution.

    Attributes:
        roles: (pattern of the full module name, role); the first match counts. The network's first
            and last convolution are FIRST and LAST without a pattern.
        blocks: pattern of the names of the blocks; of these, the modules that hold a BODY convolution.
            Or a function of the roles that returns the names, where no pattern tells them.
        value_range: largest pixel value of input and output, 1.0 or 255.0.
        block_feature_size_normalized: see :class:`NetworkDescriptor`.
        size_multiples: what the sides of the input must be multiples of, by scale; elsewhere any side will do.

    >>> Layout(((r"body\\..+", Role.BODY), (r"upsample\\..+", Role.UPSAMPLER)), blocks=r"body\\.\\d+").value_range
    1.0
    """

    roles: tuple[tuple[str, Role], ...]
    blocks: str | FindBlocks = r"body\.\d+"
    value_range: float = 1.0
    block_feature_size_normalized: bool = False
    size_multiples: Mapping[int, int] = field(default_factory=dict)

    def size_multiple(self, scale: int) -> int:
        """Return what the sides of the input must be multiples of at a scale."""
        return self.size_multiples.get(scale, 1)

    def find_roles(self, network: nn.Module) -> dict[str, Role]:
        """Return the role of every ``nn.Conv2d`` by its dotted name, in execution order.

        Raises:
            NetworkError: a convolution that no pattern matches.
        """
        name_of_all = type(network).__name__
        convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
        roles = {}
        for name in convolutions:
            role = next((role for pattern, role in self.roles if re.fullmatch(pattern, name)), None)
            if name == convolutions[0]:
                role = Role.FIRST
            elif name == convolutions[-1]:
                role = Role.LAST
            if role is None:
                raise NetworkError(
                    f"{name_of_all}: {name} is no convolution of {name_of_all}; pass a NetworkDescriptor by hand"
                )
            roles[name] = role
        return roles

    def find_blocks(self, network: nn.Module, roles: Mapping[str, Role]) -> tuple[str, ...]:
        """Return the dotted names of the blocks, in the order of definition."""
        if callable(self.blocks):
            return self.blocks(roles)
        body = [name for name, role in roles.items() if role is Role.BODY]
        names = (name for name, _ in network.named_modules() if re.fullmatch(self.blocks, name))
        return tuple(name for name in names if any(conv.startswith(f"{name}.") for conv in body))
