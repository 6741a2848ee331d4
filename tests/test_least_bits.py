"""No layer gets fewer than 1 bit for any picture: mappings take bits away from what is allocated, which is refused or kept higher."""

import numpy as np
import pytest
import torch

import adabm
from adabm.checkpoints import checkpoint
from adabm.errors import CheckpointError, ConfigError
from adabm.quantization.bit_rule import least_bits
from adabm.recipes import QuantizationConfig, Recipe
from adabm.steps import allocate_bits
from adabm.steps.allocate_bits import AllocateBits
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(4)]


def configuration(bits, **steps):
    recipe = Recipe.from_dict("own", {"calibrate": {}} | steps)
    return QuantizationConfig(activation_bits=bits, weight_bits=bits, recipe=recipe)


def quantized(bits, **steps):
    return adabm.quantize(tiny("EDSR"), IMAGES, configuration(bits, **steps), patch_size=12, patches=4)[0]


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("first", ["map_bits", "allocate_bits"])
def test_allocated_bits_leave_what_mappings_take(bits, first):
    steps = {"allocate_bits": {"pixels": 200, "least": 1}, "map_bits": {}}
    model = quantized(bits, **{first: steps.pop(first)}, **steps)
    assert all(least_bits(layer, model.image2bit) >= 1 for layer in model.layers.values())
    output = model.infer(torch.rand(2, 3, 12, 12))
    assert output.image.isfinite().all() and all(used.min() >= 1 for used in output.layer_bits.values())


def test_candidates_of_the_image_mapping_alone_are_those_without():
    for base in (2, 3, 4, 8):
        assert AllocateBits().candidates(base, 1) == AllocateBits().candidates(base)
    assert AllocateBits().candidates(4, 2) == [3, 4, 5, 6] and AllocateBits(least=1).candidates(3, 1) == [2, 3, 4, 5]


@pytest.mark.parametrize(("mappings", "least"), [({}, 4), ({"layer": None}, 3), ({"image": None, "layer": None}, 2)])
def test_bits_by_gradient_leave_what_mappings_take(mappings, least):
    steps = {"map_bits": mappings, "allocate_by_gradient": {"batches": 1, "weights": False}}
    configuration(least, **steps)
    with pytest.raises(ConfigError, match=f"activation_bits = {least - 1}: must be"):
        configuration(least - 1, **steps)


def test_a_step_that_leaves_a_layer_too_few_bits_is_named(monkeypatch):
    monkeypatch.setattr(AllocateBits, "candidates", lambda self, base, mapped=0: [1, base])
    monkeypatch.setattr(allocate_bits, "allocated", lambda errors, macs, mean: dict.fromkeys(errors, 1))
    with pytest.raises(
        ConfigError, match=r"step 'allocate_bits': after it the layer '.*' has \d bits, .* leave -?\d for some"
    ):
        quantized(3, map_bits={}, allocate_bits={"pixels": 200})


def test_files_with_too_few_bits_are_neither_written_nor_read(tmp_path, monkeypatch):
    model = quantized(3, map_bits={})
    layer = model.layers["body.0.conv1"]
    layer.activation_bits = 1
    path = tmp_path / "q.safetensors"
    told = "some pictures would get -?[0-9] bits at the input of 'body.0.conv1'"
    with pytest.raises(CheckpointError, match=f"is not written, since {told}"):
        adabm.save_quantized(model, path)
    monkeypatch.setattr(checkpoint, "unsound", lambda model, tensors: iter(()))  # as an earlier version wrote it
    adabm.save_quantized(model, path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=told):
        adabm.load_quantized(path)
