"""A descriptor by hand names every layer that multiplies: what it left out would stay in full precision without a word."""

from dataclasses import replace

import pytest
import torch
from test_networks import tiny

import adabm
from adabm.errors import NetworkError
from adabm.networks import NetworkDescriptor, Role, fold_reparameterized
from adabm.quantization.model import QuantizedSR

PICTURE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def without(network, *names: str) -> NetworkDescriptor:
    described = adabm.describe(network)
    return replace(described, roles={name: role for name, role in described.roles.items() if name not in names})


def test_layers_that_a_descriptor_leaves_out_are_refused():
    network, config = tiny("EDSR"), adabm.preset("minmax")
    with pytest.raises(NetworkError, match="EDSR does not name the layer 'body.0.conv1' and 1 more; give each a role"):
        QuantizedSR(network, config, without(network, "conv_last", "body.0.conv1"))
    with pytest.raises(
        NetworkError, match="does not name the layer 'conv_last'; give each a role.*'skip'.*unquantized"
    ):
        QuantizedSR(network, config, without(network, "conv_last"))


def test_layers_that_a_descriptor_says_to_leave_are_left():
    network, config = tiny("EDSR"), adabm.preset("minmax", fully_quantized=True)
    described = adabm.describe(network)
    skipping = replace(described, roles={**described.roles, "conv_last": Role.SKIP})
    listing = replace(without(network, "conv_last"), unquantized={"conv_last": "Conv2d"})
    for descriptor in (skipping, listing):
        model = QuantizedSR(network, config, descriptor)
        assert model.layers.keys() == QuantizedSR(network, config).layers.keys() - {"conv_last"}
        assert "conv_last" in descriptor.summary()


@pytest.mark.parametrize("name", ["EDSR", "ECBSR"])  # the convolutions of the second are there once it is folded
def test_checkpoints_of_descriptors_that_left_layers_out_tell_them(tmp_path, monkeypatch, name):
    network, folded = tiny(name), fold_reparameterized(tiny(name))
    left = next(layer for layer, role in adabm.describe(folded).roles.items() if role is Role.BODY)
    with monkeypatch.context() as earlier:
        earlier.setattr("adabm.quantization.model.left_out", lambda network, descriptor: {})
        model = QuantizedSR(network, adabm.preset("minmax"), without(folded, left))
        adabm.calibrate(model, [PICTURE])
        adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors")
    assert left not in again.layers and again.descriptor.unquantized == {left: "Conv2d"}
    with torch.no_grad():
        assert torch.equal(again(PICTURE), model(PICTURE))
