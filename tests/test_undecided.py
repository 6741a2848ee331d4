"""Models whose recipe decides how weights are rounded, of which nothing but ranges was set: no file is labelled with that recipe."""

import numpy as np
import pytest
import torch

import adabm
from adabm.errors import CheckpointError
from adabm.recipes import preset
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(2)]
FEW = {"adaround": {"reconstruct.iterations": 2, "reconstruct.pixels": 200}}
STEPS = {"gptq": "round_weights", "adaround": "reconstruct"}


@pytest.mark.parametrize("recipe", ["gptq", "adaround"])
def test_a_model_that_was_calibrated_alone_is_not_written(recipe, tmp_path):
    config, path = preset(recipe, FEW.get(recipe)), tmp_path / "q.safetensors"
    model = adabm.QuantizedSR(tiny("EDSR"), config)
    adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])
    with pytest.raises(
        CheckpointError, match=f"step '{STEPS[recipe]}' of its recipe has not rounded any.*adabm.quantize"
    ):
        adabm.save_quantized(model, path)
    assert not path.exists()
    whole = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=12, patches=2)[0]
    adabm.save_quantized(whole, path)
    assert adabm.load_quantized(path).config.recipe.title.startswith(recipe)


def test_recipes_that_decide_nothing_and_weights_in_full_precision_are_written(tmp_path):
    for name, bits in (("mse", {}), ("minmax", {}), ("gptq", dict(weight_bits=32, fixed_bits=32))):
        model = adabm.QuantizedSR(tiny("EDSR"), preset(name, **bits))
        adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])
        adabm.save_quantized(model, tmp_path / f"{name}.safetensors")
