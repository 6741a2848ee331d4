"""Quantizers that follow each channel of each picture, and the steps of DFSQ and of GBA + DAN."""

import numpy as np
import pytest
import torch
from test_closed_form import Odd
from test_rivals import quantize

import adabm
from adabm.engines.context import context_of
from adabm.engines.simulated import as_engine
from adabm.errors import ConfigError, DataError
from adabm.quantization.bit_rule import Policy
from adabm.quantization.channel_ranges import ChannelRangeQuantizer, SubsetQuantizer, midpoints
from adabm.quantization.quantizers import fake_quantize
from adabm.steps.allocate_by_gradient import AllocateByGradient, offsets_by_rank
from adabm.steps.choose_levels import ChooseLevels, chosen_levels, universal_set
from helpers.tiny_networks import tiny

BITS = ("weight_bits", "activation_bits")


@pytest.fixture(scope="module")
def models():
    return {name: quantize(tiny("EDSR"), name) for name in ("dfsq", "gba-dan", "minmax")}


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- quantizers ------------------------------------------------------------------------------------


def normalized(model, name="body.0.conv1") -> ChannelRangeQuantizer:
    quantizer = model.layers[name].activation
    quantizer.normalize()
    return quantizer


def test_each_channel_of_each_picture_has_its_own_range(models):
    quantizer, x = normalized(models["gba-dan"]), features(2, 8, 6, 7)
    x[1] *= 100
    x[:, 3] += 1000
    out = quantizer(x, 3)
    for picture, rounded in zip(x.flatten(0, 1), out.flatten(0, 1)):
        alone = fake_quantize(picture, picture.min()[None], picture.max()[None], 3)
        torch.testing.assert_close(rounded, alone, rtol=1e-4, atol=1e-4)
        assert 4 < len(rounded.unique()) <= 8
    torch.testing.assert_close(quantizer(x[1:], 3), out[1:], rtol=0, atol=0)


@pytest.mark.parametrize("recipe", ["dfsq", "gba-dan"])
def test_a_channel_of_one_value_stays(models, recipe):
    quantizer, x = models[recipe].layers["body.0.conv1"].activation, torch.full((1, 8, 4, 4), -3.25)
    assert torch.equal(quantizer(x, 4), x)
    x[:, 2] = 0
    assert torch.isfinite(quantizer(x.half(), 4)).all() and quantizer(x, 32) is x


def test_until_it_is_told_to_it_does_not_normalize(models):
    quantizer, x = ChannelRangeQuantizer(models["minmax"].layers["body.0.conv1"]), features(1, 8, 4, 4)
    assert torch.equal(quantizer(x, 4), fake_quantize(x, quantizer.lower, quantizer.upper, 4))
    quantizer.normalize()
    quantizer.set_range(torch.tensor([-2.0]), torch.tensor([3.0]))  # as calibrating again does
    assert torch.equal(quantizer(x, 4), fake_quantize(x, torch.tensor([-2.0]), torch.tensor([3.0]), 4))


@pytest.mark.parametrize("recipe", ["dfsq", "gba-dan"])
def test_pictures_of_a_linear_layer_are_told_apart(recipe):
    layer = quantize(Odd(), recipe).layers["linear"]
    x = features(2 * 3, 5, 8) * torch.tensor([1.0, 100.0]).repeat_interleave(3).view(-1, 1, 1)
    layer.context.images = 2
    both = layer.activation(x, 4)
    layer.context.images = 1
    alone = torch.cat([layer.activation(picture, 4) for picture in x.split(3)])
    assert (both - alone).abs().mean() < 1e-3 * x.abs().mean() and not torch.equal(both, layer.activation(x, 4))


