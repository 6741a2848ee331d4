"""Image2Bit and Layer2Bit: which bits an image and a layer add to the base (method section 4)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..own_functions import a_factor_a_layer, one_number
from ..support.registry import Registry
from .complexity import COMPLEXITIES
from .memory import in_order
from .own_numbers import OwnNumbers
from .tunable import Tunable, keep_apart

_LEAST_DISTANCE = 0.01  # of the calibrated distance of the thresholds; fine-tuning never brings them closer


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the value of ``hard`` with the gradient of ``soft``."""
    return soft - soft.detach() + hard.detach()


class Image2Bit(OwnNumbers):
    """Map an image's complexity to the factor -1, 0 or +1 by two learnable thresholds (paper eq. 5).

    Args:
        complexity: name of the measure, of :data:`adabm.quantization.complexity.COMPLEXITIES`.
    """

    reach = 1  # bits up and down

    def __init__(self, complexity: str = "gradient") -> None:
        super().__init__()
        self.complexity = complexity
        self.lower = nn.Parameter(torch.tensor([0.0]))
        self.upper = nn.Parameter(torch.tensor([1.0]))

    def forward(self, complexity: Tensor) -> Tensor:
        """Return (N,) factors for (N,) complexities: -1 below ``lower``, +1 above ``upper``, else 0.

        The gradient is that of tanh((c - (upper + lower)/2) * 2/(upper - lower)).
        """
        hard = (complexity > self.upper).to(complexity) - (complexity < self.lower).to(complexity)
        soft = torch.tanh((complexity - (self.upper + self.lower) / 2) * (2 / (self.upper - self.lower)))
        return straight_through(hard, soft)

    def measure(self, images: Tensor, value_range: float) -> Tensor:
        """Return the (N,) complexities of images (N, C, H, W), 0 to ``value_range``, by this mapping's measure."""
        return COMPLEXITIES[self.complexity](images, value_range)

    @torch.no_grad()
    def set_thresholds(self, lower: Tensor, upper: Tensor) -> None:
        """Set the thresholds; equal ones (a single calibration image) are moved apart by a hair."""
        self.lower.copy_(lower)
        self.upper.copy_(torch.maximum(upper, lower + 1e-3))

    def tunables(self) -> Iterator[Tunable]:
        """(c_l, c_u), which must not cross."""
        width = (self.upper - self.lower).item()
        yield Tunable("mapping", "image", (self.lower, self.upper), width, keep_valid=self._keep_valid)

    def _keep_valid(self, width: float) -> None:
        keep_apart(self.lower, self.upper, width * _LEAST_DISTANCE)

    def extra_repr(self) -> str:
        return f"lower={self.lower.item():.4g}, upper={self.upper.item():.4g}"


class Layer2Bit(OwnNumbers):
    """Hold a layer's learnable factor m and round it to -1, 0 or +1 (paper eq. 7)."""

    reach = 1  # bits up and down

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.0]))

    @property
    def hard(self) -> Tensor:
        """round(clamp(m, -1, 1)), without gradient."""
        return self.factor.detach().clamp(-self.reach, self.reach).round()

    def forward(self) -> Tensor:
        """Return the (1,) hard factor with the gradient of tanh(m)."""
        return straight_through(self.hard, torch.tanh(self.factor))

    def tunables(self) -> Iterator[Tunable]:
        """m."""
        yield Tunable("mapping", "layer", (self.factor,))

    def extra_repr(self) -> str:
        return f"factor={self.factor.item():.4g}"


# f(layer, x) -> a one-element tensor: how much a layer's input x (N, C, H, W) of one batch asks for bits
SENSITIVITIES = Registry("layer sensitivity", one_number, "a finite tensor of one element")
# f(sensitivities (L,), percentile) -> (L,) factors -1, 0 or +1 that the layers start with
ALLOCATIONS = Registry("bit allocation", a_factor_a_layer, "a factor -1, 0 or 1 a layer")


@SENSITIVITIES.register("deviation")
def deviation(layer: nn.Module, x: Tensor) -> Tensor:
    """The unbiased standard deviation of each image's input over channels and pixels, mean over the images (paper eq. 6)."""
    return in_order(x).flatten(1).std(1).mean()


APART = frozenset({deviation})  # sensitivities that are the mean of those of single images


@ALLOCATIONS.register("percentiles")
def initial_layer_factors(sensitivities: Tensor, percentile: float = 30.0) -> Tensor:
    """Return the initial factors -1, 0, +1 of all layers from their sensitivities (paper eq. 6).

    Args:
        sensitivities: (L,) mean standard deviation of each adaptive layer's input.
        percentile: layers strictly below this percentile get -1, strictly above 100 minus it +1.
    """
    q = torch.tensor([percentile / 100, 1 - percentile / 100], dtype=sensitivities.dtype)
    low, high = torch.quantile(sensitivities, q)
    return (sensitivities > high).to(sensitivities) - (sensitivities < low).to(sensitivities)
