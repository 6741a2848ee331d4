"""The recipe `best`: its step `refine` on networks of all kinds, and that it never makes a model worse on what is held out."""

from functools import cache

import numpy as np
import pytest
import torch
from test_closed_form import IMAGES, SMALL, Plain, distance, odd

import adabm
from adabm.errors import ConfigError
from adabm.quantization.model import QuantizedSR
from adabm.steps import Workspace, native_types
from adabm.steps import refine as module
from helpers.community_networks import build_community
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

FEW = {"refine.steps": 12, "refine.every": 4, "refine.pool": 8, "refine.held_out": 4}
NETWORKS = {
    "EDSR": lambda: tiny("EDSR"), "SRResNet": lambda: tiny("SRResNet"), "odd": odd, "plain": Plain,
    "DAT": lambda: build_community("DAT"),
}  # fmt: skip


def quantize(network, changes=None, recipe="best", bits=3):
    descriptor = network.described() if hasattr(network, "described") else None
    changes = (SMALL | FEW if recipe == "best" else SMALL) | dict(changes or {})
    config = adabm.preset(recipe, changes, activation_bits=bits, weight_bits=bits)
    return adabm.quantize(network, IMAGES, config, descriptor, patch_size=16)


@cache
def unrefined():
    """The tiny EDSR as `fast` leaves it."""
    return quantize(tiny("EDSR"), recipe="fast")[0]


@cache
def refined():
    """The tiny EDSR as `best` leaves it in few steps, and those."""
    model, _, steps = quantize(tiny("EDSR"))
    return model, steps


def held_out_error(model) -> float:
    """The mean logarithm of the squared error on the patches that `refine` holds out."""
    descriptor = model.descriptor
    workspace = Workspace(IMAGES, 16, None, 16, 0, descriptor.value_range, model.device)
    patches = next(module._held_out(workspace)[0].random(FEW["refine.held_out"], 16))
    with torch.no_grad():
        output = model(patches)
        with model.full_precision():
            return float((output - model(patches)).square().mean((1, 2, 3)).log().mean())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", slow_among(NETWORKS, ("DAT", "EDSR", "SRResNet")))
def test_it_never_makes_a_network_of_any_kind_worse(name):
    torch.manual_seed(1)
    network = NETWORKS[name]()
    if name == "EDSR":
        before, after = unrefined(), refined()[0]
    else:
        before, after = quantize(network, recipe="fast")[0], quantize(network)[0]
    assert held_out_error(after) <= held_out_error(before) + 1e-4


@pytest.mark.slow
def test_it_is_closer_to_full_precision():
    changes = {"refine.steps": 60, "refine.every": 20}
    refined = quantize(tiny("EDSR"), changes)[0]
    assert distance(refined) < 0.9 * distance(unrefined())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in refined.parameters())


@pytest.mark.slow
def test_steps_that_do_harm_are_taken_back():
    harmful = dict.fromkeys(("refine.lr_ranges", "refine.lr_steps", "refine.lr_bias"), 50.0)
    own, other = quantize(tiny("EDSR"), harmful)[0].state_dict(), unrefined().state_dict()
    assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


def test_a_loss_that_is_not_finite_ends_it(monkeypatch):
    measured = module._log_error
    calls = []

    def broken(image, target):
        calls.append(None)
        return measured(image, target) * (torch.nan if image.requires_grad and len(calls) > 8 else 1)

    monkeypatch.setattr(module, "_log_error", broken)
    model, _, steps = quantize(tiny("EDSR"))
    assert 0 < len(steps) < 12
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:refine.* has no effect, since refine.steps is 0")
def test_it_tells_its_steps_and_takes_none_where_none_are_asked_for():
    told = []
    config = adabm.preset("best", SMALL | FEW)
    steps = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=16, on_step=told.append)[2]
    assert told == steps and [step.round for step in steps] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(step.pixel > 0 and step.feature_average_bits == pytest.approx(4, abs=0.5) for step in steps)
    none = quantize(tiny("EDSR"), {"refine.steps": 0})[0].state_dict()
    assert all(torch.equal(value, none[name]) for name, value in unrefined().state_dict().items())


@pytest.mark.slow
def test_codes_are_whole_and_a_checkpoint_holds_them(tmp_path):
    model = quantize(tiny("SRResNet"), {"refine.lr_rounding": 0.05})[0]
    for layer in model.layers.values():
        latent, half = layer.weight_quantizer.latent, 2 ** (layer.weight_bits - 1)
        assert torch.equal(latent, latent.round()) and latent.min() >= -half and latent.max() < half
    adabm.save_quantized(model, tmp_path / "m.safetensors")
    x = torch.rand(1, 3, 16, 16) * model.descriptor.value_range
    with torch.no_grad():
        assert torch.equal(model(x), adabm.load_quantized(tmp_path / "m.safetensors")(x))


@pytest.mark.slow
def test_the_seed_fixes_it():
    first, again = refined()[0].state_dict(), quantize(tiny("EDSR"))[0].state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("count", [1, 2, 9, 20])
def test_pictures_that_are_held_out_are_not_trained_on(count):
    images = [np.full((16, 16, 3), i, np.uint8) for i in range(count)]
    kept, others = (
        part.images for part in module._held_out(Workspace(images, 16, None, 4, 0, 255.0, torch.device("cpu")))
    )
    names = [{int(image[0, 0, 0]) for image in part} for part in (kept, others)]
    assert names[0] | names[1] == set(range(count))
    assert names[0].isdisjoint(names[1]) or count == 1


def test_rates_rise_and_fall():
    shares = [module._share(index, 100) for index in range(100)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == shares[9] and shares[-1] == pytest.approx(0.02, abs=1e-3)
    assert shares[9:] == sorted(shares[9:], reverse=True)


def test_ranges_alone_can_be_refined_and_no_ranges_are_refused():
    model = adabm.quantize(tiny("EDSR"), IMAGES, adabm.preset("minmax", {"refine": {"steps": 2}}), patch_size=16)[0]
    assert torch.isfinite(model(torch.rand(1, 3, 16, 16) * 255)).all()
    with pytest.raises(ConfigError, match="refine.steps"):
        adabm.preset("best", {"refine.steps": -1})


@pytest.mark.slow
def test_bfloat16_is_used_where_the_processor_has_it(monkeypatch, tmp_path):
    """Convolutions in it take ten times as long elsewhere."""
    used = set()
    computing = QuantizedSR.computing
    monkeypatch.setattr(QuantizedSR, "computing", lambda model, kind: used.add(kind) or computing(model, kind))
    for there, kind in ((True, torch.bfloat16), (False, None)):
        used.clear()
        monkeypatch.setattr(module, "has_bfloat16", lambda device: there)
        quantize(tiny("EDSR"), {"refine.steps": 2, "refine.every": 2})
        assert used == {kind}

    monkeypatch.setattr(native_types, "_PROCESSOR", tmp_path / "cpuinfo")
    has = native_types.has_bfloat16.__wrapped__
    assert has(torch.device("cuda")) and not has(torch.device("cpu"))
    for flags, there in (("avx2 fma", False), ("avx512f avx512_bf16", True), ("asimd bf16 i8mm", True)):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
        assert has(torch.device("cpu")) == there