def test_gradients_go_straight_through(models):
    for recipe in ("dfsq", "gba-dan"):
        quantizer = models[recipe].layers["body.0.conv1"].activation
        x = features(2, 8, 5, 5).requires_grad_()
        quantizer(x, 4).sum().backward()
        torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_values_are_rounded_to_the_nearest_level_of_their_channel(models):
    quantizer, x = models["dfsq"].layers["body.0.conv2"].activation, features(2, 8, 5, 5).relu()
    assert isinstance(quantizer, SubsetQuantizer) and quantizer.lower == 0, "behind a ReLU"
    out, scale = quantizer(x, 4), x.amax((2, 3), keepdim=True)
    for channel, levels in enumerate(quantizer.levels):
        values = (x / scale)[:, channel].flatten()
        nearest = levels[(values[:, None] - levels).abs().argmin(1)]
        torch.testing.assert_close((out / scale)[:, channel].flatten(), nearest)


def test_tiles_cannot_come_out_as_the_whole_picture(models):
    found = {name: context_of(as_engine(model)).exact for name, model in models.items()}
    assert found == {"dfsq": False, "gba-dan": False, "minmax": True}


# -- levels ----------------------------------------------------------------------------------------


def test_the_universal_set():
    universal = universal_set()
    assert torch.equal(universal, -universal.flip(0)) and universal[-1] == 1 and 0 in universal
    assert len(universal) == len(universal.unique()) > 256, "so that eight bits choose as well"
    sums = {(a + b) / 2 for a in (0, 0.25, 0.5, 0.75) for b in (0, 0.125)}
    assert not sums & {0.33} and {0.25, 0.375, 0.5} <= set(universal.tolist())


def squared_error(rows, levels):
    return (levels.gather(1, torch.searchsorted(midpoints(levels), rows.contiguous())) - rows).square().sum(1)


def test_levels_lie_where_values_are():
    places = torch.tensor([-0.75, -0.25, 0.0, 0.5])
    rows = torch.stack([places.repeat(25), places.clamp_min(0).repeat(25)]) + 0.01 * features(2, 100)
    levels = chosen_levels(rows, 4, universal_set(), ChooseLevels())
    torch.testing.assert_close(levels[0], places, rtol=0, atol=0.04)
    assert all(0 in row for row in levels) and (levels[1] - 0.5).abs().min() < 0.04


def test_chosen_levels_lose_less_than_even_ones():
    rows = torch.cat([features(4, 4000), features(4, 4000, seed=1).relu(), features(4, 4000, seed=2).pow(3)])
    rows /= rows.abs().amax(1, keepdim=True)
    levels = chosen_levels(rows, 8, universal_set(), ChooseLevels())
    even = torch.stack([torch.linspace(float(row.min()), float(row.max()), 8) for row in rows])
    assert (squared_error(rows, levels) < 0.7 * squared_error(rows, even)).all()
    assert (levels.diff() >= 0).all() and torch.isin(levels, universal_set()).all()


def test_more_starts_are_never_worse():
    rows = features(6, 500).pow(3)
    rows /= rows.abs().amax(1, keepdim=True)
    few, many = (chosen_levels(rows, 8, universal_set(), ChooseLevels(starts=starts)) for starts in (1, 3))
    assert (squared_error(rows, many) <= squared_error(rows, few) + 1e-5).all()


# -- bits ------------------------------------------------------------------------------------------


def test_offsets_by_rank_keep_the_mean():
    for count in range(1, 12):
        gradients = np.random.default_rng(count).normal(size=count)
        offsets = offsets_by_rank(gradients.tolist())
        assert sum(offsets) == 0 and (count == 1 or offsets[int(gradients.argmin())] == 1)
        assert count == 1 or offsets[int(gradients.argmax())] == -1
    assert offsets_by_rank([]) == []


def test_bits_follow_the_gradient_of_the_loss(monkeypatch):
    network = tiny("EDSR")
    with torch.no_grad():
        network.body[1].conv2.weight.zero_()  # nothing depends on the convolution before it
    seen = {}
    measured = AllocateByGradient._gradients

    def noted(self, model, places, batches):
        found = measured(self, model, places, batches)
        seen.update({(layer.name, name): float(value) for (layer, name), value in zip(places, found)})
        return found

    monkeypatch.setattr(AllocateByGradient, "_gradients", noted)
    model = quantize(network, "gba-dan", {"tune": None})
    layers = {layer.name: layer for layer in model.layers.values() if layer.policy is not Policy.FIXED}
    assert len(seen) == 2 * len(layers) and all(abs(seen["body.1.conv1", name]) < 1e-9 for name in BITS)
    for name in BITS:
        bits = {layer: getattr(layers[layer], name) for layer in layers}
        by_gradient = sorted(layers, key=lambda layer: seen[layer, name])
        assert [bits[layer] for layer in by_gradient] == sorted(bits.values(), reverse=True)
        assert set(bits.values()) == {3, 4, 5} and sum(bits.values()) == 4 * len(bits)
    assert {model.layers[name].activation_bits for name in ("conv_first", "conv_last")} == {8}


