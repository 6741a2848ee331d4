"""Weights on two's complement grids, one of each output channel, rounded to the nearest code or as a step decided."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..full_precision import FULL_PRECISION_BITS
from ..own_functions import a_step_a_channel
from ..support.registry import Registry
from .bit_mapping import straight_through
from .own_numbers import OwnNumbers
from .quantizers import Domain
from .tunable import ROUNDING, Tunable

# f(weight (O, K), bits) -> (O, 1): the step of each output channel's grid
CHANNEL_OBSERVERS = Registry(
    "observer of weights by channel", a_step_a_channel, "a finite step above 0 a channel, (O, 1)"
)
_CANDIDATES, _SHRINK = 40, 0.02
_LEAST_STEP = 1e-4  # of the layer's mean step; fine-tuning never makes one smaller


class ChannelWeightQuantizer(OwnNumbers):
    """Codes -2^(b-1) to 2^(b-1) - 1, zero among them, times a step of each output channel.

    Rounding that was decided once (:meth:`decide`) is kept as the values of the codes, with the bias that belongs to it;
    until then the layer's weight is rounded to the nearest code and its own bias holds.

    Attributes:
        domain: where weights are quantized, see :class:`adabm.quantization.quantizers.WeightQuantizer`.
        step: (O, 1, ...), the distance of two codes.
        latent: shaped like the weight, in units of the step; whole numbers behind :meth:`decide`. None: never decided.
        bias: (O,), in place of the layer's.
    """

    def __init__(self, weight: Tensor, domain: Domain | None = None) -> None:
        super().__init__()
        self.domain = domain
        self.step = nn.Parameter(weight.new_ones((len(weight), *[1] * (weight.ndim - 1)), dtype=torch.float32))
        self.latent: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None

    def keep_decisions(self, weight: Tensor) -> None:
        """Make room for rounding that a step decides."""
        self.latent = nn.Parameter(torch.zeros_like(weight, dtype=torch.float32), requires_grad=False)
        self.bias = nn.Parameter(weight.new_zeros(len(weight), dtype=torch.float32), requires_grad=False)
        self.register_buffer("decided", torch.zeros((), dtype=torch.bool, device=weight.device))

    @property
    def is_decided(self) -> bool:
        """Whether rounding was decided."""
        return self.latent is not None and bool(self.decided)

    @torch.no_grad()
    def decide(self, codes: Tensor, step: Tensor, bias: Tensor) -> None:
        """Keep codes shaped like the weight (whole numbers), steps (O, 1) and a bias (O,)."""
        self.latent.copy_(codes.view_as(self.latent))
        self.step.copy_(step.view_as(self.step))
        self.bias.copy_(bias)
        self.decided.fill_(True)

    @torch.no_grad()
    def observe(self, weight: Tensor, observer: str, bits: int) -> None:
        """Set the steps for a weight as its quantizer sees it by an observer of ``CHANNEL_OBSERVERS``."""
        if bits < FULL_PRECISION_BITS:
            self.step.copy_(CHANNEL_OBSERVERS[observer](weight.flatten(1).float(), bits).view_as(self.step))

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Quantize a weight (O, C, ...) to ``bits``."""
        if bits >= FULL_PRECISION_BITS:
            return weight
        quantized = self._codes(weight, bits) * self.step
        return quantized if self.domain is None else self.domain.inverse(quantized)

    def integers(self, weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        """Return int32 codes shaped like ``weight`` and the step (O, 1, ...) of each output channel.

        Their product is the quantized weight in its domain: ``domain(forward(weight, bits))``, which is multiplied by
        ``layer.activation.domain.scaled(x)``; without a domain it is the quantized weight.
        """
        return self._codes(weight, bits).to(torch.int32), self.step.detach()

    def tunables(self) -> Iterator[Tunable]:
        """The steps; and, where rounding may be decided, the values of the codes with their bias, a group of their own."""
        yield Tunable(
            "weight", "weight", (self.step,), self.step.mean().item(), relative=True, keep_valid=self._keep_valid
        )
        if self.latent is not None:
            yield Tunable(ROUNDING, "rounding", (self.latent,), lr=0.01)  # of a step
            width = self.bias.abs().mean().item()
            yield Tunable(ROUNDING, "bias", (self.bias,), width, relative=True, lr=0.01)

    def _keep_valid(self, width: float) -> None:
        self.step.clamp_min_(width * _LEAST_STEP)

    def _codes(self, weight: Tensor, bits: int) -> Tensor:
        if self.is_decided:
            values = self.latent
        else:
            values = (weight if self.domain is None else self.domain(weight)).float() / self.step
        return straight_through_codes(values, bits)

    def extra_repr(self) -> str:
        return f"{len(self.step)} channels, {'decided' if self.is_decided else 'nearest'}"


def straight_through_codes(values: Tensor, bits: int) -> Tensor:
    """Round values in units of a step to codes; the gradient is that of clamping."""
    clamped = values.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return straight_through(clamped.round(), clamped) if clamped.requires_grad else clamped.round()


@CHANNEL_OBSERVERS.register("minmax")
def covering_steps(weight: Tensor, bits: int) -> Tensor:
    """The least steps that clip no weight on the positive side, the shorter one."""
    largest = weight.abs().amax(1, keepdim=True)
    return (largest / max(2 ** (bits - 1) - 1, 1)).clamp_min(torch.finfo(weight.dtype).tiny)


@CHANNEL_OBSERVERS.register("mse")
def least_error_steps(weight: Tensor, bits: int) -> Tensor:
    """Of 40 steps shrunk from those of min/max by 2 % each, the ones of least mean squared error."""
    largest = covering_steps(weight, bits)
    best, least = largest, torch.full_like(largest, torch.inf)
    for index in range(_CANDIDATES):
        step = largest * (1 - _SHRINK * index)
        error = (straight_through_codes(weight / step, bits) * step - weight).square().mean(1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best
