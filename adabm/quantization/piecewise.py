"""A quantizer of activations in two regions, each with a grid of its own."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .bounds import end_above
from .own_numbers import OwnNumbers
from .quantizers import Domain, fake_quantize
from .tunable import Tunable, keep_apart

_LEAST_SHARE = 0.01  # of the whole range: neither region becomes narrower


class PiecewiseQuantizer(OwnNumbers):
    """2^b levels on the dense region [low, high], and 2^b more on what is left of [least, greatest] below and above it.

    So it tells twice as many codes apart as a uniform quantizer of b bits; no integer engine takes them.

    Attributes:
        domain: where values are quantized, see :class:`adabm.quantization.quantizers.ActivationQuantizer`.
        ends: (2,) least and greatest value.
        dense: (2,) bounds of the dense region, inside of ``ends``.
        grids: how many there are, which engines look at.
    """

    grids = 2

    def __init__(self) -> None:
        super().__init__()
        self.domain: Domain | None = None
        self.ends = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.dense = nn.Parameter(torch.tensor([-0.5, 0.5]))

    def forward(self, x: Tensor, bits: float) -> Tensor:
        """Quantize activations (N, ...) to ``bits``, the same for all images."""
        if self.domain is None:
            return self._rounded(x, bits)
        return self.domain.inverse(self._rounded(self.domain(x), bits))

    def _rounded(self, x: Tensor, bits: float) -> Tensor:
        if x.dtype in (torch.float16, torch.bfloat16):  # the grids themselves need more precision than these have
            return self._rounded(x.float(), bits).to(x.dtype)
        (least, greatest), (low, high) = self.ends.split(1), self.dense.split(1)
        below = low - least
        # the dense region cut out, so that the rest is one range, with one grid
        rest = torch.where(x > high, x - high + below, torch.minimum(x, low) - least)
        rest = fake_quantize(rest, torch.zeros_like(below), below + greatest - high, bits)
        outside = torch.where(x > high, (rest - below).clamp_min(0) + high, torch.minimum(rest, below) + least)
        return torch.where((x >= low) & (x <= high), fake_quantize(x, low, high, bits), outside)

    @torch.no_grad()
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Set the ends, and as the dense region the middle half between them; a collapsed range is widened."""
        upper = end_above(lower, upper)
        self.ends.copy_(torch.cat([lower, upper]))
        quarter = (upper - lower) / 4
        self.dense.copy_(torch.cat([lower + quarter, upper - quarter]))

    @torch.no_grad()
    def set_dense(self, low: Tensor, high: Tensor) -> None:
        """Set the dense region."""
        self.dense.copy_(torch.cat([low, high]))
        self._keep_valid((self.ends[1] - self.ends[0]).item())

    @property
    def lower(self) -> Tensor:
        """(1,) the least value."""
        return self.ends[:1]

    @property
    def upper(self) -> Tensor:
        """(1,) the greatest value."""
        return self.ends[1:]

    def tunables(self) -> Iterator[Tunable]:
        """Ends and bounds, which must stay in order."""
        width = (self.ends[1] - self.ends[0]).item()
        parameters = (self.ends, self.dense)
        yield Tunable("activation", "activation", parameters, width, relative=True, keep_valid=self._keep_valid)

    def _keep_valid(self, width: float) -> None:
        least = width * _LEAST_SHARE
        keep_apart(self.ends[0], self.ends[1], 3 * least)
        (first, last), (low, high) = self.ends, self.dense
        low.copy_(torch.minimum(torch.maximum(low, first), last - 2 * least))
        high.copy_(torch.minimum(torch.maximum(high, low + least), last))
        if (low - first) + (last - high) < least:
            high -= least

    def extra_repr(self) -> str:
        return f"ends={self.ends.tolist()}, dense={self.dense.tolist()}"
