"""Refuse networks that compute something else, or past their quantized layers, once these stand in the place of their own.

Code of a network may ask for the class of a layer, read what was set on it, or reach it by a way that wrapping does not see, such
as an object that holds it. What comes of that is found by computing: one picture, before and after.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import NetworkError, out_of_memory
from .networks import NetworkDescriptor, describe
from .networks.trace import SIDE, evaluation_mode
from .networks.untouched import is_untouched
from .pictures.padding import fitting_side
from .quantization.model import QuantizedSR
from .recipes import preset

_CLOSE = {torch.float16: 0.05, torch.bfloat16: 0.05}  # of the largest value; products of attention sum in another order
_ELSEWHERE = 1e-3
_FUNCTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear")  # of weights


def check_wrapping(network: nn.Module, descriptor: NetworkDescriptor | None = None) -> None:
    """Wrap a copy of a network that this package does not know and compare; one that cannot be wrapped or run passes, since
    quantizing tells why.

    Raises:
        NetworkError: it changes the picture that it is given, returns whole numbers, gives another picture in full precision
            once it is wrapped, passes some of its quantized layers by, or reaches its own where it is copied.
    """
    if is_untouched(network):
        return
    try:
        copied = copy.deepcopy(network)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _untouched(network):
            _compare(copied, descriptor)
    except _Refused as error:
        raise NetworkError(f"{type(network).__name__}: {error}") from None
    except Exception as error:  # whatever foreign code raises
        if out_of_memory(error):
            raise


def called_as_functions(network: nn.Module) -> str | None:
    """Say why nothing of a network can be quantized: its forward makes its layers, calls convolutions or linear maps as functions or
    inside ``torch.vmap``, or runs them on something else than the pictures of a batch in their order."""
    calls = _Calls()
    try:
        network = copy.deepcopy(network)
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.register_forward_pre_hook(lambda *_: calls.enter())
                layer.register_forward_hook(lambda *_: calls.leave(), always_call=True)
        before = {name for name, _ in network.named_modules()}
        with torch.random.fork_rng(devices=[]), torch.no_grad(), evaluation_mode(network), calls:
            _picture(network, None)
    except Exception:  # whatever foreign code raises
        return None
    made = sorted({name for name, _ in network.named_modules()} - before)
    if made:
        return f"it makes {made[0]} when it is first run; run it once on a picture, or make its layers in __init__"
    if not calls.seen:
        if not calls.layers:
            return None
        return (
            "its layers run, but not on one picture of a batch after the other, such as where it joins several along the first axis "
            "(torch.cat) or goes by how many there are; let it compute each picture by itself, or pass a NetworkDescriptor by hand"
        )
    return (
        f"it calls {' and '.join(sorted(calls.seen))} as functions, by torch.func or in a compiled forward, which cannot be replaced: "
        "make each an nn.Conv2d or nn.Linear of the network, and call that"
    )


class _Calls(TorchFunctionMode):
    """Which functions of weights are called, but by layers themselves; and whether layers are called, outside of ``torch.vmap``."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.layers, self._inside = False, 0

    def enter(self) -> None:
        self._inside += 1

    def leave(self) -> None:
        self._inside -= 1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if (name := getattr(func, "__name__", "")) in _FUNCTIONS:
            if self._inside and not any(_in_vmap(arg) for arg in args):
                self.layers = True
            else:
                self.seen.add(name)
        return func(*args, **(kwargs or {}))


def _in_vmap(value: object) -> bool:
    return isinstance(value, Tensor) and torch._C._functorch.is_batchedtensor(value)


class _Refused(Exception):
    """What was found, not what foreign code raises."""


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Refuse a copy of a network that computes with modules of the network itself inside the ``with`` block."""
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name, module in network.named_modules()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if ran:
            raise _Refused(
                f"a copy of it computes with {ran[0]} of the network itself, such as by a weak reference or a function elsewhere, and "
                "would go on with that one unquantized; call it as a module of the network"
            ) from None


def _compare(network: nn.Module, descriptor: NetworkDescriptor | None) -> None:
    with evaluation_mode(network):
        picture = _picture(network, descriptor)
        given = picture.clone()
        ran: set[str] = set()
        hooks = [
            module.register_forward_hook(lambda *_, name=name: ran.add(name))
            for name, module in network.named_modules()
        ]
        output = network(given)
        for hook in hooks:
            hook.remove()
        _check_output(output, picture, given)
    found = descriptor if descriptor is not None else describe(network)  # quantizing tells that it was guessed
    model = QuantizedSR(network, preset("minmax"), found)
    seen: set[str] = set()
    with model.full_precision(), model.visiting(lambda layer, _: seen.add(layer.name)):
        wrapped = model(picture)
    if not _alike(wrapped, output):
        raise _Refused(
            "it gives another picture, in full precision, once its layers are replaced by ones that can quantize; its code may ask "
            "for their exact class (use isinstance), or read what was set on a layer (set it on the module around it)"
        )
    if not seen:
        raise _Refused(
            "its forward runs none of its layers, so that nothing would be quantized; put back what was replaced"
        )
    passed = [name for name in model.layers if name in ran and name not in seen]
    if passed:
        raise _Refused(
            f"it computes with {passed[0]} past the layer that quantizes it, such as by an object, a functools.partial, a bound method "
            "or a compiled module that holds it; call it as a module of the network, or give it the role 'skip' in a NetworkDescriptor"
        )


def _picture(network: nn.Module, descriptor: NetworkDescriptor | None) -> Tensor:
    like = next(network.parameters(), torch.zeros(()))
    channels, side = 3, SIDE
    if descriptor is not None:
        channels, side = descriptor.channels, fitting_side(SIDE, descriptor.size_multiple, descriptor.minimum_size)
    for count in dict.fromkeys((channels, 1)):
        picture = torch.rand(1, count, side, side, generator=torch.Generator().manual_seed(0)).to(
            like.device, like.dtype
        )
        try:
            network(picture.clone())
        except Exception:  # a network of one channel, perhaps
            continue
        return picture
    raise ValueError("no picture that it takes")


def _check_output(output: object, picture: Tensor, given: Tensor) -> None:
    if not torch.equal(picture, given):
        raise _Refused(
            "its forward changes the picture that it is given, which is computed with again; copy it first (x = x - mean in place of "
            "x.sub_(mean))"
        )
    if not isinstance(output, Tensor):
        raise _Refused(
            f"its forward returns a {type(output).__name__}, not a picture; wrap it in a module that returns the picture alone"
        )
    if not output.is_floating_point():
        raise _Refused(
            f"its forward returns {str(output.dtype).removeprefix('torch.')}, not floating point; let it return the picture as "
            "it was before rounding"
        )


def _alike(one: Tensor, other: Tensor) -> bool:
    if not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    close = _CLOSE.get(one.dtype, _ELSEWHERE) * other.abs().nan_to_num(0.0, 0.0, 0.0).max().item()
    return torch.allclose(one, other, rtol=0, atol=close, equal_nan=True)
