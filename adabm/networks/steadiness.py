"""Refuse networks that give another picture each time for the same one, which no ranges or bits can fit."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import NetworkError, out_of_memory
from .architecture import architecture_of
from .community import facts_of
from .trace import SIDE, evaluation_mode


def check_steady(network: object) -> None:
    """Run a copy of a network that this package does not know on one picture, another, and that one again; one that cannot be run passes.

    Raises:
        NetworkError: the pictures differ, or a buffer was changed; with the remedy.
    """
    if not isinstance(network, nn.Module):
        return
    known = architecture_of(network)
    if facts_of(network) is not None or (known is not None and known.file is None):
        return
    try:
        with torch.random.fork_rng(devices=[]):
            changed, same = _run_twice(copy.deepcopy(network))
    except Exception as error:  # whatever foreign code raises; quantizing tells it
        if out_of_memory(error):
            raise
        return
    name = type(network).__name__
    if changed is not None:
        raise NetworkError(
            f"{name}: its forward changes the buffer {changed}, so that each picture would change the ones after it; let it do so "
            "while training alone (if self.training)"
        )
    if not same:
        raise NetworkError(
            f"{name}: its forward gives another picture each time for the same one (dropout or noise that does not stop in "
            "evaluation mode, such as F.dropout without training=self.training, or what it keeps of the picture before); take that out"
        )


def _run_twice(network: nn.Module) -> tuple[str | None, bool]:
    """The first buffer that further passes change, and whether two passes on one picture give the same."""
    like = next(network.parameters(), torch.zeros(()))
    with evaluation_mode(network), torch.no_grad():
        output, channels = _first(network, like)
        before = {name: value.clone() for name, value in network.named_buffers()}
        network(1 - _picture(channels, like))
        again = network(_picture(channels, like))
    changed = (name for name, value in network.named_buffers() if name in before and not _alike(value, before[name]))
    return next(changed, None), _alike(output, again)


def _first(network: Callable[[Tensor], Tensor], like: Tensor) -> tuple[Tensor, int]:
    try:
        return network(_picture(3, like)), 3
    except Exception:  # a network of one channel, perhaps
        return network(_picture(1, like)), 1


def _picture(channels: int, like: Tensor) -> Tensor:
    waves = torch.linspace(0, 40, channels * SIDE * SIDE).sin().view(1, channels, SIDE, SIDE)
    return (0.5 + 0.5 * waves).to(like.device, like.dtype)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for the order of sums on a GPU."""
    if one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    scale = one.abs().nan_to_num(0.0, 0.0, 0.0).max().item() if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=(0.0 if one.device.type == "cpu" else 1e-2) * scale, equal_nan=True)