def test_the_gradient_is_that_of_the_loss_by_the_number_of_steps():
    """Of a layer whose rounding error is all that matters: more steps, less error, so it is negative."""
    model = quantize(tiny("EDSR"), "gba-dan", {"tune": None, "allocate_by_gradient": None}, bits=3)
    layer, x = model.layers["body.0.conv1"], features(1, 8, 6, 6)
    bits = torch.full((1, 1, 1, 1), 3.0, requires_grad=True)
    (layer.activation(x, bits) - x).square().sum().backward()
    assert bits.grad < 0


def test_black_pictures_decide_no_bits():
    """Of a network without biases they have no features, whose norm is 0."""
    network = tiny("EDSR")
    for module in network.modules():
        if getattr(module, "bias", None) is not None:
            module.bias = None
    network.mean.zero_()
    black, changes = np.zeros((16, 16, 3), np.uint8), {"tune": None, "allocate_by_gradient.batches": 1}
    config = adabm.preset("gba-dan", changes | {"allocate_by_gradient.batch_size": 1})
    model = adabm.QuantizedSR(network, config)
    step = config.step("allocate_by_gradient")
    adabm.calibrate(model, [torch.rand(2, 3, 16, 16)])
    places = [(layer, "activation_bits") for layer in model.layers.values() if layer.policy is not Policy.FIXED]
    found = step._gradients(model, places, iter([torch.from_numpy(black).permute(2, 0, 1)[None].float()]))
    assert found.isfinite().all()


def test_gradients_that_are_not_finite_are_refused(monkeypatch):
    model = quantize(tiny("EDSR"), "gba-dan", {"tune": None, "allocate_by_gradient": None})
    step, layer = adabm.preset("gba-dan").step("allocate_by_gradient"), model.layers["body.0.conv1"]
    monkeypatch.setattr(torch.autograd, "grad", lambda *_, **__: [torch.tensor(torch.nan)])
    with pytest.raises(DataError, match="the gradient of the bits of 'body.0.conv1' is NaN or infinite"):
        step._gradients(model, [(layer, "weight_bits")], iter([torch.rand(1, 3, 12, 12)]))


def test_one_kind_of_bits_alone():
    model = quantize(tiny("EDSR"), "gba-dan", {"allocate_by_gradient.weights": False, "tune": None})
    layers = [layer for layer in model.layers.values() if layer.policy is not Policy.FIXED]
    assert {layer.weight_bits for layer in layers} == {4} and {layer.activation_bits for layer in layers} == {3, 4, 5}


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("dfsq", {"clip": {}}, "choose_levels: does not go with clip; leave one of them out"),
        ("gba-dan", {"clip": {}}, "normalize_channels: does not go with clip; leave one of them out"),
        (
            "gba-dan",
            {"normalize_channels": None, "allocate_bits": {}},
            "allocate_by_gradient: does not go with allocate_b",
        ),
        (
            "gba-dan",
            {"calibrate.granularity": "channel", "calibrate.weight": "mse"},
            "set calibrate.granularity to tensor",
        ),
    ],
)
def test_what_goes_not_together(recipe, changes, message):
    with pytest.raises(ConfigError, match=message):
        adabm.preset(recipe, changes)


def test_a_bit_must_be_left_to_be_taken():
    with pytest.raises(ConfigError, match="activation_bits = 1: must be 2 or more with allocate_by_gradient"):
        adabm.preset("gba-dan", activation_bits=1)
