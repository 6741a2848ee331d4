"""Run an unknown network once on a small picture and record what its layers see."""

import re
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import NetworkError, out_of_memory
from .products import Attention, as_product

LAYERS = ("convolution", "linear")  # kinds of calls that have weights
SIDE = 32  # pixels; a multiple of what common windows and strides need


@dataclass
class Call:
    """One execution of an ``nn.Conv2d``, an ``nn.Linear`` or a product of two tensors.

    Attributes:
        name: dotted module name; of a product, see :func:`product_name`.
        kind: ``convolution``, ``linear``, ``product`` or, of torch's fused one, ``attention``.
        positions: places of the picture at which a layer works: (H, W) of a convolution's input, (tokens, 1) of a linear
            layer, (0, 0) for products.
        output_shape: of the output.
        shuffled: whether a convolution's output was next enlarged by a pixel shuffle (perhaps after an
            activation, a normalization or an addition, which keep the shape).
        inputs: what is multiplied; empty after the trace is complete.
        constant: some input is the same whatever the picture shows.
        image_major: the first axis of every input holds the images in their order, each with the same number of entries,
            such as its windows.
    """

    name: str
    kind: str
    positions: tuple[int, int]
    output_shape: tuple[int, ...]
    shuffled: bool = False
    inputs: tuple[Tensor, ...] = ()
    constant: bool = False
    image_major: bool = True


@dataclass
class Trace:
    """What happened in one forward.

    Attributes:
        calls: executions of layers and products in order; a shared one is listed at each call.
        tensor_modules: dotted names of the modules that ran and returned a tensor.
        factors: output side / input side, vertically and horizontally.
        channels: of the picture.
    """

    calls: list[Call] = field(default_factory=list)
    tensor_modules: set[str] = field(default_factory=set)
    factors: tuple[float, float] = (0.0, 0.0)
    channels: int = 3


def trace_network(network: nn.Module, channels: Sequence[int] = (3, 1), side: int = SIDE) -> Trace:
    """Run ``network`` once, without gradients and in evaluation mode, on a square random picture.

    It runs once more, on that picture and another: what of its layers works on the pictures, and where the images are in
    it, is told from the difference.

    The picture has as many ``channels`` as the first number or, if that fails, the next, and the device and dtype of the
    network's first parameter. Training modes, hooks and torch's random state are as before afterwards.

    Raises:
        NetworkError: the forward fails both ways, does not return one (N, C, H, W) tensor, runs a module in a thread of
            its own, or an ``nn.MultiheadAttention``, whose products cannot be reached.
    """
    like = next(network.parameters(), torch.zeros(()))
    failures = []
    for count in channels:
        pictures = torch.rand(2, count, side, side, generator=torch.Generator().manual_seed(0))
        pictures = pictures.to(like.device, like.dtype)
        try:
            trace = _run(network, pictures[:1])
        except NetworkError:
            raise
        except Exception as error:  # foreign code may raise anything
            if out_of_memory(error):
                raise
            failures.append(f"with {count} channel(s) {type(error).__name__}: {error}")
            continue
        _compare(network, trace, pictures)
        return trace
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


def _run(network: nn.Module, pictures: Tensor) -> Trace:
    trace = Trace(channels=pictures.shape[1])
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.no_grad())
        watcher = _Watcher(trace)
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(watcher.entering(name)).remove)
            stack.callback(module.register_forward_hook(watcher.leaving(name), with_kwargs=True).remove)
        stack.enter_context(watcher)
        output = network(pictures)
    check_threads(network, watcher.threaded)
    if not isinstance(output, Tensor) or output.dim() != 4:
        raise NetworkError(
            f"{type(network).__name__}: its forward returns {_kind(output)}, not one (N, C, H, W) tensor; "
            "wrap it in a module that returns the picture, or pass a NetworkDescriptor by hand"
        )
    trace.factors = (output.shape[2] / pictures.shape[2], output.shape[3] / pictures.shape[3])
    return trace


