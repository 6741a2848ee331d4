"""The closed-form recipe `fast`: its steps on tiny networks, what they store, and that the result is better."""

import json
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.engines.cost import size_bits
from adabm.errors import CheckpointError, ConfigError
from adabm.networks import NetworkDescriptor, Role
from adabm.quantization.bit_rule import Policy
from adabm.quantization.channel_weights import CHANNEL_OBSERVERS, ChannelWeightQuantizer
from adabm.quantization.domains import channel_affine
from adabm.quantization.layers import WeightedLayer
from adabm.quantization.observers import observe_activation
from adabm.steps.allocate_bits import AllocateBits, allocated
from adabm.steps.rounding import ROUNDING_RULES, least_squares, ridged
from adabm.steps.sensitivities import projected_errors, ranges_by_bits
from adabm.steps.skips import Skip, SkipErrors, SkipTrace
from adabm.steps.two_streams import run_two_streams
from adabm.steps.work_share import work_share
from adabm.support.metadata import content_sha256
from helpers.slow import slow, slow_among
from helpers.tiny_networks import tiny

IMAGES = [
    np.random.default_rng(i).normal(128, 60, (12, 12, 3)).clip(0, 255).repeat(2, 0).repeat(2, 1).astype(np.uint8)
    for i in range(6)
]
SMALL = {
    "allocate_bits.pixels": 1000, "allocate_bits.directions": 2, "round_weights.pixels": 8000, "round_weights.rows": 2000
}  # fmt: skip


class Odd(nn.Module):
    """Grouped, depthwise and strided convolutions, a linear layer and batch norm, with a scaled residual connection."""

    def __init__(self, value_range: float = 1.0) -> None:
        super().__init__()
        self.value_range = value_range
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2, padding_mode="reflect")
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 8)
        self.strided = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.last = nn.Conv2d(4, 12, 3, padding=1)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-0.1, 0.1)
            self.norm.running_var.uniform_(0.5, 2)
            self.norm.weight.uniform_(0.5, 2)

    def forward(self, x):
        x = self.first(x / self.value_range)
        x = x + 0.5 * self.norm(self.depthwise(F.gelu(self.grouped(x))))
        x = x + self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = F.pixel_shuffle(self.strided(x), 2)
        return F.pixel_shuffle(self.last(x), 2) * self.value_range

    def described(self) -> NetworkDescriptor:
        roles = dict.fromkeys(("first", "grouped", "depthwise", "linear", "strided", "last"), Role.BODY)
        return NetworkDescriptor(
            "Odd", 2, self.value_range, roles | {"first": Role.FIRST, "last": Role.LAST}, (), size_multiple=2
        )


def odd(value_range: float = 1.0) -> Odd:
    torch.manual_seed(3)
    return Odd(value_range).eval()


class Plain(nn.Module):
    """No residual connection."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 12, 1)
        )

    def forward(self, x):
        return F.pixel_shuffle(self.layers(x), 2)

    def described(self) -> NetworkDescriptor:
        roles = {"layers.0": Role.FIRST, "layers.2": Role.BODY, "layers.4": Role.BODY}
        return NetworkDescriptor("Plain", 2, 1.0, roles, ())


def quantize(network, recipe="fast", changes=None, bits=4, descriptor=None, seed=0):
    if descriptor is None and hasattr(network, "described"):
        descriptor = network.described()
    changes = dict(changes or {})
    if str(recipe).startswith("fast"):
        for setting, value in SMALL.items():
            if changes.get(setting.partition(".")[0], "there") is not None:
                changes.setdefault(setting, value)
    config = adabm.preset(recipe, changes, activation_bits=bits, weight_bits=bits)
    return adabm.quantize(network, IMAGES, config, descriptor, patch_size=16, seed=seed)[0]


def fresh_batch(model) -> torch.Tensor:
    values = torch.from_numpy(np.random.default_rng(9).normal(128, 60, (2, 3, 12, 12))).clamp(0, 255).float()
    return F.interpolate(values, scale_factor=2) * (model.descriptor.value_range / 255)


def distance(model) -> float:
    """Mean squared distance of the quantized from the full-precision output, relative to the latter's variance."""
    x = fresh_batch(model)
    with torch.no_grad():
        out = model(x)
        with model.full_precision():
            full = model(x)
    return float((out - full).square().mean() / full.var())


