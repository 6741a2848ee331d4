"""Rounding that is learned: each weight stands between the two codes around it until it is decided."""

import torch
from torch import Tensor, nn

from ..quantization.layers import WeightedLayer

_LOW, _HIGH = -0.1, 1.1  # ends of the stretched sigmoid, which reaches 0 and 1
_LEAST = 1e-4


class SoftRounding(nn.Module):
    """Stands in for the weight quantizer of a layer with weights by channel.

    Source: M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, section 3.3
    (equations 22 to 24).

    Attributes:
        variable: shaped like the weight; at first the weight is not rounded at all.
    """

    def __init__(self, layer: WeightedLayer) -> None:
        super().__init__()
        quantizer, bits = layer.weight_quantizer, layer.weight_bits
        self.domain, self.step = quantizer.domain, quantizer.step.detach()
        values = layer.weight_to_quantize.float() / self.step
        self.floor = values.floor().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 2)
        share = (values - self.floor).clamp(0, 1)
        self.variable = nn.Parameter(torch.logit(((share - _LOW) / (_HIGH - _LOW)).clamp(_LEAST, 1 - _LEAST)))

    def shares(self) -> Tensor:
        """Return how far each weight is towards its upper code, 0 to 1, shaped like the weight."""
        return (torch.sigmoid(self.variable) * (_HIGH - _LOW) + _LOW).clamp(0, 1)

    def undecided(self, beta: float) -> Tensor:
        """Return the mean of 1 - |2 h - 1|^beta over the weights: 0 where all are at a code."""
        return 1 - (2 * self.shares() - 1).abs().pow(beta).mean()

    def codes(self) -> Tensor:
        """Return the nearer codes, shaped like the weight."""
        return self.floor + (self.shares() >= 0.5)

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return the weight as far as it is rounded."""
        values = (self.floor + self.shares()) * self.step
        return values if self.domain is None else self.domain.inverse(values)
