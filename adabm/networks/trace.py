"""Run an unknown network once on a small picture and record what its convolutions see."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import NetworkError

SIDE = 32  # pixels; a multiple of what common windows and strides need


@dataclass
class ConvCall:
    """One execution of an ``nn.Conv2d``.

    Attributes:
        name: dotted module name.
        input_size: (H, W) of its input.
        output_shape: (N, C, H, W).
        shuffled: whether its output was next enlarged by a pixel shuffle (perhaps after an
            activation, a normalization or an addition, which keep the shape).
    """

    name: str
    input_size: tuple[int, int]
    output_shape: tuple[int, ...]
    shuffled: bool = False


@dataclass
class Trace:
    """What happened in one forward.

    Attributes:
        calls: executions of convolutions in order; a shared convolution is listed at each call.
        tensor_modules: dotted names of the modules that ran and returned a tensor.
        factors: output side / input side, vertically and horizontally.
        channels: of the picture.
    """

    calls: list[ConvCall] = field(default_factory=list)
    tensor_modules: set[str] = field(default_factory=set)
    factors: tuple[float, float] = (0.0, 0.0)
    channels: int = 3


def trace_network(network: nn.Module, channels: Sequence[int] = (3, 1), side: int = SIDE) -> Trace:
    """Run ``network`` once, without gradients and in evaluation mode, on a square random picture.

    The picture has as many ``channels`` as the first number or, if that fails, the next, and the device and dtype of the
    network's first parameter. Training modes, hooks and torch's random state are as before afterwards.

    Raises:
        NetworkError: the forward fails both ways or does not return one (N, C, H, W) tensor.
    """
    like = next(network.parameters(), torch.zeros(()))
    failures = []
    for count in channels:
        picture = torch.rand(1, count, side, side, generator=torch.Generator().manual_seed(0))
        try:
            return _run(network, picture.to(like.device, like.dtype))
        except NetworkError:
            raise
        except Exception as error:  # foreign code may raise anything
            failures.append(f"with {count} channel(s) {type(error).__name__}: {error}")
    raise NetworkError(
        f"{type(network).__name__}: the forward on a {side}x{side} picture failed, {'; '.join(failures)}. "
        "Pass a NetworkDescriptor by hand"
    )


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put ``network`` in evaluation mode; afterwards give each module back the mode it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _run(network: nn.Module, picture: torch.Tensor) -> Trace:
    trace = Trace(channels=picture.shape[1])
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.no_grad())
        for name, module in network.named_modules():
            stack.callback(module.register_forward_hook(_recorder(trace, name)).remove)
        stack.enter_context(_ShuffleWatcher(trace))
        output = network(picture)
    if not isinstance(output, torch.Tensor) or output.dim() != 4:
        raise NetworkError(
            f"{type(network).__name__}: its forward returns {_kind(output)}, not one (N, C, H, W) tensor; "
            "wrap it in a module that returns the picture, or pass a NetworkDescriptor by hand"
        )
    trace.factors = (output.shape[2] / picture.shape[2], output.shape[3] / picture.shape[3])
    return trace


def _recorder(trace: Trace, name: str):
    def record(module: nn.Module, inputs: tuple, output: object) -> None:
        if isinstance(output, torch.Tensor):
            trace.tensor_modules.add(name)
            if isinstance(module, nn.Conv2d):
                height, width = (inputs[0] if inputs else output).shape[-2:]
                trace.calls.append(ConvCall(name, (height, width), tuple(output.shape)))

    return record


class _ShuffleWatcher(TorchFunctionMode):
    """Mark the convolution whose output a pixel shuffle, as module or as function, enlarges."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func is torch.pixel_shuffle:
            shape = tuple((args[0] if args else kwargs["input"]).shape)
            source = next((call for call in reversed(self.trace.calls) if call.output_shape == shape), None)
            if source is not None and tuple(output.shape) != shape:
                source.shuffled = True
        return output


def _kind(output: object) -> str:
    return f"a {output.dim()}-dimensional tensor" if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
