"""Parts of a network that are reconstructed one after the other, and what goes into them and comes out."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..quantization.bit_rule import Policy
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.model import QuantizedSR


@dataclass(frozen=True)
class Unit:
    """A block or a layer of the network, with the quantized layers in it whose bits are those of the setting."""

    module: nn.Module
    layers: tuple[QuantizedLayer, ...]


@dataclass(frozen=True)
class Sample:
    """A call of a unit for one picture.

    Attributes:
        full, rounded: its positional arguments in full precision, and behind quantized layers.
        named_full, named: its arguments by name, likewise.
        target: its output in full precision.
    """

    full: tuple
    rounded: tuple
    named_full: dict
    named: dict
    target: Tensor


def units(model: QuantizedSR, blocks: bool) -> list[Unit]:
    """Return the blocks of the network, in the order of their first layers, and the layers with weights outside of them.

    Args:
        blocks: False: each layer with weights is one. Layers at fixed bits are in none.
    """
    layers = {name: layer for name, layer in model.layers.items() if layer.policy is not Policy.FIXED}
    found: dict[str, Unit] = {}
    for name, layer in layers.items():
        place = next((block for block in model.descriptor.blocks if blocks and _inside(name, block)), name)
        if place != name:
            inside = tuple(other for own, other in layers.items() if _inside(own, place))
            found.setdefault(place, Unit(model.network.get_submodule(place), inside))
        elif isinstance(layer, WeightedLayer):
            found[name] = Unit(layer, (layer,))
    return list(found.values())


def _inside(name: str, block: str) -> bool:
    return name.startswith(f"{block}.")


@torch.no_grad()
def observe(model: QuantizedSR, unit: Unit, images: Iterable[Tensor]) -> list[Sample]:
    """Return the first call of a unit for each of the images (1, C, H, W); of units that give no tensor, none."""
    samples = []
    for image in images:
        with model.full_precision():
            full = _call(model, unit.module, image)
        rounded = _call(model, unit.module, image)
        if full is None or rounded is None or not isinstance(full.output, Tensor):
            return []
        samples.append(Sample(full.arguments, rounded.arguments, full.named, rounded.named, full.output))
    return samples


class _Reached(Exception):
    """The unit was called: what follows need not be computed."""

    def __init__(self, arguments: tuple, named: dict) -> None:
        super().__init__()
        self.arguments, self.named, self.output = arguments, named, None


def _call(model: QuantizedSR, module: nn.Module, image: Tensor) -> _Reached | None:
    calls: list[_Reached] = []

    def before(_: nn.Module, arguments: tuple, named: dict) -> None:
        calls.append(_Reached(copied(arguments), copied(named)))

    def behind(_: nn.Module, arguments: tuple, output: object) -> None:
        calls[0].output = copied(output)
        raise calls[0]

    hooks = module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(behind)
    try:
        model.infer(image)
    except _Reached as reached:
        return reached
    finally:
        for hook in hooks:
            hook.remove()
    return None


def copied(value: object) -> object:
    """Return tensors of their own in place of those in tuples, lists and dictionaries: operations in place spare them."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, (tuple, list)):
        return type(value)(copied(part) for part in value)
    return {key: copied(part) for key, part in value.items()} if isinstance(value, dict) else value
