"""Theoretical cost: multiply-accumulates, BitOPs and model size (method section 7).

These are counts, not measurements: no processor computes at 5 bits, and simulated quantization is
slower than full precision. They never share a column with measured time.
"""

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ..full_precision import FULL_PRECISION_BITS
from ..pictures.padding import fitting_side
from ..quantization.layers import WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.products import QuantizedProduct


@dataclass(frozen=True)
class Cost:
    """Theoretical cost of one network for one output size.

    Attributes:
        macs: multiply-accumulates of all convolutions, transposed ones included, linear layers and matrix products.
        bitops: sum over these of MACs * b_w * b_a (32 for full precision); of a product, the bits of its two operands.
        relative_bitops: ``bitops`` over those of full precision.
        size_bits: bits of all parameters: b_w for quantized weights, 32 for the rest.
    """

    macs: int
    bitops: float
    relative_bitops: float
    size_bits: int


@torch.no_grad()
def count_macs(model: QuantizedSR, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates for one (height, width) input, filled up to what the network takes, by name.

    Names are those of quantized layers and products, in the order of the network; under ``""`` stands all that is computed
    elsewhere, in full precision. Counted by torch at that size, on tensors without content.
    """
    multiple, minimum = model.descriptor.size_multiple, model.descriptor.minimum_size
    height, width = (fitting_side(side, multiple, minimum) for side in (height, width))
    model = copy.deepcopy(model)  # what a forward keeps, such as masks, would be a tensor without content
    weight = next(model.network.parameters())
    macs: dict[str, int] = {}
    handles = []
    with ExitStack() as stack:
        stack.enter_context(model.full_precision())
        stack.enter_context(model.visiting(lambda layer, x: None))  # attention then computes its products one by one
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        counter = stack.enter_context(FlopCounterMode(display=False))

        def begin(name: str) -> None:
            macs[name] = macs.get(name, 0) - counter.get_total_flops() // 2

        def end(name: str) -> None:
            macs[name] += counter.get_total_flops() // 2

        for name, module in model.network.named_modules():
            if isinstance(module, (WeightedLayer, QuantizedProduct)):
                macs[name] = 0
                handles.append(module.register_forward_pre_hook(lambda _m, _i, name=name: begin(name)))
                handles.append(module.register_forward_hook(lambda _m, _i, _o, name=name: end(name)))
        try:
            size = (1, model.descriptor.channels, height, width)
            model.network(torch.zeros(size, device=weight.device, dtype=weight.dtype))
        finally:
            for handle in handles:
                handle.remove()
        if elsewhere := counter.get_total_flops() // 2 - sum(macs.values()):
            macs[""] = elsewhere
    return macs


def cost(
    model: QuantizedSR, layer_bits: Mapping[str, float] | None = None, output: tuple[int, int] = (720, 1280)
) -> Cost:
    """Return the theoretical cost for an output of (height, width) pixels.

    Args:
        layer_bits: mean activation bits of each quantized layer as used, e.g. from
            :func:`adabm.evaluate`; None or an empty mapping counts the network in full precision.
    """
    scale = model.descriptor.scale
    macs = count_macs(model, output[0] // scale, output[1] // scale)
    full = FULL_PRECISION_BITS**2
    bitops = sum(
        count * (_bit_product(model, name, layer_bits) if layer_bits else full) for name, count in macs.items()
    )
    total = sum(macs.values())
    return Cost(total, float(bitops), bitops / (total * full), size_bits(model, quantized=bool(layer_bits)))


def _bit_product(model: QuantizedSR, name: str, layer_bits: Mapping[str, float]) -> float:
    """Return the bits of one factor times those of the other, of what :func:`count_macs` names."""
    if not name:
        return FULL_PRECISION_BITS**2
    module = model.network.get_submodule(name)
    if isinstance(module, QuantizedProduct):
        return layer_bits[module.left.name] * layer_bits[module.right.name]
    return module.weight_bits * layer_bits[module.name]


def size_bits(model: QuantizedSR, quantized: bool = True) -> int:
    """Bits of the network's parameters; those of the quantizers, a few numbers a layer, count 32 each."""
    total = 0
    seen: set[int] = set()
    for module in model.network.modules():
        own_bits = module.weight_bits if quantized and isinstance(module, WeightedLayer) else FULL_PRECISION_BITS
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.numel() * (own_bits if name == "weight" else FULL_PRECISION_BITS)
    if not quantized:
        extra = sum(p.numel() for layer in model.layers.values() for n, p in layer.named_parameters() if "." in n)
        total -= FULL_PRECISION_BITS * extra
    elif model.image2bit is not None:
        total += FULL_PRECISION_BITS * sum(p.numel() for p in model.image2bit.parameters())
    return total
