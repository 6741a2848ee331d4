"""A method of one's own: each kind of new thing is added by its file and a recipe, outside the package."""

from functools import cache

import numpy as np
import pytest
import torch

import adabm
from adabm.cli import main
from adabm.engines.cost import size_bits
from adabm.pictures.patches import calibration_batches
from helpers.registries import forgetting
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8) for i in range(4)]

CHANNEL_WEIGHTS = '''
"""Weight ranges for each output channel."""
from dataclasses import dataclass
import torch
from torch import nn
from adabm.quantization.tunable import Tunable
from adabm.steps import RANGES, Step, step

class ChannelWeightQuantizer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1, 1))
    def forward(self, weight, bits):
        clamped = torch.minimum(torch.maximum(weight, -self.scale), self.scale)
        steps = 2**bits - 1
        codes = (clamped + self.scale) / (2 * self.scale) * steps
        codes = codes + (codes.round() - codes).detach()
        return codes / steps * 2 * self.scale - self.scale
    def set_scale(self, scale):
        self.scale.data.copy_(scale.expand_as(self.scale))
    def tunables(self):
        yield Tunable("weight", "weight", (self.scale,), keep_valid=lambda width: self.scale.clamp_min_(1e-8))

@step("channel_weights")
@dataclass(frozen=True)
class ChannelWeights(Step):
    needs = frozenset({RANGES})
    def install(self, model):
        for layer in model.layers.values():
            layer.weight_quantizer = ChannelWeightQuantizer(layer.out_channels)
    def apply(self, model, workspace):
        for layer in model.layers.values():
            layer.weight_quantizer.set_scale(layer.weight.abs().amax((1, 2, 3), keepdim=True))
'''
ROUND_DOWN = '''
"""A rounding rule: weights are rounded towards minus infinity."""
from dataclasses import dataclass
import torch
from adabm.quantization.quantizers import WeightQuantizer
from adabm.steps import Step, step

class Down(WeightQuantizer):
    def forward(self, weight, bits):
        steps = 2**bits - 1
        clamped = torch.minimum(torch.maximum(weight, -self.scale), self.scale)
        return ((clamped + self.scale) / (2 * self.scale) * steps).floor() / steps * 2 * self.scale - self.scale

@step("round_down")
@dataclass(frozen=True)
class RoundDown(Step):
    def install(self, model):
        for layer in model.layers.values():
            layer.weight_quantizer = Down()
'''
MEASURES = '''
"""An image complexity, a layer sensitivity and a bit allocation."""
import torch
from adabm.quantization.bit_mapping import ALLOCATIONS, SENSITIVITIES
from adabm.quantization.complexity import COMPLEXITIES

@COMPLEXITIES.register("variance")
def variance(images, value_range):
    return (images / value_range).flatten(1).var(1) * 1000

@SENSITIVITIES.register("spread")
def spread(layer, x):
    return x.max() - x.min()

@ALLOCATIONS.register("all_but_one")
def all_but_one(sensitivities, percentile):
    return torch.where(sensitivities == sensitivities.min(), -1.0, 1.0)
'''
ALLOCATE = '''
"""Bits of each layer by a rule: from `least` for the first layer to `most` for the last."""
from dataclasses import dataclass
from adabm.quantization.bit_rule import Policy
from adabm.steps import Step, step

@step("rising_bits")
@dataclass(frozen=True)
class RisingBits(Step):
    least: int = 2
    most: int = 6
    def apply(self, model, workspace):
        adaptive = [layer for layer in model.layers.values() if layer.policy is Policy.ADAPTIVE]
        for index, layer in enumerate(adaptive):
            layer.activation_bits = self.least + (self.most - self.least) * index // max(len(adaptive) - 1, 1)
'''
SHIFT = '''
"""Channel-wise shift and equalization of what is quantized, found in a pass of their own."""
from dataclasses import dataclass
import torch
from torch import nn
from adabm.steps import Step, Watcher, step

class Affine(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
    def forward(self, x):
        return (x - self.shift) / self.scale
    def inverse(self, x):
        return x * self.scale + self.shift

@step("center_channels")
@dataclass(frozen=True)
class CenterChannels(Step):
    strength: float = 0.5
    changes_network = True
    def install(self, model):
        for layer in model.layers.values():
            layer.activation.domain = Affine((1, layer.in_channels, 1, 1))
            layer.weight_quantizer.domain = Affine((1, layer.in_channels // layer.groups, 1, 1))
    def watch(self, model):
        return Statistics(self, model)

class Statistics(Watcher):
    def __init__(self, settings, model):
        self.settings, self.model, self.sums = settings, model, {}
    def layer(self, layer, x):
        seen = self.sums.setdefault(layer.name, [0, 0.0, 0.0])
        seen[0] += x[:, 0].numel()
        seen[1] = seen[1] + x.sum((0, 2, 3), keepdim=True)
        seen[2] = seen[2] + (x * x).sum((0, 2, 3), keepdim=True)
    def finish(self, record):
        for name, layer in self.model.layers.items():
            count, total, squares = self.sums[name]
            layer.activation.domain.shift.copy_(total / count)
            scale = (squares / count).sqrt().clamp_min(1e-3) ** self.settings.strength
            layer.activation.domain.scale.copy_(scale)
            if layer.groups == 1:
                layer.weight_quantizer.domain.scale.copy_(1 / scale)
'''

