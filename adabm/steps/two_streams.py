"""One pass of two streams, the full-precision and the quantized one, in a single batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from .skips import Skip, SkipErrors, SkipTrace

# f(layer, full-precision input, quantized input, full-precision output, skips added behind): makes the layer ready
Solver = Callable[[QuantizedLayer, Tensor, Tensor, Tensor, list[Tensor]], None]


@torch.no_grad()
def run_two_streams(model: QuantizedSR, images: Tensor, solve: Solver, repair: bool = True) -> None:
    """Run ``images`` through the network in full precision and quantized, side by side, and let each layer be solved.

    A layer is solved when its turn comes, once, when all layers before it are; then its quantized stream goes through it.

    Args:
        images: (N, C, H, W) in the network's value range.
        solve: told the full-precision output (N, ...) of a layer and, of each tensor that is added to it later, how far
            the quantized stream is off there, in units of the output.
        repair: whether it is told that.
    """
    skips, calls = _traced(model, images[:1]) if repair else ({}, {})
    skips = {name: found for name, found in skips.items() if calls[name] == 1}
    errors = SkipErrors(skip for found in skips.values() for skip in found)
    solved: set[str] = set()

    def forward(layer: QuantizedLayer, input: Tensor) -> Tensor:
        with errors.paused():
            context = model.context
            full, rounded = input.chunk(2)
            before = context.images, context.quantizing, context.visitor
            try:
                context.images, context.quantizing, context.visitor = len(images), False, None
                target = type(layer).forward(layer, full)
                context.quantizing = True
                if layer.name not in solved:
                    found = [errors.of(skip) for skip in skips.get(layer.name, ())]
                    # networks whose operations depend on the number of images are not followed
                    found = [error for error in found if error is not None and error.shape == target.shape]
                    solve(layer, full, rounded, target, found)
                    solved.add(layer.name)
                output = torch.cat([target, type(layer).forward(layer, rounded)])
            finally:
                context.images, context.quantizing, context.visitor = before
            errors.layer(output)
        return output

    with _forwards(model, forward), errors:
        model.infer(torch.cat([images, images]))


def _traced(model: QuantizedSR, images: Tensor) -> tuple[dict[str, list[Skip]], dict[str, int]]:
    """Return what is added to the output of each layer, and how often each is called, from a pass over one image."""
    trace = SkipTrace()
    places: dict[str, int] = {}
    calls: dict[str, int] = {}

    def forward(layer: QuantizedLayer, input: Tensor) -> Tensor:
        with trace.paused():
            output = type(layer).forward(layer, input)
            output = torch.cat(output.chunk(2))  # laid out as with two streams, so that the same operations follow
            places[layer.name] = trace.layer(output)
        calls[layer.name] = calls.get(layer.name, 0) + 1
        return output

    with _forwards(model, forward), trace:
        model.infer(torch.cat([images, images]))
    return {name: trace.skips(place) for name, place in places.items()}, calls


@contextmanager
def _forwards(model: QuantizedSR, forward: Callable[[QuantizedLayer, Tensor], Tensor]) -> Iterator[None]:
    """Let ``forward(layer, x)`` compute the quantized layers, in full precision by default."""
    layers: list[nn.Module] = list(model.layers.values())
    for layer in layers:
        layer.forward = partial(forward, layer)
    try:
        # somebody who looks on, so that attention computes its products one by one
        with model.full_precision(), model.visiting(lambda layer, x: None):
            yield
    finally:
        for layer in layers:
            del layer.forward
