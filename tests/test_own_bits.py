"""The search of weight ranges at each layer's own bits."""

import pytest
import torch
from test_model import pictures

from adabm.quantization.layers import Policy
from adabm.quantization.model import QuantizedSR
from adabm.quantization.observers import observe_weight
from adabm.recipes import calibrate, preset
from helpers.configurations import configured
from helpers.tiny_networks import tiny


def scales(observer: str, **settings) -> tuple[QuantizedSR, dict[str, float]]:
    model = QuantizedSR(tiny("EDSR"), configured(weight_observer=observer, **settings))
    calibrate(model, [pictures(model)])
    return model, {name: layer.weight_quantizer.scale.item() for name, layer in model.layers.items()}


@pytest.mark.parametrize("weight_bits", [3, 4])
def test_each_layer_is_searched_at_its_own_bits(weight_bits):
    model, found = scales("omse_own_bits", weight_bits=weight_bits)
    of_base = scales("omse_absmax", weight_bits=weight_bits)[1]
    fixed = [name for name, layer in model.layers.items() if layer.policy is Policy.FIXED]
    assert 0 < len(fixed) < len(found)
    for name, layer in model.layers.items():
        bits = 8 if name in fixed else weight_bits
        assert layer.weight_bits == bits and found[name] == observe_weight(layer.weight, "omse_absmax", bits).item(), (
            name
        )
        assert (found[name] > of_base[name]) if name in fixed else (found[name] == of_base[name]), name


def test_other_fixed_bits_give_other_ranges():
    eight, four = (scales("omse_own_bits", fixed_bits=bits)[1] for bits in (8, 4))
    assert four == scales("omse_absmax")[1] != eight


def test_the_preset_changes_the_weight_observer_alone():
    own, released = preset("adabm-own-bits", activation_bits=6), preset("adabm", activation_bits=6)
    changed = released.recipe.with_changes({"calibrate.weight": "omse_absmax", "calibrate.weight_search": "own"})
    assert own.bits == released.bits and own.recipe.to_dict() == changed.to_dict()
    assert (released.step("calibrate").weight, released.step("calibrate").weight_search) == ("omse", "base")
    assert preset("adabm-own-bits", {"tune": None}).step("tune") is None


def test_eight_bits_at_their_own_range_are_nearer_to_the_weights():
    """Why the preset exists: at the base bits' range, large weights of an 8-bit layer are cut off."""
    errors = {}
    for observer in ("omse_absmax", "omse_own_bits"):
        model, _ = scales(observer)
        layer = model.layers["conv_last"]
        with torch.no_grad():
            errors[observer] = (layer.weight_quantizer(layer.weight, 8) - layer.weight).square().mean().item()
    assert errors["omse_own_bits"] < 0.5 * errors["omse_absmax"]
