"""What a converter of foreign weights returns, and what all converters need."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from ..errors import CheckpointError

State = Mapping[str, Tensor]


class Conversion(NamedTuple):
    """Weights in this package's terms: ``build_network(network, **options)`` takes ``state``.

    Attributes:
        network: a name that :func:`build_network` knows.
        options: arguments for it; those that are absent have its defaults.
        state: tensors under that network's names.
        undecided: options that no tensor tells and that have no sensible default.
    """

    network: str
    options: dict[str, object]
    state: dict[str, Tensor]
    undecided: tuple[str, ...] = ()


def tensor(state: State, name: str, *shape: int | None) -> Tensor:
    """Return a tensor of ``state`` after checking its shape; None stands for any size.

    Raises:
        CheckpointError: missing or of another shape.
    """
    if name not in state:
        raise CheckpointError(f"{name} is missing")
    found = tuple(state[name].shape)
    wrong = any(size == 0 or side not in (None, size) for side, size in zip(shape, found))
    if len(found) != len(shape) or wrong:
        expected = ", ".join("any" if side is None else str(side) for side in shape)
        raise CheckpointError(f"{name} has the shape {found}, not ({expected})")
    return state[name]


def depth(state: State, pattern: str, step: int = 1) -> int:
    """Return how many there are of what is numbered: 1 + the largest number that group 1 of ``pattern`` matches.

    Args:
        pattern: matched at the beginning of the tensors' names.
        step: the difference between consecutive numbers.

    Raises:
        CheckpointError: no name matches, or a number below the largest one is missing.
    """
    numbers = {int(match[1]) for match in (re.match(pattern, name) for name in state) if match}
    shown = pattern.replace(r"(\d+)", "<number>").replace("\\", "")
    if not numbers:
        raise CheckpointError(f"{shown} is missing")
    # checked here, because a damaged name must not lead to a network of a million blocks
    missing = next(number for number in range(0, len(numbers) * step + 1, step) if number not in numbers)
    if missing <= max(numbers):
        raise CheckpointError(f"{shown}: number {missing} is missing")
    return 1 + max(numbers)


def upscale_of(out_channels: list[int], features: int) -> int:
    """Return the upsampling factor of convolutions with ``out_channels``, a pixel shuffle after each.

    Raises:
        CheckpointError: one does not enlarge by 2 or 3.
    """
    scale = 1
    for channels in out_channels:
        factor = {4 * features: 2, 9 * features: 3}.get(channels)
        if factor is None:
            raise CheckpointError(f"an upsampling convolution makes {channels} channels of {features}")
        scale *= factor
    return scale


def channels(state: State, seen: int) -> dict[str, object]:
    """Return the options for ``seen`` channels of the input and those of the output, told by ``conv_last``."""
    return dict(num_in_ch=seen, num_out_ch=tensor(state, "conv_last.weight", None, None, 3, 3).shape[0])


def upsampler(state: State, features: int) -> dict[str, object]:
    """Return the option ``upscale`` of BasicSR's module ``upsample``."""
    names = sorted(name for name in state if re.fullmatch(r"upsample\.\d+\.weight", name))
    return dict(upscale=upscale_of([tensor(state, name, None, features, 3, 3).shape[0] for name in names], features))
