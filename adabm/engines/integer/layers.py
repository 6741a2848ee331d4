"""A calibrated model's convolutions in integers, layer by layer, for each factor of an image."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ...errors import EngineError
from ...quantization.bit_rule import Policy, bits_without_image
from ...quantization.layers import QuantizedConv2d, QuantizedLayer
from ...quantization.model import QuantizedSR
from .grid import Grid, grid

_FEW_CHANNELS = 4  # of the input, and the layer is so cheap that integers gain nothing
_MOST_BITS = 8
_LARGEST = 127  # in a signed byte
# Processors without VNNI add the products of two weights with unsigned bytes in 16 bits and stop, without a word, at the largest
# number there; two products with weights up to this one always fit.
LARGEST_IN_16_BITS = 64
_PRECISION = 1e-3  # of a step: how far a weight may be from the grid that its quantizer tells


@dataclass(frozen=True)
class IntegerWeight:
    """A weight as ``scale * codes + half``, in signed bytes.

    Attributes:
        codes: (O, I, kh, kw) int8.
        scale: (O,) float64, one an output channel.
        half: (O,) what is added to every weight of an output channel: the odd numbers up to 255 of 8 bits are twice a
            signed byte and one; None where nothing is.
    """

    codes: np.ndarray
    scale: np.ndarray
    half: np.ndarray | None


@dataclass(frozen=True)
class IntegerConv:
    """One quantized convolution at one number of bits.

    Its input x is first taken to ``(x - shift) / stretch`` of each channel, then to the nearest level of ``grid``. On the
    codes the convolution computes ``sum(weight * step * (code - zero)) + bias``; at the border the codes are ``zero``.

    Attributes:
        grid: of the input; None where the layer is computed in floating point, on the same quantized values: one of more than 8
            bits, or of so few channels that integers gain nothing.
        bits: of the input; 32 or more: it is not quantized.
        shift, stretch: (I,) of the map before quantization, or None for none.
        weight: None where ``grid`` is.
        used: (O, I, kh, kw) the quantized weight itself, float32.
        bias: (O,) the layer's own.
        taps: (O, kh, kw) what each tap adds besides, where it lies inside of the picture: the part of ``grid.remainder`` and
            of ``shift``; None for nothing.
        exact_border: whether ``taps`` have to be added tap by tap; else their sum may be added everywhere, as if the
            picture were surrounded by ``grid.remainder``, which is at most half a step of 8 bits. A layer of fewer bits
            makes much of the smallest difference, which the layers behind it then carry through the whole picture.
    """

    name: str
    lower: float
    upper: float
    bits: int
    grid: Grid | None
    shift: np.ndarray | None
    stretch: np.ndarray | None
    weight: IntegerWeight | None
    used: np.ndarray
    bias: np.ndarray
    taps: np.ndarray | None
    exact_border: bool
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]  # top, left, bottom, right
    dilation: tuple[int, int]

    @property
    def inner_bias(self) -> np.ndarray:
        """(O,) what is added inside of the picture."""
        return self.bias if self.taps is None else self.bias + self.taps.sum((1, 2))

    @property
    def may_overflow(self) -> bool:
        """Whether a processor without VNNI may compute other sums than the integers', see ``LARGEST_IN_16_BITS``."""
        return self.weight is not None and bool(np.abs(self.weight.codes.astype(np.int16)).max() > LARGEST_IN_16_BITS)

    def reordered(self, order: np.ndarray) -> "IntegerConv":
        """The same with its output channels in another order."""
        weight = self.weight and IntegerWeight(
            self.weight.codes[order],
            self.weight.scale[order],
            None if self.weight.half is None else self.weight.half[order],
        )
        taps = None if self.taps is None else self.taps[order]
        return replace(self, weight=weight, used=self.used[order], bias=self.bias[order], taps=taps)


def factors(model: QuantizedSR) -> tuple[int, ...]:
    """The factors that an image can have: (-1, 0, 1), or (0,) without a mapping of images."""
    reach = model.image2bit.reach if model.image2bit is not None else 0
    return tuple(range(-reach, reach + 1))


def bits_at(layer: QuantizedLayer, factor: int) -> int:
    """The bits of a layer's input for an image of the given factor."""
    return bits_without_image(layer) + (factor if layer.policy is Policy.ADAPTIVE else 0)


@torch.no_grad()
def integer_layers(model: QuantizedSR, factor: int) -> dict[str, IntegerConv]:
    """Describe all quantized layers of a calibrated model, by name, for images of one factor.

    Raises:
        EngineError: a layer or one of its quantizers is of a kind that has no integers here; named.
    """
    return {name: _described(layer, factor) for name, layer in model.layers.items()}


