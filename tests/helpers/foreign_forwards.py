"""Plain functional forwards of the implementations whose weights are imported, and random weights for them.

Written from the published graphs, without this package: every forward takes the weights under the source's names.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
STATISTICS = ("aux:batchnorm{}_moving_mean", "aux:batchnorm{}_moving_var")


class Weights(dict):
    """Named random tensors; convolutions are scaled so that features keep their size."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=self.generator) * scale

    def conv(self, name: str, into: int, out: int, side: int = 3, bias: bool = True, joint: str = ".") -> None:
        self[f"{name}{joint}weight"] = self.normal(out, into, side, side, scale=(into * side * side) ** -0.5)
        if bias:
            self[f"{name}{joint}bias"] = self.normal(out, scale=0.1)


def krasserm_weights(features: int, blocks: int, steps: tuple[int, ...]) -> Weights:
    weights = Weights()
    shapes = [(3, features), *[(features, features)] * (2 * blocks + 1)]
    shapes += [(features, features * r * r) for r in steps] + [(features, 3)]
    for index, (into, out) in enumerate(shapes):
        weights.conv(f"arg:convolution{index}", into, out, joint="_")
    weights |= {"arg:DIV2K_mean": MEAN, "arg:neg_DIV2K_mean": -MEAN}
    return weights


