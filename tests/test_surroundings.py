"""Whatever of torch the caller has switched, public functions give what they give without."""

import pickle
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import adabm
from adabm.pictures.picture import Picture
from adabm.support.surroundings import usual_surroundings
from helpers.cli_files import smooth
from helpers.tiny_networks import tiny

IMAGES = [smooth(seed, 16, 16) for seed in range(2)]
CONFIG = adabm.preset("adabm", {"tune.rounds": 1, "tune.steps_per_round": 1, "tune.batch_size": 1})


@contextmanager
def default_device(name: str):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_type(kind: torch.dtype):
    torch.set_default_dtype(kind)
    try:
        yield
        assert torch.get_default_dtype() is kind
    finally:
        torch.set_default_dtype(torch.float32)


SWITCHED = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default device": lambda: default_device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default type": lambda: default_type(torch.float64),
}


def all_of_it(folder) -> dict[str, object]:
    """The values, types and bytes that come out where a model is made, saved, loaded, run and measured."""
    folder.mkdir()
    network = adabm.load_network(folder.parent / "fp.safetensors")
    adabm.save_network(network, folder / "again.safetensors")
    model = adabm.quantize(network, IMAGES, CONFIG, patch_size=16)[0]
    adabm.save_quantized(model, folder / "q.safetensors")
    loaded = adabm.load_quantized(folder / "q.safetensors")
    picture = Picture("p", smooth(5, 32, 32), smooth(4, 16, 16))
    found = {f"tensor {name}": (tensor.dtype, tensor.tolist()) for name, tensor in loaded.state_dict().items()}
    found |= {path.name: path.read_bytes() for path in folder.iterdir()}
    found["upscaled"] = adabm.upscale(model, IMAGES[0], tile=8).image.tobytes()
    tiles = adabm.engines.seamless.seamless_tiles(model, np.tile(IMAGES[0], (4, 4, 1)), tile=40)
    found["tiles"] = [tile.pixels.tobytes() for tile in tiles]
    found["evaluated"] = adabm.evaluate(loaded, [picture]).means()
    running = adabm.open_engine("simulated", folder / "q.safetensors")
    found["engine"] = adabm.upscale(running, IMAGES[1]).image.tobytes()
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surroundings")
    adabm.save_network(tiny("SRVGGNetCompact"), folder / "fp.safetensors")
    return folder, all_of_it(folder / "plain")


@pytest.mark.parametrize("switch", SWITCHED)
def test_what_surrounds_a_call_changes_nothing(expected, switch):
    folder, plain = expected
    with SWITCHED[switch]():
        found = all_of_it(folder / switch)
    assert [name for name in plain if found[name] != plain[name]] == []


def test_a_network_made_in_inference_mode_is_quantized_and_a_model_is_not_changed():
    network = tiny("SRVGGNetCompact")
    with torch.inference_mode():
        network = nn.Sequential(network).requires_grad_(False)
        for tensor in network.parameters():
            tensor.data = tensor.clone()
        made = adabm.QuantizedSR(tiny("SRVGGNetCompact"), CONFIG)
    assert all(tensor.is_inference() for tensor in network.parameters())
    model, *_ = adabm.quantize(network, IMAGES, CONFIG, adabm.describe(network), patch_size=16)
    assert not any(tensor.is_inference() for tensor in model.state_dict().values())
    with pytest.raises(adabm.AdabmError, match="made inside torch.inference_mode"):
        adabm.calibrate(made, [torch.zeros(1, 3, 8, 8)])


def test_a_network_built_in_inference_mode_is_quantized():
    with torch.inference_mode():
        network = tiny("SRVGGNetCompact")
    assert all(tensor.is_inference() and tensor.requires_grad for tensor in network.parameters())
    model, *_ = adabm.quantize(network, IMAGES, CONFIG, patch_size=16)
    other, *_ = adabm.quantize(tiny("SRVGGNetCompact"), IMAGES, CONFIG, patch_size=16)
    assert np.array_equal(adabm.upscale(model, IMAGES[0]).image, adabm.upscale(other, IMAGES[0]).image)


@pytest.mark.parametrize("name", ["quantize", "load_network", "calibrate", "fine_tune", "upscale", "open_engine"])
def test_public_functions_are_found_again(name):
    assert pickle.loads(pickle.dumps(getattr(adabm, name))) is getattr(adabm, name)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_type_that_is_switched_inside_does_not_stay(kind):
    """As by a step of the user's own, for all that the process computes later."""
    with default_type(kind):
        with usual_surroundings():
            torch.set_default_dtype(torch.float16)