NETWORKS = {
    "EDSR": lambda: tiny("EDSR"), "SRResNet": lambda: tiny("SRResNet"), "RRDBNet": lambda: tiny("RRDBNet", num_block=1),
    "RDN": lambda: tiny("RDN"), "RCAN": lambda: tiny("RCAN"), "odd": odd, "plain": Plain,
}  # fmt: skip


@cache
def made(name, recipe="fast"):
    """A model that several tests look at; none of them changes it."""
    return quantize(NETWORKS[name](), recipe)


@pytest.mark.parametrize("name", slow_among(NETWORKS, ("RDN", "RCAN", "RRDBNet", "SRResNet")))
def test_closer_to_full_precision_than_minmax_at_no_more_bits(name):
    model, minmax = made(name), made(name, "minmax")
    assert distance(model) < 0.6 * distance(minmax)
    counted = [layer for layer in model.layers.values() if layer.policy is not Policy.FIXED]
    assert sum(layer.activation_bits for layer in counted) <= 4 * len(counted)
    assert all(layer.weight_bits == (8 if layer.policy is Policy.FIXED else 4) for layer in model.layers.values())
    codes = [layer.weight_quantizer.integers(layer.weight, layer.weight_bits)[0] for layer in model.layers.values()]
    for layer, own in zip(model.layers.values(), codes):
        assert -(2 ** (layer.weight_bits - 1)) <= own.min() and own.max() < 2 ** (layer.weight_bits - 1)


def test_each_part_earns():
    model = made("odd")
    for without in ({"allocate_bits": None}, {"round_weights.by": "nearest", "round_weights.ridge": 0.0}):
        assert distance(model) < distance(quantize(odd(), changes=without)), without


def test_the_value_range_does_not_matter():
    one, byte = made("odd"), quantize(odd(255.0))
    assert [m.activation_bits for m in one.layers.values()] == [m.activation_bits for m in byte.layers.values()]
    for name, layer in one.layers.items():
        codes, steps = layer.weight_quantizer.integers(layer.weight, layer.weight_bits)
        others, other_steps = byte.layers[name].weight_quantizer.integers(layer.weight, layer.weight_bits)
        assert (codes != others).float().mean() < 0.02  # where a rounding error of float32 decides
        if name != "first":
            torch.testing.assert_close(steps, other_steps, rtol=1e-2, atol=0)
    assert distance(one) == pytest.approx(distance(byte), rel=0.05)


