"""Methods of others: each on networks of all kinds, and that each step does what its paper says."""

from functools import cache

import numpy as np
import pytest
import torch
from test_closed_form import IMAGES, Odd, Plain, distance, fresh_batch

import adabm
from adabm.engines.integer.layers import integer_layers
from adabm.errors import ConfigError, EngineError
from adabm.networks import NetworkDescriptor
from adabm.quantization import bounds
from adabm.quantization.bit_rule import Policy
from adabm.quantization.bounds import least_error
from adabm.quantization.domains import channel_affine
from adabm.quantization.piecewise import PiecewiseQuantizer
from adabm.steps.clip_outliers import clipped
from adabm.steps.equalize_layers import homogeneous_pairs
from adabm.steps.search_bounds import SearchBounds, searched
from adabm.steps.soft_rounding import SoftRounding
from adabm.steps.split_ranges import dense_region
from adabm.steps.units import observe, units
from adabm.study.tables.executable import in_integers, more_code_bits
from helpers.community_networks import build_community
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

RIVALS = (
    "mse", "bias-correction", "gptq", "adaround", "brecq", "qdrop", "dbdc", "dbdc-pac", "dobi", "2dquant", "oaq-sr",
    "dfsq", "gba-dan",
)  # fmt: skip
SMALL = {
    "tune.rounds": 2, "tune.steps_per_round": 2, "reconstruct.iterations": 4, "reconstruct.pixels": 600,
    "split_ranges.points": 10, "round_weights.pixels": 1000, "correct_bias.pixels": 1000, "choose_levels.pixels": 1000,
    "choose_levels.starts": 2, "choose_levels.iterations": 10, "allocate_by_gradient.batches": 2,
}  # fmt: skip
NETWORKS = {
    "EDSR": lambda: tiny("EDSR"), "SRResNet": lambda: tiny("SRResNet"), "RRDBNet": lambda: tiny("RRDBNet", num_block=1),
    "DAT": lambda: build_community("DAT"), "odd": Odd, "plain": Plain,
}  # fmt: skip


def quantize(network, recipe, changes=None, bits=4, seed=0):
    steps = {step.name for step in adabm.read_recipe(recipe).steps}
    changes = {name: value for name, value in SMALL.items() if name.partition(".")[0] in steps} | dict(changes or {})
    descriptor: NetworkDescriptor | None = network.described() if hasattr(network, "described") else None
    config = adabm.preset(recipe, changes, activation_bits=bits, weight_bits=bits)
    return adabm.quantize(network, IMAGES, config, descriptor, patch_size=16, batch_size=4, seed=seed)[0]


@cache
def made(name, recipe):
    """A model of 3 bits that several tests look at; none of them changes it."""
    torch.manual_seed(1)
    return quantize(NETWORKS[name](), recipe, bits=3)


def weighted(model):
    return [layer for layer in model.layers.values() if layer.weight_bits is not None]


# -- whole recipes ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("recipe", RIVALS)
@pytest.mark.parametrize("name", slow_among(NETWORKS, ("DAT", "RRDBNet", "SRResNet")))
def test_every_recipe_works_on_every_network(name, recipe):
    model = made(name, recipe)
    with torch.no_grad():
        assert torch.isfinite(model(fresh_batch(model))).all()
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "recipe",
    slow_among(["bias-correction", "brecq", "2dquant", "oaq-sr", "dfsq", "gba-dan"], ("bias-correction", "dfsq")),
)
def test_a_checkpoint_holds_it_and_the_networks_own_weights(tmp_path, recipe):
    network, model = tiny("SRResNet"), made("SRResNet", recipe)
    adabm.save_quantized(model, tmp_path / "m.safetensors")
    loaded = adabm.load_quantized(tmp_path / "m.safetensors", network)
    x = fresh_batch(model)
    with torch.no_grad():
        assert torch.equal(model(x), loaded(x))
        with loaded.full_precision():
            assert torch.equal(loaded(x), network(x))