METHODS = {
    "per-channel weights": (CHANNEL_WEIGHTS, "calibrate: {weight: minmax}\n  channel_weights: {}\n  tune: {rounds: 2, steps_per_round: 1}"),
    "a rounding rule": (ROUND_DOWN, "round_down: {}\n  calibrate: {weight: minmax}"),
    "an image complexity": (MEASURES, "calibrate: {}\n  map_bits: {image: variance, layer: null}\n  clip: {}"),
    "a layer sensitivity": (MEASURES, "calibrate: {}\n  map_bits: {image: null, layer: spread}"),
    "a bit allocation": (MEASURES, "calibrate: {}\n  map_bits: {image: null, layer: spread, allocation: all_but_one}"),
    "bits of each layer": (ALLOCATE, "calibrate: {}\n  rising_bits: {least: 3}"),
    "shifts and equalization": (SHIFT, "center_channels: {strength: 0.5}\n  calibrate: {weight: omse_absmax}\n  clip: {}"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def registries():
    with forgetting():
        yield


@pytest.fixture(params=METHODS)
def recipe(request, tmp_path):
    source, steps = METHODS[request.param]
    (tmp_path / "mine.py").write_text(source)
    path = tmp_path / "mine.yaml"
    path.write_text(f"label: Mine\nimports: [mine.py]\nsteps:\n  {steps}\n")
    return request.param, path


NETWORKS = {
    "EDSR": lambda: tiny("EDSR"),
    "RRDBNet": lambda: tiny("RRDBNet", num_block=1),
    "SRResNet": lambda: tiny("SRResNet"),
}


@cache
def uniform(network):
    """The network with uniform bits, which no test changes."""
    return adabm.quantize(NETWORKS[network](), IMAGES, "minmax", patch_size=12, patches=6, batch_size=3)[0]


@pytest.mark.parametrize("network", slow_among(NETWORKS, ("RRDBNet", "SRResNet")))
def test_a_method_of_ones_own(recipe, network, tmp_path):
    kind, path = recipe
    config = adabm.preset(path, weight_bits=4, activation_bits=4)
    model, record, steps = adabm.quantize(NETWORKS[network](), IMAGES, config, patch_size=12, patches=6, batch_size=3)
    images = calibration_batches(IMAGES, 12, 4, 1, model.descriptor.value_range)[0]
    out = model.infer(images)
    assert torch.isfinite(out.image).all() and len(record.complexities) == 6
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors").infer(images)
    assert torch.equal(again.image, out.image) and torch.equal(again.feature_average_bits, out.feature_average_bits)
    plain = uniform(network)
    assert not torch.equal(plain.infer(images).image, out.image)  # it does something
    if kind == "per-channel weights":
        assert len(steps) == 2 and size_bits(model) > size_bits(plain)
        assert all(m.weight_quantizer.scale.shape == (m.out_channels, 1, 1, 1) for m in model.layers.values())
    if kind == "bits of each layer":
        assert {float(bits[0]) for name, bits in out.layer_bits.items()} >= {3.0, 6.0}
    if kind == "shifts and equalization":
        # MinMax over the same patches needs ranges that hold all channels; shifted ones are narrower
        with torch.no_grad(), model.full_precision(), plain.full_precision():
            assert torch.equal(model(images), plain(images))


def test_from_the_command_line(recipe, tmp_path, capsys):
    from adabm.pictures.writing import write_image

    for index, image in enumerate(IMAGES):
        write_image(tmp_path / "LR" / f"{index}.png", image)
    adabm.save_network(tiny("EDSR"), tmp_path / "net.safetensors")
    output = tmp_path / "q.safetensors"
    command = ["quantize", "--images", str(tmp_path / "LR"), "--network", str(tmp_path / "net.safetensors"),
               "--patch-size", "12", "--recipe", str(recipe[1]), "--output", str(output)]  # fmt: skip
    assert main(command) == 0
    assert main(["recipes", str(recipe[1])]) == 0
    assert main(["info", str(output)]) == 0
    out = capsys.readouterr().out
    assert "Mine" in out and f"recipe {recipe[1]}" in out


def test_a_misspelt_step_of_ones_own(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(ALLOCATE)
    (tmp_path / "mine.yaml").write_text("imports: [mine.py]\nsteps: {calibrate: {}, rising_bit: {}}\n")
    assert main(["recipes", str(tmp_path / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "unknown step 'rising_bit'; did you mean 'rising_bits'" in error
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "mine.yaml").write_text("imports: [broken.py]\nsteps: {calibrate: {}}\n")
    assert main(["recipes", str(tmp_path / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "broken.py:1: cannot be imported: ZeroDivisionError" in error


BREAKING = {
    "a layer that is another": (
        "model.network.conv_first = copy.deepcopy(model.network.conv_first)",
        "'conv_first' is another one",
    ),
    "a plain layer again": (
        "model.network.conv_last = nn.Conv2d(8, 3, 3, padding=1)",
        "'conv_last' is gone",
    ),
    "a layer left out": ("model.network.body[0].conv1 = nn.Identity()", "'body.0.conv1' is gone"),
}


@pytest.mark.parametrize("when", ["install(self, model)", "apply(self, model, workspace)"])
@pytest.mark.parametrize("what", BREAKING)
def test_a_step_that_does_not_leave_the_layers_in_their_places(what, when, tmp_path):
    line, told = BREAKING[what]
    (tmp_path / "mine.py").write_text(
        "import copy\nfrom dataclasses import dataclass\nfrom torch import nn\nfrom adabm.steps import Step, step\n\n"
        f"@step('breaking')\n@dataclass(frozen=True)\nclass Breaking(Step):\n    def {when}:\n        {line}\n"
    )
    (tmp_path / "mine.yaml").write_text("imports: [mine.py]\nsteps: {calibrate: {}, breaking: {}}\n")
    with pytest.raises(adabm.AdabmError, match=f"step 'breaking': the quantized layer {told}"):
        adabm.quantize(
            tiny("EDSR"), IMAGES, adabm.preset(tmp_path / "mine.yaml", fully_quantized=True), patch_size=12, patches=3
        )


@pytest.mark.parametrize("when", ["install(self, model)", "apply(self, model, workspace)"])
@pytest.mark.parametrize("bits", ["4.5", "0", "-2", "33", "24", "float('nan')", "[4]"])
@pytest.mark.parametrize("what", ["activation_bits", "weight_bits"])
def test_a_step_that_sets_impossible_bits(what, bits, when, tmp_path):
    """They would be computed with, and told, as long as the model is not saved."""
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom adabm.steps import Step, step\n\n"
        f"@step('breaking')\n@dataclass(frozen=True)\nclass Breaking(Step):\n    def {when}:\n"
        f"        model.layers['conv_last'].{what} = {bits}\n"
    )
    (tmp_path / "mine.yaml").write_text("imports: [mine.py]\nsteps: {calibrate: {}, breaking: {}}\n")
    with pytest.raises(adabm.AdabmError, match=f"step 'breaking': {what} of the layer 'conv_last' are"):
        adabm.quantize(
            tiny("EDSR"), IMAGES, adabm.preset(tmp_path / "mine.yaml", fully_quantized=True), patch_size=12, patches=3
        )


def test_a_step_that_puts_another_configuration_into_the_model_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nimport adabm\nfrom adabm.steps import Step, step\n\n"
        "@step('other_bits')\n@dataclass(frozen=True)\nclass OtherBits(Step):\n"
        "    def apply(self, model, workspace):\n        model.config = adabm.preset('minmax', activation_bits=8)\n"
    )
    (tmp_path / "mine.yaml").write_text("imports: [mine.py]\nsteps: {calibrate: {}, other_bits: {}}\n")
    with pytest.raises(adabm.AdabmError, match="step 'other_bits': puts another configuration"):
        adabm.quantize(tiny("EDSR"), IMAGES, adabm.preset(tmp_path / "mine.yaml"), patch_size=12, patches=3)