@pytest.mark.slow
def test_the_seed_fixes_everything():
    first = made("EDSR").state_dict()
    again, other = (quantize(tiny("EDSR"), seed=seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("given", [False, slow(True)])
def test_a_checkpoint_holds_what_was_decided(tmp_path, given):
    network, model = tiny("SRResNet"), made("SRResNet")
    assert len({layer.activation_bits for layer in model.layers.values() if layer.policy is not Policy.FIXED}) > 1
    adabm.save_quantized(model, tmp_path / "m.safetensors")
    loaded = adabm.load_quantized(tmp_path / "m.safetensors", network if given else None)
    x = fresh_batch(model)
    with torch.no_grad():
        assert torch.equal(model(x), loaded(x))
        with loaded.full_precision():
            assert torch.equal(loaded(x), network(x))  # the network's own weights stay
    for name, layer in model.layers.items():
        codes, step = layer.weight_quantizer.integers(layer.weight, layer.weight_bits)
        others, other = loaded.layers[name].weight_quantizer.integers(layer.weight, layer.weight_bits)
        assert torch.equal(codes, others) and torch.equal(step, other)
        assert layer.activation_bits == loaded.layers[name].activation_bits


def test_integers_compute_what_the_layer_does():
    """Codes of activations and weights, shift and scale folded: what an integer engine executes, away from borders."""
    model = made("EDSR")
    layer = model.layers["body.0.conv1"]
    affine, x = channel_affine(layer), torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    bits, (lower, upper) = layer.activation_bits, (layer.activation.lower, layer.activation.upper)
    step = (upper - lower) / (2**bits - 1)
    codes = ((affine(x) - lower) / step).clamp(0, 2**bits - 1).round()
    weights, steps = layer.weight_quantizer.integers(layer.weight, layer.weight_bits)
    offset = lower + affine.shift / affine.scale  # of each channel; goes into the bias
    constant = (weights * steps * offset).sum((1, 2, 3)) + layer.weight_quantizer.bias
    integer = F.conv2d(codes, weights.float()) * (steps.flatten() * step).view(1, -1, 1, 1) + constant.view(1, -1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[:, :, 1:-1, 1:-1], integer, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_decided_rounding_can_be_tuned(tmp_path):
    tune = {"groups": ["rounding", "activation"], "rounds": 2, "steps_per_round": 8, "relative_lr": True}
    steps = adabm.preset("fast", SMALL).recipe.to_dict() | {"tune": tune | {"lr_activation": 0.001}}
    recipe = tmp_path / "tuned.yaml"
    recipe.write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    model, tuned = quantize(tiny("EDSR"), bits=3), quantize(tiny("EDSR"), recipe, bits=3)
    assert distance(tuned) < distance(model)
    layer = tuned.layers["body.0.conv1"]
    codes, step = layer.weight_quantizer.integers(layer.weight, 3)
    assert codes.min() >= -4 and codes.max() <= 3
    torch.testing.assert_close(codes * step, layer.weight_quantizer.domain(layer.weight_quantizer(layer.weight, 3)))
    adabm.save_quantized(tuned, tmp_path / "m.safetensors")
    x = fresh_batch(model)
    with torch.no_grad():
        assert torch.equal(tuned(x), adabm.load_quantized(tmp_path / "m.safetensors")(x))


def test_an_image_mapping_adds_to_the_allocated_bits():
    model = quantize(tiny("EDSR"), "fast-adaptive")
    allocated = {name: layer.activation_bits for name, layer in model.layers.items()}
    flat = torch.full((1, 3, 12, 12), 0.5)
    busy = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)).round()
    with torch.no_grad():
        for image, factor in ((flat, -1), (busy, 1)):
            for name, bits in model.infer(image).layer_bits.items():
                adaptive = model.layers[name].policy is Policy.ADAPTIVE
                assert bits == allocated[name] + (factor if adaptive else 0)


# -- shift and equalization ------------------------------------------------------------------------


def test_shift_and_equalization_change_nothing_in_full_precision_and_leave_one_sided_inputs():
    network = Plain()
    model = quantize(network, changes={"round_weights": None, "allocate_bits": None}, bits=16)
    x = fresh_batch(model)
    with torch.no_grad():
        torch.testing.assert_close(model(x), network(x), rtol=0, atol=5e-3)
    behind_relu, behind_prelu = (channel_affine(model.layers[f"layers.{i}"]) for i in (2, 4))
    assert not behind_relu.shift.any() and behind_prelu.shift.all()
    assert channel_affine(model.layers["layers.0"]) is None  # at fixed bits
    for affine in (behind_relu, behind_prelu):
        assert len(affine.scale.unique()) == 8
        assert float(affine.scale.log().mean()) == pytest.approx(0, abs=1e-5)


def test_equalization_by_full_strength_makes_channels_equally_large():
    model = quantize(Plain(), changes={"equalize.strength": 1.0, "equalize.patches": None, "round_weights": None})
    sizes = {}
    with model.visiting(lambda layer, x: sizes.update({layer.name: x.square().mean((0, 2, 3)).sqrt()})):
        with model.full_precision(), torch.no_grad():
            model(fresh_batch(model))
    assert sizes["layers.2"].max() < 1.7 * sizes["layers.2"].min()


# -- ranges and steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["two-sided", "one-sided"])
def test_ranges_of_least_error(shape):
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) ** 3
    x = x.relu() if shape == "one-sided" else x + 0.3

    def error(lower, upper):
        step = (upper - lower) / 15
        return float((((x - lower) / step).clamp(0, 15).round() * step + lower - x).square().mean())

    lower, upper = observe_activation(x, "mse", 4)
    assert (lower == 0) == (shape == "one-sided")
    for other in ("minmax", "omse", "percentile"):
        assert error(lower, upper) <= error(*observe_activation(x, other, 4)) * 1.01
    scaled = observe_activation(x * 255, "mse", 4)
    torch.testing.assert_close(torch.cat(scaled), torch.cat((lower, upper)) * 255)
    constant = observe_activation(torch.full((5,), 2.0), "mse", 4)
    assert constant == (torch.tensor([2.0]), torch.tensor([2.0]))


