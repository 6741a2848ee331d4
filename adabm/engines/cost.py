"""Theoretical cost: multiply-accumulates, BitOPs and model size (method section 7).

These are counts, not measurements: no processor computes at 5 bits, and simulated quantization is
slower than full precision. They never share a column with measured time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ..full_precision import FULL_PRECISION_BITS
from ..quantization.layers import QuantizedConv2d
from ..quantization.model import QuantizedSR


@dataclass(frozen=True)
class Cost:
    """Theoretical cost of one network for one output size.

    Attributes:
        macs: multiply-accumulates of all convolutions.
        bitops: sum over convolutions of MACs * b_w * b_a (32 for full precision).
        relative_bitops: ``bitops`` over those of full precision.
        size_bits: bits of all parameters: b_w for quantized weights, 32 for the rest.
    """

    macs: int
    bitops: float
    relative_bitops: float
    size_bits: int


@torch.no_grad()
def count_macs(model: QuantizedSR, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates of each convolution, by name, for one (height, width) input.

    Counted at a small size and scaled by the area of each convolution's output, which is exact for
    fully convolutional networks but for the remainder of uneven sizes.
    """
    probe = 24
    macs: dict[str, int] = {}
    handles = []

    def count(name: str, conv: nn.Conv2d, out: torch.Tensor) -> None:
        per_pixel = conv.weight.numel()
        pooled = out.shape[-2:] == (1, 1)
        area = out[0, 0].numel() * (1 if pooled else height * width / probe**2)
        macs[name] = macs.get(name, 0) + round(per_pixel * area)

    for name, module in model.network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(lambda m, _i, out, name=name: count(name, m, out)))
    try:
        first = next(m for m in model.network.modules() if isinstance(m, nn.Conv2d))
        with model.full_precision():
            size = (1, model.descriptor.channels, probe, probe)
            model.network(torch.zeros(size, device=first.weight.device, dtype=first.weight.dtype))
    finally:
        for handle in handles:
            handle.remove()
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
    layers = model.layers if layer_bits else {}
    bitops = sum(
        count * (layers[name].weight_bits * layer_bits[name] if name in layers else FULL_PRECISION_BITS**2)
        for name, count in macs.items()
    )
    total = sum(macs.values())
    return Cost(
        total, float(bitops), bitops / (total * FULL_PRECISION_BITS**2), size_bits(model, quantized=bool(layer_bits))
    )


def size_bits(model: QuantizedSR, quantized: bool = True) -> int:
    """Bits of the network's parameters; those of the quantizers, a few numbers a layer, count 32 each."""
    total = 0
    seen: set[int] = set()
    for module in model.network.modules():
        own_bits = module.weight_bits if quantized and isinstance(module, QuantizedConv2d) else FULL_PRECISION_BITS
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