def krasserm_edsr(w: dict[str, Tensor], x: Tensor, blocks: int, steps: tuple[int, ...]) -> Tensor:
    """Pictures in [0, 1]; the depth-to-space of TensorFlow."""
    count = iter(range(1000))

    def conv(x: Tensor) -> Tensor:
        i = next(count)
        return F.conv2d(x, w[f"arg:convolution{i}_weight"], w[f"arg:convolution{i}_bias"], padding=1)

    first = x = conv((x + w["arg:neg_DIV2K_mean"]) * 2)
    for _ in range(blocks):
        x = x + conv(F.relu(conv(x)))
    x = first + conv(x)
    for r in steps:
        x = conv(x)
        n, c, h, width = x.shape
        x = x.view(n, r, r, c // r**2, h, width).permute(0, 3, 4, 1, 5, 2).reshape(n, c // r**2, h * r, width * r)
    return conv(x) * 0.5 + w["arg:DIV2K_mean"]


def tutorial_weights(features: int, blocks: int, steps: int) -> Weights:
    weights = Weights()
    weights.conv("arg:convolution0", 3, features, 9, joint="_")
    for i in range(1, 2 * blocks + 2):
        weights.conv(f"arg:convolution{i}", features, features, bias=False, joint="_")
        weights[f"arg:batchnorm{i - 1}_gamma"] = weights.normal(features)
        weights[f"arg:batchnorm{i - 1}_beta"] = weights.normal(features, scale=0.1)
        weights[f"aux:batchnorm{i - 1}_moving_mean"] = weights.normal(features, scale=0.3)
        weights[f"aux:batchnorm{i - 1}_moving_var"] = weights.normal(features).square() + 0.1
    for i in range(steps):
        weights.conv(f"arg:convolution{2 * blocks + 2 + i}", features, 4 * features, joint="_")
    weights.conv(f"arg:convolution{2 * blocks + 2 + steps}", features, 3, 9, joint="_")
    for i in range(blocks + 1 + steps):
        weights[f"arg:leakyrelu{i}_weight"] = weights.normal(features, scale=0.5)
    return weights


def tutorial_srresnet(w: dict[str, Tensor], x: Tensor, blocks: int, steps: int) -> Tensor:
    """Pictures in [0, 1]."""

    def conv(i: int, x: Tensor) -> Tensor:
        weight = w[f"arg:convolution{i}_weight"]
        return F.conv2d(x, weight, w.get(f"arg:convolution{i}_bias"), padding=weight.shape[-1] // 2)

    def slope(i: int, x: Tensor) -> Tensor:
        return x.clamp(min=0) + w[f"arg:leakyrelu{i}_weight"].view(1, -1, 1, 1) * x.clamp(max=0)

    def norm(i: int, x: Tensor) -> Tensor:
        gamma, beta, mean, variance = (
            w[name.format(i)].view(1, -1, 1, 1)
            for name in ("arg:batchnorm{}_gamma", "arg:batchnorm{}_beta", *STATISTICS)
        )
        return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta

    first = x = slope(0, conv(0, x))
    for i in range(blocks):
        inner = slope(i + 1, norm(2 * i, conv(2 * i + 1, x)))
        x = x + norm(2 * i + 1, conv(2 * i + 2, inner))
    x = norm(2 * blocks, conv(2 * blocks + 1, x)) + first
    for i in range(steps):
        x = conv(2 * blocks + 2 + i, x)
        n, c, h, width = x.shape
        x = x.view(n, c // 4, 2, 2, h, width).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * width)
        x = slope(blocks + 1 + i, x)
    return (conv(2 * blocks + 2 + steps, x) + 1) * 0.5


def esrgan_weights(features: int, blocks: int, growth: int) -> Weights:
    weights = Weights()
    weights.conv("conv_first", 3, features)
    for i in range(blocks):
        for j in (1, 2, 3):
            for k in range(5):
                weights.conv(f"RRDB_trunk.{i}.RDB{j}.conv{k + 1}", features + k * growth, growth if k < 4 else features)
    for name in ("trunk_conv", "upconv1", "upconv2", "HRconv"):
        weights.conv(name, features, features)
    weights.conv("conv_last", features, 3)
    return weights


def esrgan_rrdbnet(w: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    """Pictures in [0, 1]."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    first = x = conv("conv_first", x)
    for i in range(blocks):
        outer = x
        for j in (1, 2, 3):
            features = x
            for k in range(1, 5):
                new = F.leaky_relu(conv(f"RRDB_trunk.{i}.RDB{j}.conv{k}", features), 0.2)
                features = torch.cat([features, new], 1)
            x = x + 0.2 * conv(f"RRDB_trunk.{i}.RDB{j}.conv5", features)
        x = outer + 0.2 * x
    x = first + conv("trunk_conv", x)
    for name in ("upconv1", "upconv2"):
        x = F.leaky_relu(conv(name, double(x)), 0.2)
    return conv("conv_last", F.leaky_relu(conv("HRconv", x), 0.2))


def edsr_pytorch_weights(features: int, blocks: int, steps: tuple[int, ...], rgb_range: float = 255) -> Weights:
    weights = Weights()
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        weights[f"{name}.weight"] = torch.eye(3).view(3, 3, 1, 1)
        weights[f"{name}.bias"] = sign * rgb_range * MEAN.flatten()
    weights.conv("head.0", 3, features)
    for i in range(blocks):
        weights.conv(f"body.{i}.body.0", features, features)
        weights.conv(f"body.{i}.body.2", features, features)
    weights.conv(f"body.{blocks}", features, features)
    for i, r in enumerate(steps):
        weights.conv(f"tail.0.{2 * i}", features, features * r * r)
    weights.conv("tail.1", features, 3)
    return weights


def edsr_pytorch(w: dict[str, Tensor], x: Tensor, blocks: int, steps: tuple[int, ...], res_scale: float = 1) -> Tensor:
    """Pictures in [0, rgb_range]."""

    def conv(name: str, x: Tensor) -> Tensor:
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    first = x = conv("head.0", conv("sub_mean", x))
    for i in range(blocks):
        x = x + res_scale * conv(f"body.{i}.body.2", F.relu(conv(f"body.{i}.body.0", x)))
    x = first + conv(f"body.{blocks}", x)
    for i, r in enumerate(steps):
        x = F.pixel_shuffle(conv(f"tail.0.{2 * i}", x), r)
    return conv("add_mean", conv("tail.1", x))
