"""The state dict of a quantized model tells the bits of its layers, so that loading it into another gives the same pictures."""

import copy
import io

import numpy as np
import pytest
import torch
from safetensors import safe_open

import adabm
from adabm.checkpoints.telling_bits import LAYER_BITS
from helpers.slow import slow

PICTURE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def quantized(recipe: str, bits: int, seed: int, **options):
    torch.manual_seed(seed)
    network = adabm.build_network("EDSR", **{"num_feat": 8, "num_block": 2, "upscale": 2} | options).eval()
    images = [np.random.default_rng([seed, i]).integers(0, 256, (16, 16, 3), dtype=np.uint8) for i in range(2)]
    less = {"allocate_bits.pixels": 1000, "allocate_bits.directions": 2} if recipe == "fast" else {}
    config = adabm.preset(recipe, less, weight_bits=bits, activation_bits=bits)
    return adabm.quantize(network, images, config, patch_size=16, patches=2, batch_size=2)[0]


@pytest.mark.parametrize("recipe, bits", [("minmax", 6), slow("fast", 3)])
def test_a_state_dict_carries_the_bits_to_another_model(recipe, bits):
    one, other = quantized(recipe, 4, 1), quantized(recipe, bits, 2)
    assert not torch.equal(one(PICTURE), other(PICTURE))
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    within = torch.nn.Sequential(copy.deepcopy(other))
    within.load_state_dict({f"0.{name}": value for name, value in torch.load(file, weights_only=True).items()})
    told, expected = within[0].infer(PICTURE), one.infer(PICTURE)
    assert torch.equal(told.image, expected.image)
    assert torch.equal(told.feature_average_bits, expected.feature_average_bits)


def test_a_state_dict_of_before_leaves_the_bits_with_a_warning():
    model = quantized("minmax", 4, 1)
    state = {name: value for name, value in model.state_dict().items() if name != LAYER_BITS}
    before = model(PICTURE)
    with pytest.warns(UserWarning, match="does not tell the bits of its layers"):
        model.load_state_dict(state)
    assert torch.equal(model(PICTURE), before)


def test_bits_of_other_layers_are_refused():
    model = quantized("minmax", 4, 1)
    for change in (
        lambda rows: rows[1:],
        lambda rows: rows * 0,
        lambda rows: rows + 40,
        lambda rows: rows.float() * 0.5,
    ):
        with pytest.raises(RuntimeError, match="layer_bits is not that of a model"):
            model.load_state_dict(model.state_dict() | {LAYER_BITS: change(model.state_dict()[LAYER_BITS])})


def test_a_checkpoint_holds_the_bits_once(tmp_path):
    model = quantized("minmax", 4, 1)
    adabm.save_quantized(model, tmp_path / "one.safetensors")
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        assert LAYER_BITS not in file.keys()
    again = adabm.load_quantized(tmp_path / "one.safetensors")
    adabm.save_quantized(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    other = quantized("minmax", 6, 2)
    other.load_state_dict(again.state_dict())
    assert torch.equal(other(PICTURE), model(PICTURE))


def test_functions_that_change_a_model_give_it_back_telling_its_bits():
    config = adabm.preset("minmax", activation_bits=5)
    network = adabm.build_network("EDSR", num_feat=8, num_block=2, upscale=2)
    model = adabm.QuantizedSR(network, config)
    adabm.calibrate(model, [PICTURE])
    assert (model.state_dict()[LAYER_BITS][:, 1] == 5).any()
    with pytest.raises(adabm.AdabmError):
        adabm.calibrate(model, [])
    assert LAYER_BITS in model.state_dict()


def test_a_file_of_architectures_that_is_not_there_is_no_fault_of_the_checkpoint(tmp_path, monkeypatch):
    adabm.save_quantized(quantized("minmax", 4, 1), tmp_path / "one.safetensors")
    monkeypatch.setenv("ADABM_ARCHITECTURES", str(tmp_path / "mine.py"))
    with pytest.raises(adabm.AdabmError, match="^[^:]*mine.py: no such file"):
        adabm.load_quantized(tmp_path / "one.safetensors")
