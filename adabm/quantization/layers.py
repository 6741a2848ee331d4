"""A convolution with quantized activations and weights, put in the place of the original."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .bit_mapping import Layer2Bit
from .bit_rule import Policy, bits_for
from .quantizers import ActivationQuantizer, WeightQuantizer


@dataclass
class BitContext:
    """What a forward pass shares with its layers, so that no network has to pass it through.

    Attributes:
        quantizing: False runs the full-precision network.
        image_factor: (N, 1, 1, 1) factors of the images in the pass, or None.
        visitor: called with (layer, input as its quantizer sees it) before a layer computes; calibration and clipping.
        bits: activation bits used by each layer in the pass, (N,) or (1,), by layer name.
    """

    quantizing: bool = True
    image_factor: Tensor | None = None
    visitor: Callable[["QuantizedConv2d", Tensor], None] | None = None
    bits: dict[str, Tensor] = field(default_factory=dict)


class QuantizedConv2d(nn.Conv2d):
    """Fake-quantized convolution that shares weight and bias with the convolution it replaces.

    Parameter names of the network stay as they were; those of the quantizers are added. ``activation``, a module called
    with (features, bits), and ``weight_quantizer``, called with (weight, bits), may be exchanged by a step for others.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        name: str,
        policy: Policy,
        activation_bits: int,
        weight_bits: int,
        context: BitContext,
    ) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            conv.bias is not None,
            conv.padding_mode,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.name, self.policy, self.context = name, policy, context
        self.activation_bits, self.weight_bits = activation_bits, weight_bits
        self.activation = ActivationQuantizer().to(conv.weight.device)
        self.weight_quantizer = WeightQuantizer().to(conv.weight.device)
        self.layer2bit: Layer2Bit | None = None  # a step that maps bits to layers puts it there

    def bits(self) -> Tensor | float:
        """Return the activation bits of this pass: a number, or a (N, 1, 1, 1) or (1, 1, 1, 1) tensor."""
        return bits_for(self, self.context.image_factor)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) features, quantized if the context says so."""
        if self.context.visitor is not None:
            self.context.visitor(self, _in_domain(self.activation, x))
        if not self.context.quantizing:
            return self._conv_forward(x, self.weight, self.bias)
        bits = self.bits()
        self.context.bits[self.name] = (
            bits.flatten() if isinstance(bits, Tensor) else torch.full((1,), float(bits), device=x.device)
        )
        weight = self.weight_quantizer(self.weight, self.weight_bits).to(x.dtype)
        return self._conv_forward(self.activation(x, bits), weight, self.bias)

    @property
    def weight_to_quantize(self) -> Tensor:
        """The weight as its quantizer sees it."""
        return _in_domain(self.weight_quantizer, self.weight)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.policy.value}, W{self.weight_bits}A{self.activation_bits}"


def _in_domain(quantizer: nn.Module, x: Tensor) -> Tensor:
    domain = getattr(quantizer, "domain", None)
    return x if domain is None else domain(x)