def test_steps_of_least_error_by_channel():
    weight = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [10.0], [0.0]])
    steps = CHANNEL_OBSERVERS["mse"](weight, 3)
    quantizer = ChannelWeightQuantizer(weight)
    errors = []
    for observer in ("mse", "minmax"):
        quantizer.observe(weight, observer, 3)
        errors.append((quantizer(weight, 3) - weight).square().mean(1))
    assert (errors[0][:2] < errors[1][:2]).all() and not errors[0][2]
    assert 5 < steps[1] / steps[0] < 20
    assert torch.equal(quantizer(weight, 32), weight)


# -- rounding --------------------------------------------------------------------------------------


def test_compensated_rounding_gives_a_smaller_output_error_and_codes():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 4, generator=generator) @ torch.randn(4, 20, generator=generator)
    inputs = inputs + 0.3 * torch.randn(400, 20, generator=generator) + 1
    inputs = torch.cat([inputs, torch.ones(400, 1)], 1)
    weight, bias = torch.randn(6, 20, generator=generator), torch.randn(6, generator=generator)
    step, gram = CHANNEL_OBSERVERS["mse"](weight, 3), ridged(inputs.T @ inputs / 400, 0.01)
    wanted, errors = inputs @ torch.cat([weight, bias[:, None]], 1).T, {}
    for name in ("nearest", "gptq"):
        codes, new = ROUNDING_RULES[name](weight, bias, gram, step, 3)
        assert torch.equal(codes, codes.round().clamp(-4, 3))
        errors[name] = float((inputs @ torch.cat([codes * step, new[:, None]], 1).T - wanted).square().mean())
    assert errors["gptq"] < 0.5 * errors["nearest"]


def test_least_squares_finds_the_weights_that_gave_the_targets():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.cat([torch.randn(300, 5, generator=generator), torch.ones(300, 1)], 1)
    wanted = torch.randn(4, 6, generator=generator)
    weight, bias = least_squares(
        torch.zeros(4, 5), torch.zeros(4), inputs, inputs @ wanted.T, ridged(inputs.T @ inputs / 300, 1e-6)
    )
    torch.testing.assert_close(torch.cat([weight, bias[:, None]], 1), wanted, rtol=1e-3, atol=1e-3)


# -- the residual stream ---------------------------------------------------------------------------


def test_skips_are_found_through_scalings_and_batch_norm():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4).eval()
    norm.running_var.uniform_(0.5, 2)
    x, weight = torch.randn(2, 4, 6, 6), torch.randn(4, 4, 1, 1)
    trace = SkipTrace()
    with torch.no_grad(), trace:
        stream, outer = x + 1, x * 3
        with trace.paused():
            out = F.conv2d(stream, weight)
            place = trace.layer(out)
        inner = norm(out) * 0.5 + stream
        inner = inner.mul(0.25) + outer
        inner.relu()
    skips = trace.skips(place)
    assert len(skips) == 2
    by_hand = (norm.running_var + norm.eps).sqrt() / norm.weight
    torch.testing.assert_close(skips[0].factor.flatten(), by_hand * 2)
    torch.testing.assert_close(skips[1].factor.flatten(), by_hand * 8)


