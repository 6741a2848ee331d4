"""Networks whose features are tiny, or of half precision: ranges fit what is there, not what single precision near 1 could tell apart."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.quantization.bounds import end_above
from adabm.quantization.quantizers import WeightQuantizer

IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(2)]


class Scaled(nn.Module):
    """A residual branch whose features are ``size`` times as large as usual in between, which its end makes up for."""

    def __init__(self, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.a, self.b = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
        self.last = nn.Conv2d(8, 12, 3, padding=1)
        with torch.no_grad():
            self.a.weight.mul_(size)
            self.a.bias.mul_(size)
            self.b.weight.div_(size)

    def forward(self, x):
        y = self.first(x)
        return F.pixel_shuffle(self.last(y + 5 * self.b(F.relu(self.a(y)))), 2)


def loss(network: nn.Module, recipe: str) -> float:
    """The squared error at eight bits over the output's variance."""
    changes = {"tune.rounds": 0} if recipe == "oaq-sr" else {}
    config = adabm.preset(recipe, changes, weight_bits=8, activation_bits=8)
    model, _, _ = adabm.quantize(network, IMAGES, config, patch_size=12)
    dtype = next(network.parameters()).dtype
    x = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in IMAGES]).to(dtype) / 255
    with torch.no_grad():
        expected = network(x).float()
        return float((model(x).float() - expected).square().mean() / expected.var())


@pytest.mark.filterwarnings("ignore:Scaled is unknown")
@pytest.mark.parametrize("recipe", ["minmax", "mse", "dobi"])
@pytest.mark.parametrize("size", [1e-7, 1e-10])
def test_features_of_any_size_are_quantized_alike(recipe, size):
    assert loss(Scaled(size), recipe) == pytest.approx(loss(Scaled(1.0), recipe), rel=0.2)


@pytest.mark.filterwarnings("ignore:Scaled is unknown")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("recipe", ["dobi", "oaq-sr"])
def test_half_precision_finds_the_ranges_of_single_precision(recipe, dtype):
    assert loss(Scaled(1.0).to(dtype), recipe) < 0.005


@pytest.mark.parametrize(
    "lower, upper, expected",
    [
        (0.0, 1e-9, 1e-9),
        (-2e-20, 1e-20, 1e-20),
        (0.0, 0.0, 1e-6),
        (0.0, 1e-35, 1e-6),
        (5.0, 5.0, 5.000005),
        (1e-8, 1e-8, 1e-6 + 1e-8),
    ],
)
def test_what_counts_as_collapsed(lower, upper, expected):
    assert end_above(torch.tensor([lower]), torch.tensor([upper])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale, expected", [(1e-20, 1e-20), (0.0, 1e-12), (1e-35, 1e-12)])
def test_weights_of_any_size_have_a_range(scale, expected):
    quantizer = WeightQuantizer()
    quantizer.set_scale(torch.tensor([scale]))
    assert quantizer.scale.item() == pytest.approx(expected)
