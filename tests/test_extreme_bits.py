"""Every recipe by name at bits that hardly anyone asks for: one clear refusal, or a model that its file gives back."""

import numpy as np
import pytest
import torch
from torch import nn

import adabm
from adabm.errors import AdabmError, ConfigError
from adabm.networks import build_network
from adabm.recipes import preset, shipped
from helpers.slow import slow_among

TUNED = {"tune.rounds": 1, "tune.steps_per_round": 2}
SHORT = TUNED | {
    "reconstruct.iterations": 2, "refine.steps": 2, "allocate_by_gradient.batches": 2,
    "allocate_bits.pixels": 1000, "allocate_bits.directions": 2,
}  # fmt: skip
EXTREME = [(1, 1, True), (16, 16, True), (32, 4, False), (4, 32, False), (2, 2, False), (32, 32, True), (1, 16, True)]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("EDSR", num_in_ch=3, num_out_ch=3, num_feat=4, num_block=2, upscale=2).eval()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """One without any structure, and one that is all of one gray."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return [noise, np.full((12, 12, 3), 128, np.uint8)]


def tried(name: str, network: nn.Module, images: list[np.ndarray], path, *bits: object) -> bool:
    """Quantize; True if the model was made, and gives finite pictures, the same ones when loaded; False if refused."""
    weight, activation, whole = bits
    own = dict(weight_bits=weight, activation_bits=activation, fully_quantized=whole)
    changes = {
        key: value for key, value in SHORT.items() if preset(name).recipe.step(key.partition(".")[0]) is not None
    }
    preset(name, changes)  # at common bits nothing of it is refused
    try:
        model, *_ = adabm.quantize(network, images, preset(name, changes, **own), patch_size=8, patches=2)
        adabm.save_quantized(model, path)
    except AdabmError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return False
    with torch.no_grad():
        assert torch.isfinite(model(torch.rand(1, 3, 8, 8))).all()
    again = adabm.load_quantized(path)
    for image in images:
        assert np.array_equal(adabm.upscale(model, image).image, adabm.upscale(again, image).image)
    return True


def with_marks(recipes: dict) -> list:
    """What learns layer by layer or trains takes seconds."""
    learns = lambda recipe: recipe.step("reconstruct") or recipe.step("refine")
    return slow_among(
        recipes, ["bias-correction", "gptq", *(name for name, recipe in recipes.items() if learns(recipe))]
    )


@pytest.mark.parametrize("name", with_marks(shipped()))
def test_one_bit(name, network, images, tmp_path):
    made = tried(name, network, images, tmp_path / "model.safetensors", 1, 1, True)
    takes = [preset(name).recipe.step(step) for step in ("map_bits", "allocate_by_gradient")]
    assert made or any(takes), "one bit fewer than one is none, and no other recipe does that"


@pytest.mark.slow
@pytest.mark.parametrize("bits", EXTREME[1:], ids=str)
@pytest.mark.parametrize("name", shipped())
def test_other_extremes(name, bits, network, images, tmp_path):
    tried(name, network, images, tmp_path / "model.safetensors", *bits)


def test_a_group_that_nothing_is_quantized_with_is_not_tuned(network, images):
    body = dict(weight_bits=32, activation_bits=4, fully_quantized=False)
    with pytest.raises(
        ConfigError, match=r"'weight' trains nothing at 32 weight bits; leave it out \(tune.groups=\[activation, map"
    ):
        adabm.quantize(network, images, preset("adabm", TUNED, **body), patch_size=8, patches=2)
    kept = preset("adabm", TUNED | {"tune.groups": ["activation", "mapping"]}, **body)
    *_, steps = adabm.quantize(network, images, kept, patch_size=8, patches=2)
    assert {step.group for step in steps} <= {"activation", "mapping"}


def test_the_first_and_last_layers_bits_are_enough(network, images):
    """Fully quantized, they have bits of their own."""
    adabm.quantize(network, images, preset("adabm", TUNED, weight_bits=32), patch_size=8, patches=2)
