"""Image2Bit and Layer2Bit: which bits an image and a layer add to the base (method section 4)."""

import torch
from torch import Tensor, nn


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the value of ``hard`` with the gradient of ``soft``."""
    return soft - soft.detach() + hard.detach()


class Image2Bit(nn.Module):
    """Map an image's complexity to the factor -1, 0 or +1 by two learnable thresholds (paper eq. 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.tensor([0.0]))
        self.upper = nn.Parameter(torch.tensor([1.0]))

    def forward(self, complexity: Tensor) -> Tensor:
        """Return (N,) factors for (N,) complexities: -1 below ``lower``, +1 above ``upper``, else 0.

        The gradient is that of tanh((c - (upper + lower)/2) * 2/(upper - lower)).
        """
        hard = (complexity > self.upper).to(complexity) - (complexity < self.lower).to(complexity)
        soft = torch.tanh((complexity - (self.upper + self.lower) / 2) * (2 / (self.upper - self.lower)))
        return straight_through(hard, soft)

    @torch.no_grad()
    def set_thresholds(self, lower: Tensor, upper: Tensor) -> None:
        """Set the thresholds; equal ones (a single calibration image) are moved apart by a hair."""
        self.lower.copy_(lower)
        self.upper.copy_(torch.maximum(upper, lower + 1e-3))

    def extra_repr(self) -> str:
        return f"lower={self.lower.item():.4g}, upper={self.upper.item():.4g}"


class Layer2Bit(nn.Module):
    """Hold a layer's learnable factor m and round it to -1, 0 or +1 (paper eq. 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.0]))

    @property
    def hard(self) -> Tensor:
        """round(clamp(m, -1, 1)), without gradient."""
        return self.factor.detach().clamp(-1, 1).round()

    def forward(self) -> Tensor:
        """Return the (1,) hard factor with the gradient of tanh(m)."""
        return straight_through(self.hard, torch.tanh(self.factor))

    def extra_repr(self) -> str:
        return f"factor={self.factor.item():.4g}"


def layer_factors(sensitivities: Tensor, percentile: float = 30.0) -> Tensor:
    """Return the initial factors -1, 0, +1 of all layers from their sensitivities (paper eq. 6).

    Args:
        sensitivities: (L,) mean standard deviation of each adaptive layer's input.
        percentile: layers strictly below this percentile get -1, strictly above 100 minus it +1.
    """
    q = torch.tensor([percentile / 100, 1 - percentile / 100], dtype=sensitivities.dtype)
    low, high = torch.quantile(sensitivities, q)
    return (sensitivities > high).to(sensitivities) - (sensitivities < low).to(sensitivities)
