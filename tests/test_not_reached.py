"""Layers with a role that no picture reaches: told while calibrating, and nothing is made up for them in the cost."""

import dataclasses

import numpy as np
import pytest
from torch import nn

import adabm
from adabm.engines.cost import cost
from adabm.errors import NetworkError
from adabm.networks import Role, describe
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)]


class Branching(nn.Module):
    """Larger pictures go through another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.other = tiny("SRVGGNetCompact"), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.network(self.other(x) if x.shape[-1] > 100 else x)


@pytest.mark.filterwarnings("ignore:Branching is unknown")
@pytest.mark.parametrize("recipe", ["minmax", "adabm-notune"])
def test_a_layer_that_no_patch_reached_is_told(recipe):
    network = Branching()
    descriptor = describe(network)
    assert descriptor.roles["other"] is Role.SKIP
    descriptor = dataclasses.replace(descriptor, roles={**descriptor.roles, "other": Role.BODY})
    config = adabm.preset(recipe, weight_bits=4, activation_bits=4)
    with pytest.warns(
        UserWarning, match="no calibration patch reached the layer 'other', whose range nothing was measured for"
    ):
        model, _, _ = adabm.quantize(network, IMAGES, config, descriptor, patch_size=12)
    used = {name: float(layer.activation_bits) for name, layer in model.layers.items() if name != "other"}
    assert cost(model, used, output=(160, 160)).relative_bitops < 0.1, "nothing is multiplied there"
    with pytest.raises(NetworkError, match="other: multiplies at the size for which the cost is counted, but in none"):
        cost(model, used, output=(320, 320))