@pytest.mark.parametrize("recipe", ["qdrop", "dfsq", "gba-dan"])
def test_the_seed_fixes_what_is_drawn_at_random(recipe):
    first = made("EDSR", recipe).state_dict()
    again, other = (quantize(tiny("EDSR"), recipe, bits=3, seed=seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("step", ["correct_bias", "equalize_layers", "reconstruct"])
def test_weights_by_tensor_are_refused(step):
    with pytest.raises(ConfigError, match=f"{step}: needs weights by channel; set calibrate.granularity to channel"):
        adabm.preset("minmax", {step: {}})


# -- bounds ----------------------------------------------------------------------------------------


def test_bounds_move_from_both_sides_or_from_above():
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    x[0], x[1] = -5.0, 12.0
    settings = SearchBounds()
    lower, upper = searched(x, 4, settings)
    assert lower > -5 and upper < 12 and float(lower) + 5 == pytest.approx(12 - float(upper), rel=1e-4)
    lower, upper = searched(x.relu(), 4, settings)
    assert lower == 0 and 2 < upper < 6
    lower, upper = searched(torch.nn.functional.gelu(x), 4, settings)
    assert lower == pytest.approx(-0.17, abs=0.01), "kept, since little is below zero"
    assert searched(torch.full((5,), 2.0), 4, settings)[0] == 2


def test_the_range_of_least_error_is_chosen_and_never_an_empty_one():
    x = torch.linspace(0, 1, 16)
    ends = torch.tensor([0.0, 0.0, 0.5]), torch.tensor([2.0, 1.0, 0.5])
    assert [float(end) for end in least_error(x, *ends, 4)] == [0.0, 1.0]


def test_few_great_weights_of_many_are_not_missed(monkeypatch):
    monkeypatch.setattr(bounds, "_SAMPLE", 64)
    network = Plain()
    with torch.no_grad():
        network.layers[2].weight.view(-1)[1] = 40.0  # between the values that a sample has
    quantizer = quantize(network, "dobi", bits=8).layers["layers.2"].weight_quantizer
    assert float(quantizer.scale) > 39


def test_the_sparser_end_is_clipped():
    x = torch.cat([torch.linspace(0, 1, 100_000), torch.tensor([5.0] * 20)])
    lower, upper = clipped(x, 5e-4, 2048).tolist()
    assert lower == 0 and 1 <= upper < 1.01
    assert clipped(-x, 5e-4, 2048).tolist() == pytest.approx([-upper, 0], abs=5e-3)
    assert clipped(x, 0.0, 2048)[1] == 5, "twenty outliers are more than none"
    assert clipped(torch.tensor([0.0] * 50 + [1.0] * 50), 0.4, 8).tolist() == [0, 1], "a dense end stays"


def test_layers_of_eight_bits_keep_more():
    model = quantize(tiny("EDSR"), "dbdc", {"clip_outliers.outliers": 0.2, "clip_outliers.outliers_8_bits": 0.0})
    minmax = quantize(tiny("EDSR"), "minmax")
    for name, layer in model.layers.items():
        wide, narrow = (float(m.activation.upper - m.activation.lower) for m in (minmax.layers[name], layer))
        assert narrow < 0.9 * wide or layer.policy is Policy.FIXED
    assert model.layers["conv_first"].activation.upper == pytest.approx(
        float(minmax.layers["conv_first"].activation.upper), rel=0.05
    )


# -- two regions -----------------------------------------------------------------------------------


def test_two_regions_tell_twice_as_many_codes_apart():
    quantizer = PiecewiseQuantizer()
    quantizer.set_range(torch.tensor([-4.0]), torch.tensor([8.0]))
    quantizer.set_dense(torch.tensor([-1.0]), torch.tensor([1.0]))
    x = torch.linspace(-5, 9, 20_001)
    out = quantizer(x[None], 3)[0]
    assert 8 < len(out.unique()) <= 16
    assert (out.diff() >= -1e-5).all() and out.min() == -4 and out.max() == 8
    inside = (x >= -1) & (x <= 1)
    assert len(out[inside].unique()) == 8
    assert (out - x)[inside].abs().max() <= 1 / 7 + 1e-5
    assert (out - x)[(x >= -4) & (x <= 8)].abs().max() <= 10 / 7


def test_the_dense_region_holds_what_is_dense():
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    x[:20] *= 20
    low, high = dense_region(x, 4, 50).tolist()
    assert x.min() < low < -1 and 1 < high < x.max()


def test_regions_stay_in_order_whatever_the_learning_rate_does():
    model = quantize(tiny("EDSR"), "oaq-sr", {"tune.lr_activation": 1.0, "tune.divergence_factor": 1e9})
    for layer in model.layers.values():
        if isinstance(layer.activation, PiecewiseQuantizer):
            (least, greatest), (low, high) = layer.activation.ends.tolist(), layer.activation.dense.tolist()
            assert least <= low < high <= greatest and high - low < greatest - least


def test_what_goes_not_with_two_regions():
    with pytest.raises(ConfigError, match="split_ranges: does not go with clip; leave one of them out"):
        adabm.preset("oaq-sr", {"clip": {}})


def test_what_a_recipe_asks_of_the_hardware():
    recipes = {name: adabm.read_recipe(name) for name in (*RIVALS, "adabm", "fast", "minmax")}
    assert {name for name, recipe in recipes.items() if more_code_bits(recipe)} == {"oaq-sr"}
    others = {"oaq-sr": "Piecewise", "dfsq": "Subset", "gba-dan": "ChannelRange"}
    assert {name for name, recipe in recipes.items() if not in_integers(recipe)} == set(others)
    for name, kind in others.items():
        with pytest.raises(EngineError, match=f"its activation quantizer, a {kind}Quantizer, has no single range"):
            integer_layers(made("EDSR", name), 0)


# -- biases and equalization -----------------------------------------------------------------------


def channel_means(model, x) -> dict[str, torch.Tensor]:
    """The mean output of each channel of each layer."""
    found = {}
    hooks = [
        layer.register_forward_hook(lambda m, _, out: found.update({m.name: out.mean((0, 2, 3))}))
        for layer in weighted(model)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return found


def test_mean_errors_go_into_the_biases():
    network = Plain()
    corrected, plain = (
        quantize(network, "bias-correction", {"equalize_layers": None, "correct_bias.pixels": 50_000}),
        quantize(network, "mse"),
    )
    x = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in IMAGES]).float() / 255
    with plain.full_precision():
        full = channel_means(plain, x)
    errors = [
        sum(float((means[name] - full[name]).square().sum()) for name in full)
        for means in (channel_means(corrected, x), channel_means(plain, x))
    ]
    assert errors[0] < 0.1 * errors[1]


def test_weight_ranges_are_equal_on_both_sides_of_a_relu():
    model = quantize(tiny("EDSR"), "bias-correction", bits=16)
    x = fresh_batch(model)
    pairs = list(homogeneous_pairs(model, x))
    assert [(a.name, b.name) for a, b in pairs] == [(f"body.{i}.conv1", f"body.{i}.conv2") for i in range(2)]
    for first, second in pairs:
        scale = channel_affine(second).scale.flatten()
        rows, columns = first.weight.abs().amax((1, 2, 3)) / scale, second.weight.abs().amax((0, 2, 3)) * scale
        torch.testing.assert_close(rows, columns)
    with torch.no_grad():
        torch.testing.assert_close(model(x), tiny("EDSR")(x), rtol=0, atol=2e-2)


# -- reconstruction --------------------------------------------------------------------------------


def test_soft_rounding_begins_at_the_weight_and_ends_at_a_code_beside_it():
    layer = made("EDSR", "mse").layers["body.0.conv1"]
    rounding, (nearest, step) = SoftRounding(layer), layer.weight_quantizer.integers(layer.weight, 3)
    inside = ((layer.weight / step > -4) & (layer.weight / step < 3)).detach()
    torch.testing.assert_close(rounding(layer.weight, 3)[inside], layer.weight[inside], rtol=0, atol=2e-3)
    assert (rounding.codes() == nearest).float().mean() > 0.99
    with torch.no_grad():
        rounding.variable.fill_(-50.0)
    assert rounding.undecided(2.0) == 0
    assert rounding.codes().min() >= -4 and rounding.codes().max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["adaround", "brecq"])
