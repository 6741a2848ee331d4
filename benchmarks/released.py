"""The released algorithm, step by step in plain torch: what `benchmarks.quantizing` compares with.

It follows the released code's operations, not its text: fake quantization as a chain of operations with a gradient through
each, statistics by ``torch.min``, ``torch.max`` and ``torch.std`` on one batch of 16, loops over all candidates, the
full-precision network computed anew in each step, tensors as (N, C, H, W) in memory, nothing kept between steps.
"""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adabm.networks import describe
from adabm.quantization.bit_rule import Policy, policy_of
from adabm.quantization.complexity import image_complexity

_RATES = {"weight": 0.01, "activation": 0.01, "mapping": 0.01}
_IMAGE_RATE = 0.1


class _Round(torch.autograd.Function):
    """Rounding of gradient 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


def quantize(x: Tensor, lower: Tensor, upper: Tensor, bits: Tensor | float) -> Tensor:
    """Round ``x`` to the levels of [lower, upper], operation by operation."""
    scaled = (torch.clamp(x, min=lower, max=upper) - lower) / (upper - lower)
    codes = _Round.apply(scaled * (2**bits - 1))
    return codes / (2**bits - 1) * (upper - lower) + lower


def squared_error(x: Tensor, lower: Tensor, upper: Tensor, bits: Tensor | float) -> Tensor:
    """Mean squared error of quantizing ``x``."""
    return (x - quantize(x, lower, upper, bits)).abs().pow(2.0).mean()


@dataclass
class _Pass:
    """What a pass shares with its layers."""

    doing: str = "full precision"  # or "calibrating", "clipping", "quantizing"
    image_factor: Tensor | None = None
    bits: list[Tensor] = field(default_factory=list)


class _Layer(nn.Module):
    """One convolution."""

    def __init__(self, layer: nn.Conv2d, policy: Policy, bits: tuple[int, int], shared: _Pass) -> None:
        super().__init__()
        self.layer, self.shared, self.adaptive = layer, shared, policy is Policy.ADAPTIVE
        self.fixed = policy is Policy.FIXED
        self.base_bits = bits  # weights, activations
        self.weight_bits, self.activation_bits = (8, 8) if self.fixed else bits
        self.lower, self.upper, self.scale, self.factor = (nn.Parameter(torch.zeros(1)) for _ in range(4))
        self.deviations: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.shared.doing == "full precision":
            return self.layer(x)
        if self.shared.doing == "calibrating":
            self._calibrate(x)
            return self.layer(x)
        hard = torch.round(torch.clamp(self.factor, min=-1.0, max=1.0)).detach()
        if self.shared.doing == "clipping" and not self.fixed:
            self._clip(x, self.activation_bits + hard if self.adaptive else self.activation_bits)
        bits: Tensor | float = float(self.activation_bits)
        if self.adaptive:
            soft = torch.tanh(self.factor)
            bits = bits + self.shared.image_factor + (soft - soft.detach() + hard)
        if not self.fixed:
            self.shared.bits.append(bits.flatten())
        weight = quantize(self.layer.weight, -self.scale, self.scale, self.weight_bits)
        return F.conv2d(quantize(x, self.lower, self.upper, bits), weight, self.layer.bias, padding=self.layer.padding)

    def _calibrate(self, x: Tensor) -> None:
        self.lower.copy_(torch.min(x))
        self.upper.copy_(torch.max(x))
        weight, bits = self.layer.weight, self.base_bits[0]
        scales = [weight.max() * (1.0 - i * 0.01) for i in range(50)]
        errors = [squared_error(weight, -scale, scale, bits) for scale in scales]
        self.scale.copy_(scales[int(torch.stack(errors).argmin())])
        if self.adaptive:
            self.deviations.append(torch.mean(torch.std(x, dim=(1, 2, 3))))

    def _clip(self, x: Tensor, bits: Tensor | float) -> None:
        best, least = (self.lower, self.upper), torch.inf
        for i in range(100):
            ends = self.lower * (1.0 - i * 0.01), self.upper * (1.0 - i * 0.01)
            error = squared_error(x, *ends, bits)
            if error < least:
                best, least = ends, error
        self.lower.copy_((self.lower + best[0]) / 2)
        self.upper.copy_((self.upper + best[1]) / 2)


class Released:
    """A network of convolutions, fully quantized.

    Args:
        network: full-precision network; it is copied.
        weight_bits, activation_bits: of the layers that adapt; the others have 8.
    """

    def __init__(self, network: nn.Module, weight_bits: int = 4, activation_bits: int = 4) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.descriptor = describe(self.network)
        self.activation_bits = activation_bits
        self.shared = _Pass()
        self.layers: dict[str, _Layer] = {}
        for name, role in self.descriptor.roles.items():
            policy = policy_of(role, True)
            parent, _, child = name.rpartition(".")
            layer = _Layer(
                self.network.get_submodule(name), policy, (weight_bits, activation_bits), self.shared
            ).requires_grad_(False)
            setattr(self.network.get_submodule(parent), child, layer)
            self.layers[name] = layer
        self.thresholds = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
        self._optimizers: dict[str, torch.optim.Adam] = {}

    def run(self, images: Tensor, doing: str) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the upscaled pictures, the outputs of the blocks, and the bits of the layers that are counted."""
        features: list[Tensor] = []
        hooks = [
            self.network.get_submodule(name).register_forward_hook(lambda _m, _i, out: features.append(out))
            for name in self.descriptor.blocks
        ]
        self.shared.doing, self.shared.bits = doing, []
        if doing in ("quantizing", "clipping"):
            complexity = image_complexity(images, self.descriptor.value_range)
            lower, upper = self.thresholds
            hard = (complexity > upper).float() - (complexity < lower).float()
            soft = torch.tanh((complexity - (upper + lower) / 2) * 2 / (upper - lower))
            self.shared.image_factor = (soft - soft.detach() + hard).view(-1, 1, 1, 1)
        try:
            return self.network(images), features, self.shared.bits
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Set ranges, factors and thresholds from one batch."""
        for layer in self.layers.values():
            layer.deviations.clear()
        complexity = image_complexity(images, self.descriptor.value_range)
        self.run(images, "calibrating")
        for threshold, share in zip(self.thresholds, (0.1, 0.9)):
            threshold.copy_(torch.quantile(complexity, share))
        adaptive = [layer for layer in self.layers.values() if layer.adaptive]
        deviations = torch.stack([torch.stack(layer.deviations).mean() for layer in adaptive])
        low, high = torch.quantile(deviations, torch.tensor([0.3, 0.7]))
        for layer, deviation in zip(adaptive, deviations):
            layer.factor.fill_(float(deviation > high) - float(deviation < low))

    @torch.no_grad()
    def clip(self, images: Tensor) -> None:
        """Clip ranges on the first batch of fine-tuning."""
        self.run(images, "clipping")

    def step(self, group: str, images: Tensor) -> float:
        """Take one step of fine-tuning of a group, ``weight``, ``activation`` or ``mapping``; return the loss."""
        groups = {name: self._parameters(name) for name in _RATES}
        for name, parameters in groups.items():
            for parameter in parameters:
                parameter.requires_grad_(name == group)
        if group not in self._optimizers:
            self._optimizers[group] = torch.optim.Adam(
                [{"params": [p], "lr": self._rate(group, p)} for p in groups[group]], betas=(0.9, 0.999), eps=1e-8
            )
        optimizer = self._optimizers[group]
        optimizer.zero_grad()
        with torch.no_grad():
            target, target_features, _ = self.run(images, "full precision")
        output, features, bits = self.run(images, "quantizing")
        loss = (output - target).abs().mean() * (255.0 / self.descriptor.value_range)
        for mine, other in zip(features, target_features):
            distance = torch.norm((mine / mine.norm() - other / other.norm()).flatten(1), p=2, dim=1).mean()
            loss = loss + 10 * distance / len(images) / len(features)
        if group == "mapping":
            average = torch.stack([b.expand(len(images)) for b in bits]).mean()
            loss = loss + 50 * torch.max(average - self.activation_bits, torch.zeros_like(average))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def _parameters(self, group: str) -> list[nn.Parameter]:
        layers = self.layers.values()
        if group == "weight":
            return [layer.scale for layer in layers]
        if group == "activation":
            return [end for layer in layers for end in (layer.lower, layer.upper)]
        return [*(layer.factor for layer in layers if layer.adaptive), *self.thresholds]

    def _rate(self, group: str, parameter: nn.Parameter) -> float:
        return _IMAGE_RATE if any(parameter is threshold for threshold in self.thresholds) else _RATES[group]