def test_an_error_is_told_only_where_the_operation_that_was_traced_stands():
    first, second = torch.ones(1, 2), torch.full((1, 2), 3.0)
    for named, wanted in (("mul", torch.full((1, 2), -4.0)), ("add", None)):
        errors = SkipErrors([Skip(1, 0, 0.5, named)])
        with errors:
            (torch.cat([first, second]) * 4).detach()
        found = errors.of(Skip(1, 0, 0.5, named))
        assert found is None if wanted is None else torch.equal(found, wanted)


@pytest.mark.slow
def test_a_layer_that_ends_a_block_is_told_the_error_of_the_stream():
    model, told = made("RRDBNet"), {}
    images = fresh_batch(model)[:1]
    run_two_streams(model, images, lambda layer, full, x, target, errors: told.update({layer.name: len(errors)}))
    blocks = [name for name in told if name.endswith("conv5")]
    assert all(told[name] == (2 if "rdb3" in name else 1) for name in blocks) and len(blocks) == 3
    assert not any(told[name] for name in told if name.endswith(("conv1", "conv4")))
    run_two_streams(model, images, lambda *seen: told.update({seen[0].name: len(seen[4])}), repair=False)
    assert not any(told.values())


# -- allocation ------------------------------------------------------------------------------------


def test_allocation_is_the_best_that_holds_both_budgets():
    rng = np.random.default_rng(0)
    errors = {str(k): {b: float(s * 4.0**-b) for b in range(2, 7)} for k, s in enumerate(rng.uniform(1, 1e4, 5))}
    macs = {name: float(m) for name, m in zip(errors, (1, 2, 4, 8, 16))}

    def total(bits):
        return sum(errors[name][b] for name, b in bits.items())

    def holds(bits):
        means = np.mean(list(bits.values())), np.average(list(bits.values()), weights=list(macs.values()))
        return max(means) <= 4 + 1e-6

    every = (dict(zip(errors, (i + 2 for i in index))) for index in np.ndindex(5, 5, 5, 5, 5))
    best = min(total(bits) for bits in every if holds(bits))
    found = allocated(errors, macs, 4)
    assert holds(found) and total(found) == pytest.approx(best, rel=1e-3)
    with pytest.raises(ConfigError, match="no bits of"):
        allocated({"a": {5: 1.0}}, {"a": 1.0}, 4)


def test_candidates_keep_to_the_limits():
    step = AllocateBits()
    assert [step.candidates(base) for base in (4, 2, 1, 8, 10, 32)] == [
        [2, 3, 4, 5, 6], [2, 3, 4], [1, 2, 3], [6, 7, 8], [8, 9, 10], [32],
    ]  # fmt: skip


def test_projected_errors_are_those_of_the_output():
    """On a linear network the mean square of r . J e is that of the output's error itself."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 12, 3, padding=1), nn.PixelShuffle(2)).eval()
    descriptor = NetworkDescriptor("Sequential", 2, 1.0, {"0": Role.FIRST, "1": Role.BODY}, ())
    model = quantize(network, "minmax", descriptor=descriptor)
    images, layer = fresh_batch(model)[:1], model.layers["1"]
    ranges = {"1": ranges_by_bits(model, images, (3, 5), "minmax", 0.99)["1"]}
    errors = projected_errors(model, images, ranges, 400, 0)["1"]
    with torch.no_grad():
        x = network[0](images)
        for bits, (lower, upper) in ranges["1"].items():
            layer.activation.set_range(lower, upper)
            wanted = float((F.conv2d(layer.activation(x, bits) - x, layer.weight, padding=1)).square().sum())
            assert errors[bits] == pytest.approx(wanted, rel=0.25)


def test_a_residual_stream_past_a_layer_does_not_count():
    """The output's error of a layer whose weights are zero is zero, whatever goes past it."""

    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            nn.init.zeros_(self.b.weight)

        def forward(self, x):
            x = self.a(x)
            return F.interpolate(x + self.b(x), scale_factor=2)

    descriptor = NetworkDescriptor("Dead", 2, 1.0, {"a": Role.BODY, "b": Role.BODY}, ())
    model = quantize(Dead().eval(), "minmax", descriptor=descriptor)
    images = fresh_batch(model)
    errors = projected_errors(model, images, ranges_by_bits(model, images, (4,), "mse", 0.99), 2, 0)
    assert errors["b"][4] == 0 < errors["a"][4]