def test_learned_rounding_is_closer_than_the_nearest(recipe):
    network, changes = tiny("EDSR"), {"reconstruct.iterations": 60, "reconstruct.pixels": 2000}
    learned = quantize(network, recipe, changes, bits=2)
    assert distance(learned) < 0.9 * distance(quantize(network, "mse", bits=2))
    for layer in weighted(learned):
        quantizer = layer.weight_quantizer
        assert quantizer.is_decided == (layer.policy is not Policy.FIXED)
        codes = quantizer.integers(layer.weight, layer.weight_bits)[0]
        values = (layer.weight / quantizer.step).clamp(codes.min(), codes.max())
        assert not quantizer.is_decided or (codes - values).abs().max() < 1 + 1e-5


def test_units_are_blocks_and_the_layers_outside_of_them():
    model = quantize(tiny("EDSR"), "mse")
    modules = dict(model.network.named_modules())
    found = [next(n for n, m in modules.items() if m is unit.module) for unit in units(model, True)]
    assert found == ["body.0", "body.1", "conv_after_body"]
    assert [len(unit.layers) for unit in units(model, True)] == [2, 2, 1] and len(units(model, False)) == 5
    x = fresh_batch(model)[:1]
    block = units(model, True)[1]
    (sample,) = observe(model, block, [x])
    with torch.no_grad(), model.full_precision():
        torch.testing.assert_close(block.module(*sample.full), sample.target)
    assert not torch.equal(sample.full[0], sample.rounded[0]), "behind a quantized block"
    assert np.isfinite(sample.target.numpy()).all()
