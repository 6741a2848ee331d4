"""Layers with quantized activations and weights, put in the place of the originals."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import NetworkError
from ..networks import Role
from .bit_mapping import Layer2Bit
from .bit_rule import Policy, bits_for
from .one_thread import OneThread
from .quantizers import ActivationQuantizer, Scratch, WeightQuantizer


@dataclass
class BitContext:
    """What a forward pass shares with its layers, so that no network has to pass it through.

    Attributes:
        quantizing: False runs the full-precision network.
        images: how many the pass has.
        image_factor: (N, 1, 1, 1) factors of the images in the pass, or None.
        computing: type in which convolutions but the first and last compute; None: as their features come.
        scratch: memory for the quantized input of one convolution after the other, where no gradients are asked for.
        visitor: called with (layer, input as its quantizer sees it) before a layer computes; calibration and clipping.
        bits: activation bits used by each layer in the pass, (N,) or (1,), by layer name.
        threads: lets one thread at a time make a pass, or change how passes are made.
    """

    quantizing: bool = True
    images: int = 1
    image_factor: Tensor | None = None
    computing: torch.dtype | None = None
    scratch: Scratch = field(default_factory=Scratch)
    visitor: Callable[["QuantizedLayer", Tensor], None] | None = None
    bits: dict[str, Tensor] = field(default_factory=dict)
    threads: OneThread = field(default_factory=OneThread)


@dataclass(frozen=True)
class Bits:
    """The bits at which a layer is quantized: how they are chosen, and the base of activations and weights."""

    role: Role
    policy: Policy
    activation: int
    weight: int


class QuantizedLayer:
    """What all layers share whose input is quantized: convolutions, linear layers, operands of a product.

    Names of the network's parameters stay as they were; those of the quantizers are added. ``activation``, a module called
    with (features, bits), and ``weight_quantizer``, called with (weight, bits), may be exchanged by a step for others.

    Attributes:
        weight_bits: None for a layer without weights.
        channel_axis: of the input as visitors see it.
    """

    name: str
    role: Role
    policy: Policy
    context: BitContext
    activation_bits: int
    activation: nn.Module
    layer2bit: Layer2Bit | None
    weight_bits: int | None = None
    channel_axis: int = -1

    def _set_up(self, name: str, bits: Bits, context: BitContext, device: torch.device) -> None:
        self.name, self.role, self.policy, self.context = name, bits.role, bits.policy, context
        self.activation_bits = bits.activation
        self.activation = ActivationQuantizer().to(device)
        self.layer2bit = None  # a step that maps bits to layers puts it there

    def bits(self) -> Tensor | float:
        """Return the activation bits of this pass: a number, or a (N, 1, 1, 1) or (1, 1, 1, 1) tensor."""
        return bits_for(self, self.context.image_factor)

    def _by_image(self, x: Tensor) -> Tensor:
        """Return ``x`` as visitors see it: the first axis is that of the images, the channels are at ``channel_axis``."""
        return x.reshape(self.context.images, -1, x.shape[-1])

    def _quantized(self, x: Tensor) -> Tensor:
        """Show the input to the visitor and quantize it, if the context says so."""
        if len(x) % self.context.images:
            raise NetworkError(
                f"{self.name}: the first axis of its input, {len(x)}, does not hold {self.context.images} images; "
                "give it the role 'skip' in a NetworkDescriptor, or one picture at a time"
            )
        if self.context.visitor is not None:
            self.context.visitor(self, self._by_image(in_domain(self.activation, x)))
        if not self.context.quantizing:
            return x
        bits = self.bits()
        self.context.bits[self.name] = (
            bits.flatten() if isinstance(bits, Tensor) else torch.full((1,), float(bits), device=x.device)
        )
        return self._rounded(x, bits)

    def _rounded(self, x: Tensor, bits: Tensor | float) -> Tensor:
        return self.activation(x, bits)


class WeightedLayer(QuantizedLayer):
    """A layer that has a weight of its own as well."""

    weight: nn.Parameter
    weight_bits: int
    weight_quantizer: nn.Module

    def _share(self, layer: nn.Module, name: str, bits: Bits, context: BitContext) -> None:
        """Take over weight and bias of the layer that this one replaces."""
        self.weight, self.bias = layer.weight, layer.bias
        self._set_up(name, bits, context, layer.weight.device)
        self.weight_bits = bits.weight
        self.weight_quantizer = WeightQuantizer().to(layer.weight.device)

    @property
    def weight_to_quantize(self) -> Tensor:
        """The weight as its quantizer sees it."""
        return in_domain(self.weight_quantizer, self.weight)

    def _used_weight(self, x: Tensor) -> Tensor:
        """Return the weight for an input of the type of ``x``, quantized if the context says so."""
        if not self.context.quantizing:
            return self.weight
        return self.weight_quantizer(self.weight, self.weight_bits).to(x.dtype)

    def used_bias(self) -> Tensor | None:
        """Return the bias (O,): that of decided rounding if the context says so, else the layer's own."""
        if self.context.quantizing and getattr(self.weight_quantizer, "is_decided", False):
            return self.weight_quantizer.bias.to(self.weight.dtype)
        return self.bias

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.policy.value}, W{self.weight_bits}A{self.activation_bits}"