# -- what it costs, and what is refused -------------------------------------------------------------


def test_decided_weights_are_counted_once():
    model = made("EDSR")
    layers = [layer for layer in model.layers.values() if isinstance(layer, WeightedLayer)]
    by_hand = sum(layer.weight.numel() * layer.weight_bits + 32 * layer.bias.numel() for layer in layers)
    for layer in layers:
        by_hand += 32 * (2 + len(layer.weight))  # range, steps
        if layer.policy is not Policy.FIXED:
            by_hand += 32 * 2 * layer.in_channels  # shift, scale
    assert size_bits(model) == by_hand
    network = tiny("EDSR")
    assert size_bits(model, quantized=False) == 32 * sum(p.numel() for p in network.parameters())


def test_weights_by_tensor_and_unknown_observers_are_refused():
    with pytest.raises(ConfigError, match="needs weights by channel; set calibrate.granularity to channel"):
        adabm.preset("fast", {"calibrate.granularity": "tensor", "calibrate.weight": "omse"})
    with pytest.raises(ConfigError, match="unknown observer of weights by channel 'omse'"):
        adabm.preset("fast", {"calibrate.weight": "omse"})
    with pytest.raises(ConfigError, match="unknown rounding rule 'gptk'.*gptq"):
        adabm.preset("fast", {"round_weights.by": "gptk"})


@pytest.mark.parametrize("name, change, told", [
    ("weight_quantizer.step", lambda t: -t, "a step of the weights is not positive"),
    ("activation.domain.scale", lambda t: t * 2, "contradicts a tensor that is the same one"),
    ("activation.lower", lambda t: t + 1e6, "the activation range is empty"),
    ("", None, "layer_bits are not those"),
])  # fmt: skip
def test_parameters_that_no_step_makes_are_refused_behind_a_digest_too(tmp_path, name, change, told):
    path = tmp_path / "q.safetensors"
    adabm.save_quantized(made("EDSR"), path)
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["adabm"])
    tensors = load_file(path)
    if change is None:
        metadata["layer_bits"] = {}
    else:
        key = f"network.body.0.conv1.{name}"
        tensors[key] = change(tensors[key])
    metadata["sha256"] = content_sha256(tensors, metadata)
    save_file(tensors, path, {"adabm": json.dumps(metadata)})
    with pytest.raises(CheckpointError, match=told):
        adabm.load_quantized(path)


def test_costly_networks_get_fewer_rows_but_enough_for_least_squares(monkeypatch):
    model = adabm.quantize(tiny("EDSR"), IMAGES, adabm.preset("minmax"), patch_size=12, patches=2)[0]
    assert work_share(model) == 1
    seen = []
    monkeypatch.setattr(
        "adabm.steps.round_weights.least_squares",
        lambda w, b, inputs, *rest: seen.append(inputs.shape) or least_squares(w, b, inputs, *rest),
    )
    monkeypatch.setattr("adabm.steps.work_share._USUAL", 1.0)
    assert 0 < work_share(model) < 0.1
    adabm.quantize(tiny("EDSR"), IMAGES, adabm.preset("fast", SMALL), patch_size=12, patches=2)
    assert seen and all(rows == 2 * columns for rows, columns in seen)
