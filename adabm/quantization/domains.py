"""Per-channel domains: exact, invertible maps in whose image values are rounded; integer arithmetic absorbs them."""

import torch
from torch import Tensor, nn

from .layers import QuantizedConv2d, QuantizedLayer, WeightedLayer
from .own_numbers import OwnNumbers


class ChannelAffine(OwnNumbers):
    """Activations x to (x - shift) / scale, with a shift and a scale of each channel.

    The scale belongs into the weights (:class:`InputScaling`), the shift into the bias.

    Args:
        channels: of the layer's input.
        trailing: axes behind that of the channels.
    """

    def __init__(self, channels: int, trailing: int) -> None:
        super().__init__()
        shape = (channels, *[1] * trailing)
        self.shift = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(shape), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map values (N, C, H, W), or (..., C) of a linear layer, to where they are quantized."""
        return (x - self.shift.to(x.dtype)) / self.scale.to(x.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Map quantized values back."""
        return x * self.scale.to(x.dtype) + self.shift.to(x.dtype)

    def scaled(self, x: Tensor) -> Tensor:
        """Divide by the scale alone: what the weights in their domain are multiplied by."""
        return x / self.scale.to(x.dtype)


class InputScaling(OwnNumbers):
    """Weights (O, C/groups, ...) times the scale of the input's channels, so that the product with the input stays.

    Args:
        affine: of the layer's activations, whose scale it shares.
        groups: of the convolution.
    """

    def __init__(self, affine: ChannelAffine, groups: int = 1) -> None:
        super().__init__()
        self.scale, self.groups = affine.scale, groups

    def forward(self, weight: Tensor) -> Tensor:
        """Map a weight to where it is quantized."""
        return weight * self._factors(weight)

    def inverse(self, weight: Tensor) -> Tensor:
        """Map a quantized weight back."""
        return weight / self._factors(weight)

    def _factors(self, weight: Tensor) -> Tensor:
        """(O, C/groups, 1, 1): of each weight, the scale of the channel that it is multiplied by."""
        scale = self.scale.to(weight.dtype).view(self.groups, 1, -1)
        factors = scale.expand(-1, len(weight) // self.groups, -1).flatten(0, 1)
        return factors.view(*factors.shape, *[1] * (weight.ndim - 2))


def channel_affine(layer: QuantizedLayer) -> ChannelAffine | None:
    """Return the affine domain of a layer's activations, or None where it has none."""
    domain = getattr(layer.activation, "domain", None)
    return domain if isinstance(domain, ChannelAffine) else None


def install_channel_affine(layer: WeightedLayer) -> None:
    """Give a layer's quantizers an affine domain that changes nothing yet; one that is there stays."""
    if channel_affine(layer) is not None:
        return
    convolution = isinstance(layer, QuantizedConv2d)
    channels, groups = (layer.in_channels, layer.groups) if convolution else (layer.in_features, 1)
    affine = ChannelAffine(channels, 2 if convolution else 0).to(layer.weight.device)
    layer.activation.domain = affine
    layer.weight_quantizer.domain = InputScaling(affine, groups)
