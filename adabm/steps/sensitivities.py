"""How much rounding the input of each layer moves the network's output, for several bits, in a few backward passes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..quantization.observers import observe_activation

Ranges = dict[int, tuple[Tensor, Tensor]]  # (lower, upper) by bits
_SAMPLE = 1 << 11  # values of one image on which the ranges of a layer are found


def ranges_by_bits(
    model: QuantizedSR, images: Tensor, bits: Sequence[int], observer: str, percentile: float
) -> dict[str, Ranges]:
    """Return the activation ranges of each layer at several bits, found on its full-precision inputs."""
    seen: dict[str, list[Tensor]] = {}
    generator = torch.Generator().manual_seed(0)

    def look(layer: QuantizedLayer, x: Tensor) -> None:
        places = torch.randint(x.numel(), (_SAMPLE,), generator=generator).to(x.device)
        seen.setdefault(layer.name, []).append(torch.cat([x.flatten()[places], x.amin()[None], x.amax()[None]]))

    with torch.no_grad(), model.full_precision(), model.visiting(look):
        for image in images.split(1):
            model.infer(image)
    return {
        name: {b: observe_activation(torch.cat(values), observer, b, percentile) for b in bits}
        for name, values in seen.items()
    }


def projected_errors(
    model: QuantizedSR, images: Tensor, ranges: dict[str, Ranges], directions: int, seed: int
) -> dict[str, dict[int, float]]:
    """Return by layer and bits the mean square of r . J (Q(x) - x): what rounding an input x adds to the output's error.

    J is the derivative of the output with respect to that input alone: where a residual stream goes past the layer, it
    does not count. r are random output vectors of +1 and -1, over which the mean is that of the squared norm.

    Args:
        images: (N, C, H, W), one backward pass and direction each.
        ranges: of the layers that are asked for, by bits.
        directions: random vectors for each image.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = {name: layer for name, layer in model.layers.items() if name in ranges}
    errors = {name: dict.fromkeys(found, 0.0) for name, found in ranges.items()}
    for image in images.split(1):
        with _own_nodes(layers) as nodes, torch.enable_grad(), model.full_precision():
            with model.visiting(lambda layer, x: None):
                output = model.infer(image).image
        rounded = {
            (name, index): _rounding_errors(layers[name], node.detach(), ranges[name])
            for name, own in nodes.items()
            for index, node in enumerate(own)
        }
        flat = [(name, index, node) for name, own in nodes.items() for index, node in enumerate(own)]
        for direction in range(directions):
            signs = torch.randint(0, 2, output.shape, generator=generator).to(output) * 2 - 1
            gradients = torch.autograd.grad(
                output, [node for *_, node in flat], signs, retain_graph=direction < directions - 1, allow_unused=True
            )
            moved: dict[str, dict[int, float]] = {}
            for (name, index, _), gradient in zip(flat, gradients):
                if gradient is None:
                    continue
                sums = moved.setdefault(name, dict.fromkeys(ranges[name], 0.0))
                for bits, error in rounded[name, index].items():
                    sums[bits] += float(torch.dot(gradient.flatten().float(), error.float()))
            for name, sums in moved.items():
                for bits, value in sums.items():
                    errors[name][bits] += value**2 / (directions * len(images))
    return errors


@torch.no_grad()
def _rounding_errors(layer: QuantizedLayer, x: Tensor, ranges: Ranges) -> dict[int, Tensor]:
    """Return Q(x) - x by bits, flat, at half precision; the layer's range is put back."""
    before = layer.activation.lower.clone(), layer.activation.upper.clone()
    found = {}
    for bits, (lower, upper) in ranges.items():
        layer.activation.set_range(lower, upper)
        found[bits] = (layer.activation(x, bits) - x).flatten().bfloat16()
    layer.activation.set_range(*before)
    return found


@contextmanager
def _own_nodes(layers: dict[str, QuantizedLayer]) -> Iterator[dict[str, list[Tensor]]]:
    """Give the inputs of layers nodes of their own in the graph, listed by name in the order of the calls."""
    nodes: dict[str, list[Tensor]] = {name: [] for name in layers}

    def hook(name: str):
        def enter(module: torch.nn.Module, inputs: tuple, named: dict) -> tuple[tuple[Tensor], dict]:
            (x,) = (*inputs, *named.values())
            x = x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
            nodes[name].append(x)
            return (x,), {}

        return enter

    handles = [layer.register_forward_pre_hook(hook(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield nodes
    finally:
        for handle in handles:
            handle.remove()
