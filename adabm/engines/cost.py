"""Theoretical cost: multiply-accumulates, BitOPs and model size (method section 7).

These are counts, not measurements: no processor computes at 5 bits, and simulated quantization is
slower than full precision. They never share a column with measured time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ..errors import NetworkError
from ..full_precision import FULL_PRECISION_BITS
from ..quantization.channel_weights import ChannelWeightQuantizer
from ..quantization.layers import QuantizedLayer, WeightedLayer
from ..quantization.macs import count_macs
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


def cost(
    model: QuantizedSR,
    layer_bits: Mapping[str, float] | None = None,
    output: tuple[int, int] = (720, 1280),
    macs: Mapping[str, int] | None = None,
) -> Cost:
    """Return the theoretical cost for an output of (height, width) pixels.

    Args:
        layer_bits: mean activation bits of each quantized layer as used, e.g. from
            :func:`adabm.evaluate`; None or an empty mapping counts the network in full precision. Layers that do not multiply
            at this output need none.
        macs: of this output, where :func:`macs_for` has counted them, for the same network quantized in the same places.

    Raises:
        NetworkError: a layer multiplies at this output and has no bits, since no picture reached it.
    """
    macs = macs_for(model, output) if macs is None else macs
    full = FULL_PRECISION_BITS**2
    bitops = sum(
        count * (_bit_product(model, name, layer_bits) if layer_bits else full) for name, count in macs.items() if count
    )
    total = sum(macs.values())
    return Cost(total, float(bitops), bitops / (total * full), size_bits(model, quantized=bool(layer_bits)))


def macs_for(model: QuantizedSR, output: tuple[int, int] = (720, 1280)) -> dict[str, int]:
    """Return :func:`count_macs` for an output of (height, width) pixels."""
    scale = model.descriptor.scale
    return count_macs(model, output[0] // scale, output[1] // scale)


def _bit_product(model: QuantizedSR, name: str, layer_bits: Mapping[str, float]) -> float:
    """Return the bits of one factor times those of the other, of what :func:`count_macs` names."""
    if not name:
        return FULL_PRECISION_BITS**2
    module = model.network.get_submodule(name)
    if isinstance(module, QuantizedProduct):
        return _used(layer_bits, module.left.name) * _used(layer_bits, module.right.name)
    return module.weight_bits * _used(layer_bits, module.name)


def _used(layer_bits: Mapping[str, float], name: str) -> float:
    if name not in layer_bits:
        raise NetworkError(
            f"{name}: multiplies at the size for which the cost is counted, but in none of the pictures, so that its bits are not known; "
            "give the bits of a picture that reaches it, such as a larger one"
        )
    return layer_bits[name]


def size_bits(model: QuantizedSR, quantized: bool = True) -> int:
    """Bits of the network's parameters; those of the quantizers, a few numbers a layer, count 32 each.

    Weights and bias of decided rounding stand for the layer's own, which are counted.
    """
    total = 0
    seen: set[int] = set()
    for module in model.network.modules():
        own_bits = module.weight_bits if quantized and isinstance(module, WeightedLayer) else FULL_PRECISION_BITS
        if isinstance(module, WeightedLayer):
            seen.update(id(parameter) for parameter in _replacements(module))
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.numel() * (own_bits if name == "weight" else FULL_PRECISION_BITS)
    if not quantized:
        for layer in model.layers.values():
            replaced = {id(parameter) for parameter in _replacements(layer)}
            extra = sum(p.numel() for n, p in layer.named_parameters() if "." in n and id(p) not in replaced)
            total -= FULL_PRECISION_BITS * extra
    elif model.image2bit is not None:
        total += FULL_PRECISION_BITS * sum(p.numel() for p in model.image2bit.parameters())
    return total


def _replacements(layer: QuantizedLayer) -> list[nn.Parameter]:
    """What a quantizer holds in place of a layer's weight and bias."""
    quantizer = getattr(layer, "weight_quantizer", None)
    if not isinstance(quantizer, ChannelWeightQuantizer) or quantizer.latent is None:
        return []
    return [quantizer.latent] if layer.bias is None else [quantizer.latent, quantizer.bias]