def _compare(network: nn.Module, trace: Trace, pictures: Tensor) -> None:
    """Tell of each linear layer and product whether the images can be told apart in its inputs, from a batch of two."""
    try:
        both = _run(network, pictures).calls
    except Exception as error:  # a network that takes one picture at a time: there is one image in any input
        if out_of_memory(error):
            raise
        both = []
    for index, call in enumerate(trace.calls):
        for place, alone in enumerate(call.inputs):
            together = both[index].inputs[place] if index < len(both) else None
            if together is None:
                continue
            if together.shape == alone.shape:
                call.constant = True
            if len(together) != 2 * len(alone) or not _alike(together[: len(alone)], alone):
                call.image_major = False
        call.inputs = ()


def check_threads(network: nn.Module, threaded: Collection[str]) -> None:
    """Refuse a network of which some modules ran in another thread than its forward: torch tells only this one what is computed.

    Raises:
        NetworkError: naming the first of them.
    """
    for name in threaded:
        raise NetworkError(
            f"{type(network).__name__}: {name} runs in a thread of its own, where it cannot be followed what is multiplied; "
            "call it in the thread of the forward"
        )


def _alike(x: Tensor, y: Tensor) -> bool:
    """Equal up to what another order of sums does."""
    return x.shape == y.shape and bool((x - y).abs().max() <= 1e-2 * y.abs().max())


class _Watcher(TorchFunctionMode):
    """Records layers by hooks and products by the calls of torch's functions, with the module that makes them."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace
        self.running: list[tuple[str, nn.Module]] = []
        self.products: list[int] = []
        self.thread = threading.get_ident()
        self.threaded: list[str] = []  # modules that ran in another

    def entering(self, name: str):
        def enter(module: nn.Module, inputs: tuple) -> None:
            if threading.get_ident() != self.thread:
                self.threaded.append(name)
                return
            if isinstance(module, nn.MultiheadAttention):
                raise NetworkError(
                    f"{name} is an nn.MultiheadAttention, whose products cannot be reached; write its attention with "
                    "nn.Linear and F.scaled_dot_product_attention"
                )
            self.running.append((name, module))
            self.products.append(0)

        return enter

    def leaving(self, name: str):
        def leave(module: nn.Module, inputs: tuple, named: dict, output: object) -> None:
            if threading.get_ident() != self.thread:
                return
            self.running.pop()
            self.products.pop()
            if not isinstance(output, Tensor):
                return
            self.trace.tensor_modules.add(name)
            shape, x = tuple(output.shape), inputs[0] if inputs else named.get("input")
            if not isinstance(x, Tensor):
                return
            if isinstance(module, nn.Conv2d):
                self.trace.calls.append(Call(name, "convolution", tuple(x.shape[-2:]), shape, inputs=(x,)))
            elif isinstance(module, nn.Linear):
                self.trace.calls.append(Call(name, "linear", (x[..., 0].numel(), 1), shape, inputs=(x,)))

        return leave

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func is torch.pixel_shuffle:
            shape = tuple((args[0] if args else kwargs["input"]).shape)
            source = next((call for call in reversed(self.trace.calls) if call.output_shape == shape), None)
            if source is not None and tuple(output.shape) != shape:
                source.shuffled = True
        elif self.running and (product := as_product(func, args, kwargs)) is not None:
            kind = "attention" if isinstance(product, Attention) else "product"
            name = product_name(*self.running[-1], kind, self.products[-1])
            self.products[-1] += 1
            self.trace.calls.append(Call(name, kind, (0, 0), tuple(output.shape), inputs=product.operands))
        return output


def product_name(owner: str, module: nn.Module, kind: str, index: int) -> str:
    """Return the name of what the forward of a module multiplies.

    It is that of the module, with the kind and the place among the products of that forward, from 0, such as
    ``attn.product0``; what the module itself calls so has precedence, then it ends in ``_``.

    Args:
        owner: dotted name of ``module``, empty for the network itself.
    """
    name = f"{kind}{index}"
    while hasattr(module, name):
        name += "_"
    return f"{owner}.{name}" if owner else name


def split_product_name(name: str) -> tuple[str, str, int] | None:
    """Return the owner, kind and number of what :func:`product_name` named; None for any other name."""
    match = re.fullmatch(r"(?:(.+)\.)?(product|attention)(\d+)_*", name)
    return (match[1] or "", match[2], int(match[3])) if match else None


def _kind(output: object) -> str:
    return f"a {output.dim()}-dimensional tensor" if isinstance(output, Tensor) else f"a {type(output).__name__}"
