"""What a model's quantizers know stays in the type it has where the model is turned into another."""

import copy

import numpy as np
import pytest
import torch

import adabm
from helpers.cli_files import smooth
from helpers.tiny_networks import tiny

IMAGES = [smooth(seed, 24, 24) for seed in range(3)]


@pytest.mark.parametrize("recipe", ["adabm-notune", "mse"])
def test_quantizers_keep_their_numbers(recipe, tmp_path):
    model = adabm.quantize(tiny("EDSR", num_block=1), IMAGES, adabm.preset(recipe), patch_size=16)[0]
    halved = copy.deepcopy(model).half()
    own, kept = model.state_dict(), halved.state_dict()
    numbers = [name for name in own if ".activation." in name or "_quantizer." in name or "2bit" in name]
    assert numbers and all(torch.equal(own[name], kept[name]) for name in numbers)
    assert halved.dtype is torch.float16
    adabm.save_quantized(halved, tmp_path / "half.safetensors")
    again = adabm.load_quantized(tmp_path / "half.safetensors")
    assert again.dtype is torch.float16
    assert all(torch.equal(own[name], again.state_dict()[name]) for name in numbers)
    assert np.array_equal(adabm.upscale(again, IMAGES[0]).image, adabm.upscale(halved, IMAGES[0]).image)


def test_steps_below_the_least_of_half_precision():
    network = tiny("EDSR")
    with torch.no_grad():
        network.body[0].conv1.weight.mul_(1e-3)
    model = adabm.quantize(network, IMAGES, adabm.preset("mse", weight_bits=8), patch_size=16)[0]
    quantizer = model.layers["body.0.conv1"].weight_quantizer
    before = quantizer.step.clone()
    assert before.min() < 6e-5
    assert torch.equal(model.bfloat16().float().layers["body.0.conv1"].weight_quantizer.step, before)
