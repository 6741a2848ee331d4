"""Approximations of the gradient of the mappings from complexity and layer to bits, which are steps (paper eq. 5 and 7).

Both mappings are written as steps of one position p: -1 below p = -1/2, +1 above p = 1/2, else 0. The position of an image
is its complexity's, 0 in the middle of the thresholds and 1/2 at the upper one; that of a layer is its factor m.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...quantization.bit_mapping import Image2Bit, Layer2Bit, straight_through
from ...quantization.model import QuantizedSR

_LEVELS = (-1.0, 0.0, 1.0)
_SHARPNESS = (
    4.0  # of the logits of Gumbel-softmax: a layer in the middle of its step is drawn elsewhere in 4 % of passes
)


@dataclass(frozen=True)
class Surrogate:
    """What stands in for the step in the backward pass.

    Attributes:
        image, layer: soft factor at positions; the gradient is its derivative.
        random: the forward pass draws the factor too, by Gumbel-softmax of this temperature; None: it is the step.
    """

    image: Callable[[Tensor], Tensor] | None = None
    layer: Callable[[Tensor], Tensor] | None = None
    random: float | None = None


def _same(soft: Callable[[Tensor], Tensor]) -> Surrogate:
    return Surrogate(soft, soft)


def _sigmoids(temperature: float) -> Surrogate:
    """Two sigmoids in the place of the two steps; the lower the temperature, the nearer to them."""
    return _same(
        lambda p: torch.sigmoid((p - 0.5) / temperature) + torch.sigmoid((p + 0.5) / temperature) - 1,
    )


RELEASED = "tanh (AdaBM)"
SURROGATES: dict[str, Surrogate] = {
    RELEASED: Surrogate(lambda p: torch.tanh(2 * p), torch.tanh),
    "identity": _same(lambda p: p),
    "clipped identity": _same(lambda p: p.clamp(-1, 1)),
    "sigmoids, temperature 0.5": _sigmoids(0.5),
    "sigmoids, temperature 0.2": _sigmoids(0.2),
    "sigmoids, temperature 0.05": _sigmoids(0.05),
    "Gumbel-softmax": Surrogate(random=0.5),
}


def image_position(mapping: Image2Bit, complexity: Tensor) -> Tensor:
    """Return the positions (N,) of complexities (N,), with gradients to both thresholds."""
    return (complexity - (mapping.upper + mapping.lower) / 2) / (mapping.upper - mapping.lower)


@contextmanager
def surrogate(model: QuantizedSR, name: str, seed: int = 0) -> Iterator[None]:
    """Let the mappings of a model have another gradient inside the block, by the name of one of ``SURROGATES``.

    Args:
        seed: of what Gumbel-softmax draws.
    """
    chosen, generator = SURROGATES[name], torch.Generator().manual_seed(seed)

    def image(mapping: Image2Bit, complexity: Tensor) -> Tensor:
        hard = (complexity > mapping.upper).to(complexity) - (complexity < mapping.lower).to(complexity)
        return _factor(chosen, chosen.image, hard, image_position(mapping, complexity), generator)

    def layer(mapping: Layer2Bit) -> Tensor:
        return _factor(chosen, chosen.layer, mapping.hard, mapping.factor, generator)

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, Image2Bit):
                stack.enter_context(_replaced(module, lambda c, module=module: image(module, c)))
            elif isinstance(module, Layer2Bit):
                stack.enter_context(_replaced(module, lambda module=module: layer(module)))
        yield


def _factor(
    chosen: Surrogate, soft: Callable | None, hard: Tensor, position: Tensor, generator: torch.Generator
) -> Tensor:
    if chosen.random is None:
        return straight_through(hard, soft(position))
    levels = position.new_tensor(_LEVELS)
    logits = -_SHARPNESS * (position.unsqueeze(-1) - levels).square()
    noise = -torch.rand(logits.shape, generator=generator).clamp_min(1e-9).log().neg().clamp_min(1e-9).log()
    drawn = logits + noise.to(logits)
    return straight_through(levels[drawn.argmax(-1)], torch.softmax(drawn / chosen.random, -1) @ levels)


@contextmanager
def _replaced(module: nn.Module, forward: Callable) -> Iterator[None]:
    """Let one module compute by another function inside the block; its class stays as it is."""
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
