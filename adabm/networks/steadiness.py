"""Refuse networks that give another picture each time for the same one, or beside another one, which no ranges or bits can fit."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import NetworkError, out_of_memory
from .trace import SIDE, evaluation_mode
from .untouched import is_untouched

_BESIDE, _BESIDE_HALF = 1e-4, 2e-2  # of the largest value


def check_steady(network: object) -> None:
    """Run a copy of a network that this package does not know on one picture, another, that one again, and both at once; one that
    cannot be run passes.

    Raises:
        NetworkError: the pictures differ, or a buffer was changed; with the remedy.
    """
    if not isinstance(network, nn.Module):
        return
    if is_untouched(network):
        return
    try:
        with torch.random.fork_rng(devices=[]):
            changed, same, alone = _run_twice(copy.deepcopy(network))
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
    if not alone:
        raise NetworkError(
            f"{name}: its forward gives another picture where a second one stands in the batch (a mean over the batch, batch normalization "
            "without running statistics, or what goes by how many there are), so that calibration pictures would change each other; let it "
            "compute each picture by itself"
        )


def _run_twice(network: nn.Module) -> tuple[str | None, bool, bool]:
    """The first buffer that further passes change, whether two passes on one picture give the same, and whether it does beside another."""
    like = next(network.parameters(), torch.zeros(()))
    with evaluation_mode(network), torch.no_grad():
        output, channels = _first(network, like)
        before = {name: value.clone() for name, value in network.named_buffers()}
        other = 1 - _picture(channels, like)
        network(other)
        again = network(_picture(channels, like))
        alone = _is_alone(network, again, _picture(channels, like), other)
    changed = (name for name, value in network.named_buffers() if name in before and not _alike(value, before[name]))
    return next(changed, None), _alike(output, again), alone


def _is_alone(network: Callable[[Tensor], Tensor], output: Tensor, picture: Tensor, other: Tensor) -> bool:
    """Whether ``output`` is what comes of a picture between a darker and a brighter one, too; a network of one picture at a time passes."""
    try:
        beside = network(torch.cat([other / 4, picture, 1.5 * other]))[1:2]
    except Exception as error:  # whatever foreign code raises; quantizing tells it
        if out_of_memory(error):
            raise
        return True
    if beside.shape != output.shape or not output.is_floating_point():
        return True
    # in the mean, since sums in another order may turn a rounding inside the network
    difference = (beside - output).abs().float().nan_to_num(0.0, 0.0, 0.0).mean()
    close = _BESIDE_HALF if output.dtype in (torch.float16, torch.bfloat16) else _BESIDE
    return bool(difference <= close * output.abs().float().nan_to_num(0.0, 0.0, 0.0).max())


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