class QuantizedConv2d(WeightedLayer, nn.Conv2d):
    """Fake-quantized convolution that shares weight and bias with the convolution it replaces."""

    channel_axis = 1

    def __init__(self, conv: nn.Conv2d, name: str, bits: Bits, context: BitContext) -> None:
        nn.Conv2d.__init__(
            self,
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
        self._share(conv, name, bits, context)

    def _by_image(self, x: Tensor) -> Tensor:
        return x

    def _rounded(self, x: Tensor, bits: Tensor | float) -> Tensor:
        if torch.is_grad_enabled() or type(self.activation) is not ActivationQuantizer:
            return self.activation(x, bits)
        return self.activation(x, bits, self.context.scratch)  # the convolution alone sees it

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, H, W) features, quantized if the context says so."""
        quantized, weight, bias = self._quantized(input), self._used_weight(input), self.used_bias()
        kind = self.context.computing
        if kind is None or self.role in (Role.FIRST, Role.LAST):
            return self._conv_forward(quantized, weight, bias)
        bias = None if bias is None else bias.to(kind)
        return self._conv_forward(quantized.to(kind), weight.to(kind), bias).to(input.dtype)


class QuantizedLinear(WeightedLayer, nn.Linear):
    """Fake-quantized linear layer that shares weight and bias with the one it replaces."""

    def __init__(self, linear: nn.Linear, name: str, bits: Bits, context: BitContext) -> None:
        nn.Linear.__init__(self, linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self._share(linear, name, bits, context)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N*k, ..., C) features, k entries an image in the order of the images, quantized if the context says so."""
        quantized = self._quantized(input)
        return F.linear(quantized, self._used_weight(input), self.used_bias())


class Operand(QuantizedLayer, nn.Module):
    """One of two tensors that are multiplied; its first axis holds the images in their order, k entries each."""

    def __init__(self, name: str, bits: Bits, context: BitContext, device: torch.device) -> None:
        nn.Module.__init__(self)
        self._set_up(name, bits, context, device)

    def forward(self, x: Tensor) -> Tensor:
        """Return the operand, quantized if the context says so."""
        return self._quantized(x)

    def extra_repr(self) -> str:
        return f"{self.policy.value}, A{self.activation_bits}"


def in_domain(quantizer: nn.Module, x: Tensor) -> Tensor:
    """Return ``x`` as the quantizer sees it, behind the map that it may have."""
    domain = getattr(quantizer, "domain", None)
    return x if domain is None else domain(x)
