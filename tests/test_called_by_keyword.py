"""Layers that a network calls by the name of their argument, ``conv(input=x)``."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from helpers.cli_files import smooth


class Named(nn.Module):
    """Calls its layers in one way or the other."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.named = 2, named
        self.head, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        features = self.head(x).relu()
        features = features + (self.body(input=features) if self.named else self.body(features))
        return F.interpolate(x, scale_factor=2) + self.tail(features)


@pytest.mark.filterwarnings("ignore:Named is unknown")
@pytest.mark.parametrize(
    ("recipe", "few"),
    [
        ("fast", {"allocate_bits.pixels": 100, "round_weights.pixels": 100}),
        ("bias-correction", {}),
        ("qdrop", {"reconstruct.iterations": 2, "reconstruct.pixels": 200}),
    ],
)
def test_they_give_what_they_give_otherwise(recipe, few):
    found = []
    config = adabm.preset(recipe, few)
    for named in (True, False):
        model = adabm.quantize(Named(named), [smooth(0)], config, patch_size=16)[0]
        found.append(adabm.upscale(model, smooth(1, 24, 60), tile=24).image)
    assert np.array_equal(*found)
