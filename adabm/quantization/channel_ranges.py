"""Activation quantizers whose ranges follow each channel of each picture while it is computed."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from .layers import WeightedLayer
from .quantizers import ActivationQuantizer, fake_quantize
from .tunable import Tunable


class DynamicQuantizer(ActivationQuantizer):
    """What quantizers share that measure their input, channel by channel of each picture, when they see it.

    Attributes:
        grids: how many there are, which engines look at: as many as channels and pictures come, so none takes it.
        of_whole_picture: a value depends on all of its channel, which tiles of a picture do not see.
    """

    grids = math.inf
    of_whole_picture = True

    def __init__(self, layer: WeightedLayer) -> None:
        super().__init__()
        self._context, self._axis = layer.context, layer.channel_axis
        self.domain = getattr(layer.activation, "domain", None)

    def forward(self, x: Tensor, bits: Tensor | float) -> Tensor:
        """Quantize activations (N, C, H, W), or (N*k, ..., C) of a linear layer, to ``bits``; 32 or more: not at all."""
        if not isinstance(bits, Tensor) and bits >= FULL_PRECISION_BITS:
            return x
        values = x if self.domain is None else self.domain(x)
        kind = values.dtype
        half = kind in (torch.float16, torch.bfloat16)  # widths of channels need more precision than these have
        quantized = self._quantized(self.apart(values.float() if half else values), bits)
        quantized = quantized.reshape(values.shape).to(kind)
        return quantized if self.domain is None else self.domain.inverse(quantized)

    def apart(self, x: Tensor) -> Tensor:
        """Return ``x`` with an axis of its own for the pictures and for the channels: (N, C, H, W) or (N, P, C)."""
        return x if self._axis == 1 else x.reshape(self._context.images, -1, x.shape[-1])

    @property
    def places(self) -> tuple[int, ...]:
        """The axes of the places in a picture, of what :meth:`apart` returns."""
        return (-2, -1) if self._axis == 1 else (1,)

    def _quantized(self, x: Tensor, bits: Tensor | float) -> Tensor:
        raise NotImplementedError


class ChannelRangeQuantizer(DynamicQuantizer):
    """A uniform grid on [lower, upper] of what each channel of each picture has between -1 and 1.

    A channel is taken to -1 .. 1 by its own least and greatest value, rounded, and taken back. Until :meth:`normalize` it
    quantizes as :class:`ActivationQuantizer` does.
    """

    def __init__(self, layer: WeightedLayer) -> None:
        super().__init__(layer)
        self.register_buffer("normalizing", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Set a range of values as they are, which ends normalizing."""
        super().set_range(lower, upper)
        self.normalizing.fill_(False)

    @torch.no_grad()
    def normalize(self) -> None:
        """Quantize from now on what is normalized, at first on all of -1 to 1."""
        self.lower.fill_(-1.0)
        self.upper.fill_(1.0)
        self.normalizing.fill_(True)

    def _quantized(self, x: Tensor, bits: Tensor | float) -> Tensor:
        if not self.normalizing:
            return fake_quantize(x, self.lower, self.upper, bits)
        with torch.no_grad():
            least, greatest = x.amin(self.places, True), x.amax(self.places, True)
            half = ((greatest - least) / 2).clamp_min(torch.finfo(x.dtype).tiny)  # of a channel of one value
        return (fake_quantize((x - least) / half - 1, self.lower, self.upper, bits) + 1) * half + least

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, of {'normalized channels' if self.normalizing else 'values'}"


class SubsetQuantizer(DynamicQuantizer):
    """Levels of each channel, chosen from a universal set, for what each channel of each picture has between -1 and 1.

    A channel is divided by its greatest magnitude, where values are below zero behind its mean is taken off.

    Attributes:
        levels: (C, L), ascending; 2^b of them, or the whole set where it has fewer.
    """

    def __init__(self, layer: WeightedLayer, levels: Tensor) -> None:
        super().__init__(layer)
        channels = layer.weight.shape[1] * getattr(layer, "groups", 1)
        self.levels = torch.nn.Parameter(levels.repeat(channels, 1), requires_grad=False)

    def normalized(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :meth:`apart` gave, from -1 to 1, with the scale and the shift of each channel that lead back."""
        shift = x.mean(self.places, True) if self.lower < 0 else torch.zeros((), dtype=x.dtype, device=x.device)
        scale = (x - shift).abs().amax(self.places, True).clamp_min(torch.finfo(x.dtype).tiny)
        return (x - shift) / scale, scale, shift

    def rows(self, x: Tensor) -> Tensor:
        """Return what :meth:`apart` gave as one row of values a channel, (C, n)."""
        return (x.transpose(0, 1).flatten(1) if self._axis == 1 else x.flatten(0, 1).t()).contiguous()

    def tunables(self) -> Iterator[Tunable]:
        """Nothing: levels are chosen."""
        return iter(())

    def _quantized(self, x: Tensor, bits: Tensor | float) -> Tensor:
        with torch.no_grad():
            quantized = torch.cat([self._one(picture) for picture in x.split(1)])
        return x + (quantized - x).detach() if x.requires_grad else quantized

    def _one(self, x: Tensor) -> Tensor:
        values, scale, shift = self.normalized(x)
        levels = self.levels.to(x.dtype)
        rows = self.rows(values)
        nearest = torch.searchsorted(midpoints(levels), rows)
        chosen = levels.gather(1, nearest)
        chosen = chosen.view_as(x[0])[None] if self._axis == 1 else chosen.t()[None]
        return chosen * scale + shift

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.levels.shape[1]} levels a channel"


def midpoints(levels: Tensor) -> Tensor:
    """Return where the nearest level changes: (C, L - 1) of ascending levels (C, L)."""
    return ((levels[:, 1:] + levels[:, :-1]) / 2).contiguous()