def _described(layer: QuantizedLayer, factor: int) -> IntegerConv:
    name = layer.name
    if not isinstance(layer, QuantizedConv2d):
        raise EngineError(f"{name}: a {type(layer).__name__}; integer engines compute convolutions alone")
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise EngineError(f"{name}: integer engines take convolutions of one group that are filled up with zeros")
    bits = bits_at(layer, factor)
    lower, upper = (_number(layer, end) for end in ("lower", "upper"))
    shift, stretch = _domain(layer)
    used = layer.weight_quantizer(layer.weight, layer.weight_bits).double()
    on_codes = used if stretch is None else used * stretch.view(1, -1, 1, 1)
    bias = layer.used_bias()
    bias = bias.double() if bias is not None else torch.zeros(len(used), dtype=torch.float64)
    laid_out, weight, taps = None, None, None
    if max(bits, layer.weight_bits) <= _MOST_BITS and layer.in_channels > _FEW_CHANNELS:
        laid_out, weight = grid(lower, upper, bits), _integers(layer, on_codes)
        taps = (on_codes * laid_out.remainder).sum(1)
        if shift is not None:
            taps = taps + (used * shift.view(1, -1, 1, 1)).sum(1)
        taps = taps.numpy() if taps.any() else None
    return IntegerConv(
        name,
        lower,
        upper,
        bits,
        laid_out,
        *(None if part is None else part.numpy() for part in (shift, stretch)),
        weight,
        used.float().numpy(),
        bias.numpy(),
        taps,
        taps is not None and (bits < 8 or shift is not None or not laid_out.near),
        tuple(layer.stride),
        _padding(layer),
        tuple(layer.dilation),
    )


def _number(layer: QuantizedLayer, end: str) -> float:
    value = getattr(layer.activation, end, None)
    several = getattr(layer.activation, "grids", 1) > 1
    if several or not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise EngineError(
            f"{layer.name}: its activation quantizer, a {type(layer.activation).__name__}, has no single range "
            "'lower', 'upper'"
        )
    return value.item()


def _padding(layer: QuantizedConv2d) -> tuple[int, int, int, int]:
    left, right, top, bottom = layer._reversed_padding_repeated_twice
    return top, left, bottom, right


def _domain(layer: QuantizedConv2d) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Shift and stretch of each channel of the map that the activation quantizer works behind."""
    domain = getattr(layer.activation, "domain", None)
    if domain is None:
        return None, None
    probes = torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1).expand(3, layer.in_channels, 1, 1)
    shift, one, three = domain.inverse(probes).double().reshape(3, -1)
    stretch = one - shift
    if not torch.allclose(three, shift + 3 * stretch, rtol=1e-4) or not stretch.all():
        raise EngineError(
            f"{layer.name}: the domain of its activation quantizer, a {type(domain).__name__}, is not a shift and a scale "
            "of each channel"
        )
    return (shift if shift.any() else None), stretch


def _integers(layer: QuantizedConv2d, used: torch.Tensor) -> IntegerWeight:
    """Find the integers of a quantized weight, and their steps."""
    step = _weight_step(layer).view(-1, 1, 1, 1)
    codes = torch.round(used / step)
    if not torch.allclose(codes * step, used, rtol=0, atol=float(step.max()) * _PRECISION):
        raise EngineError(
            f"{layer.name}: its quantized weight is not a multiple of the step that its weight quantizer, a "
            f"{type(layer.weight_quantizer).__name__}, tells for each output channel"
        )
    scale = step.flatten().expand(len(used))
    if -_LARGEST - 1 <= codes.min() and codes.max() <= _LARGEST:
        return IntegerWeight(codes.to(torch.int8).numpy(), scale.numpy(), None)
    halved = (codes - 1) / 2
    if not torch.equal(halved, halved.round()) or halved.abs().max() > _LARGEST + 1:
        raise EngineError(f"{layer.name}: integer weights up to {int(codes.abs().max())} do not fit in a signed byte")
    return IntegerWeight(halved.to(torch.int8).numpy(), 2 * scale.numpy(), scale.numpy())


def _weight_step(layer: QuantizedConv2d) -> torch.Tensor:
    """The step of each output channel, (O,) or (1,) float64: what ``integers`` tells, or of the quantizer's half-width."""
    quantizer: nn.Module = layer.weight_quantizer
    if hasattr(quantizer, "integers"):
        _, step = quantizer.integers(layer.weight, layer.weight_bits)
        return step.detach().double().flatten()
    scale = getattr(quantizer, "scale", None)
    if not isinstance(scale, torch.Tensor) or scale.numel() not in (1, layer.out_channels):
        raise EngineError(
            f"{layer.name}: its weight quantizer, a {type(quantizer).__name__}, tells no integers: it needs a method "
            "integers(weight, bits) -> (codes, step), or a half-width 'scale', one or one an output channel"
        )
    return scale.detach().double().flatten() / (2**layer.weight_bits - 1)
