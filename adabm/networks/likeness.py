"""Whether a network enlarges pictures: what it makes of a smooth one looks like it, unless a number that no tensor tells is wrong."""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import NetworkError, out_of_memory
from ..pictures.padding import fitting_side
from .describe import describe
from .descriptor import NetworkDescriptor
from .trace import evaluation_mode
from .untouched import is_untouched

# dB; of trained networks 58 to 65 were seen, with a wrong img_range 24 to 27, with a wrong res_scale 39 to 52
UNLIKE, DOUBTFUL = 15.0, 30.0
_ALIKE = 20.0
_SIDE = 48  # pixels
_WAVE = 24  # pixels
_WIDE = 255.0


def likeness(network: nn.Module, descriptor: NetworkDescriptor) -> float | None:
    """Return the PSNR in dB between a smooth picture and the network's output for it, averaged to its size.

    None where its forward fails, or makes pictures of other channels.
    """
    like = next(network.parameters(), torch.zeros(()))
    picture = _waves(descriptor.channels, fitting_side(_SIDE, descriptor.size_multiple, descriptor.minimum_size))
    try:
        with evaluation_mode(network), torch.no_grad():
            output = network((picture * descriptor.value_range).to(like.device, like.dtype))
            made = F.avg_pool2d(output.float().cpu(), descriptor.scale) / descriptor.value_range
    except Exception as error:  # whatever foreign code raises
        if out_of_memory(error):
            raise
        return None
    if made.shape != picture.shape or not made.isfinite().all():
        return None
    error = (made - picture).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def told_unlike(network: nn.Module, descriptor: NetworkDescriptor) -> str | None:
    """Say that what a network makes does not look like what it is given, or return None."""
    found = likeness(network, descriptor)
    if found is None or found >= DOUBTFUL:
        return None
    return (
        f"what it makes of a smooth picture of 0 to {descriptor.value_range:g} does not look like it ({found:.1f} dB, where trained networks "
        "have 58 to 65): its weights are not "
        "trained, or a number that no tensor tells, such as res_scale, img_range or a mean, is another one than its kind of file has"
    )


def check_value_range(network: nn.Module, descriptor: NetworkDescriptor | None = None) -> None:
    """Refuse a network whose pictures go from 0 to 255 where 0 to 1 is told, or the other way round.

    What a user's descriptor tells is tried, or what describing a network guesses that this package does not know. One that cannot be run
    passes, since quantizing tells why.

    Raises:
        NetworkError: with the remedy.
    """
    if descriptor is None and is_untouched(network):
        return
    try:
        copied = copy.deepcopy(network)
        with torch.random.fork_rng(devices=[]):
            described = describe(copied) if descriptor is None else descriptor
            other = _WIDE if described.value_range < _WIDE else 1.0
            found = likeness(copied, described)
            right = likeness(copied, replace(described, value_range=other))
    except Exception as error:  # whatever foreign code raises
        if out_of_memory(error):
            raise
        return
    if None not in (found, right) and found < UNLIKE and right >= _ALIKE:
        told = "is guessed" if descriptor is None else "its descriptor tells"
        raise NetworkError(
            f"{described.name}: takes pictures of 0 to {other:g}, not of 0 to {described.value_range:g} as {told}: only then what it makes looks "
            f"like what it is given ({right:.0f} dB, else {found:.0f}); pass adabm.describe(network, value_range={other}) as the descriptor, or "
            "register it with a Layout of that value_range"
        )


def _waves(channels: int, side: int) -> Tensor:
    """A (1, C, side, side) picture from 0.25 to 0.75 of slow waves."""
    places = torch.arange(side) * (2 * math.pi / _WAVE)
    phases = torch.arange(channels).view(-1, 1, 1)
    return (0.5 + 0.25 * torch.sin(places[:, None] + 0.5 * places + phases))[None]
