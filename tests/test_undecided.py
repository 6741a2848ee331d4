"""Models of which adabm.calibrate set ranges alone, though their recipe does more: no file is labelled with that recipe."""

import numpy as np
import pytest
import torch

import adabm
from adabm.errors import CheckpointError, ConfigError
from adabm.recipes import preset
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(2)]
FEW = {
    "adaround": {"reconstruct.iterations": 2, "reconstruct.pixels": 200},
    "brecq": {"reconstruct.iterations": 2, "reconstruct.pixels": 200},
    "gba-dan": {"allocate_by_gradient.batches": 2, "tune.rounds": 1, "tune.steps_per_round": 1, "tune.patch_size": 12},
}
STEPS = {"gptq": "round_weights", "adaround": "reconstruct", "gba-dan": "allocate_by_gradient", "dfsq": "choose_levels"}


@pytest.mark.parametrize("recipe", slow_among(STEPS, ("gptq",)))
def test_a_model_that_was_calibrated_alone_is_not_written(recipe, tmp_path):
    config, path = preset(recipe, FEW.get(recipe)), tmp_path / "q.safetensors"
    model = adabm.QuantizedSR(tiny("EDSR"), config)
    adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])
    with pytest.raises(
        CheckpointError, match=f"step '{STEPS[recipe]}' of its recipe was not carried out.*adabm.quantize"
    ):
        adabm.save_quantized(model, path)
    assert not path.exists()
    whole = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=12, patches=2)[0]
    adabm.save_quantized(whole, path)
    again = adabm.load_quantized(path)
    assert again.config.recipe.title.startswith(recipe)
    before = {name: value.clone() for name, value in again.state_dict().items()}
    for model in (whole, again):  # other ranges would not fit what the later steps made of these
        with pytest.raises(ConfigError, match=f"calibrating it again would undo the step '{STEPS[recipe]}'"):
            adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])
    assert all(torch.equal(value, before[name]) for name, value in again.state_dict().items())


@pytest.mark.slow
def test_recipes_that_decide_nothing_and_weights_in_full_precision_are_written(tmp_path):
    for name in ("mse", "minmax"):
        model = adabm.QuantizedSR(tiny("EDSR"), preset(name))
        adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])
        adabm.save_quantized(model, tmp_path / f"{name}.safetensors")
        adabm.calibrate(model, [torch.rand(2, 3, 12, 12)])  # again
    for name, bits in (("gptq", dict(fixed_bits=32)), ("brecq", {})):
        config = preset(name, FEW.get(name), weight_bits=32, **bits)
        model = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=12, patches=2)[0]
        adabm.save_quantized(model, tmp_path / f"{name}.safetensors")
