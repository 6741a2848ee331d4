"""Measures of the user's own see copies, and what they must not return is refused."""

import numpy as np
import pytest
import torch

import adabm
from adabm.quantization.bit_mapping import ALLOCATIONS, SENSITIVITIES
from adabm.quantization.channel_weights import CHANNEL_OBSERVERS
from adabm.quantization.complexity import COMPLEXITIES
from adabm.quantization.observers import ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS
from adabm.steps.rounding import ROUNDING_RULES
from helpers.cli_files import smooth
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

IMAGES = [smooth(seed, 24, 24) for seed in range(3)]
NAME = "of_the_test"
SETTINGS = {
    "range": (ACTIVATION_OBSERVERS, "calibrate.activation"),
    "width": (WEIGHT_OBSERVERS, "calibrate.weight"),
    "complexity": (COMPLEXITIES, "map_bits.image"),
    "sensitivity": (SENSITIVITIES, "map_bits.layer"),
    "allocation": (ALLOCATIONS, "map_bits.allocation"),
    "step": (CHANNEL_OBSERVERS, "calibrate.weight"),
    "rounding": (ROUNDING_RULES, "round_weights.by"),
}


def quantized(monkeypatch, kind, function):
    registry, setting = SETTINGS[kind]
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    registry.register(NAME)(function)
    config = adabm.preset("gptq" if kind in ("step", "rounding") else "adabm-notune", {setting: NAME})
    return adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=16)[0]


def upscaled(model):
    return adabm.upscale(model, IMAGES[0]).image


IN_PLACE = {
    "range": (lambda x, *_: (x.min(), x.max()), lambda x, *_: (x.min(), x.max(), x.zero_())[:2]),
    "width": (lambda w, *_: w.abs().max().reshape(1), lambda w, *_: (w.abs().max().reshape(1), w.zero_())[0]),
    "complexity": (lambda x, _: x.flatten(1).std(1), lambda x, _: (x.flatten(1).std(1), x.zero_())[0]),
    "sensitivity": (lambda _, x: x.std(), lambda _, x: (x.std(), x.zero_())[0]),
    "allocation": (lambda s, _: torch.sign(s - s.mean()), lambda s, _: s.copy_(torch.sign(s - s.mean()))),
    "step": (
        lambda w, bits: w.abs().amax(1, keepdim=True) / 2 ** (bits - 1),
        lambda w, bits: (w.abs().amax(1, keepdim=True) / 2 ** (bits - 1), w.zero_())[0],
    ),
    "rounding": (
        lambda w, b, gram, step, bits: ((w / step).round().clamp(-8, 7), b),
        lambda w, b, gram, step, bits: (w.div_(step).round_().clamp_(-8, 7), b + gram.zero_().sum()),
    ),
}


@pytest.mark.parametrize("kind", slow_among(IN_PLACE, ("step", "rounding")))
def test_what_changes_its_arguments_changes_nothing(monkeypatch, kind):
    plain, careless = (upscaled(quantized(monkeypatch, kind, function)) for function in IN_PLACE[kind])
    assert np.array_equal(plain, careless)


WRONG = {
    "nothing": dict.fromkeys(SETTINGS, lambda *_: None),
    "NaN": {
        "range": lambda x, *_: (x.min() * float("nan"), x.max()),
        "width": lambda w, *_: w.abs().max() * float("nan"),
        "complexity": lambda x, _: x.flatten(1).std(1) / 0,
        "sensitivity": lambda _, x: x.max() * float("nan"),
        "allocation": lambda s, _: s * float("nan"),
        "step": lambda w, _: w.amax(1, keepdim=True) * float("nan"),
        "rounding": lambda w, b, gram, step, bits: ((w / step).round().clamp(-8, 7), b * float("nan")),
    },
    "another shape": {
        "range": lambda x, *_: (x.amin((0, 2, 3)), x.amax((0, 2, 3))),
        "width": lambda w, *_: w.abs().amax((1, 2, 3)),
        "complexity": lambda x, _: x.flatten(1).std(1)[:1].expand(len(x) + 1),
        "sensitivity": lambda _, x: x.amax((0, 2, 3)),
        "allocation": lambda s, _: torch.ones(len(s) - 1),
        "step": lambda w, _: w.abs().max(),
        "rounding": lambda w, b, gram, step, bits: ((w / step).round().clamp(-8, 7)[:, :-1], b),
    },
    "nested": {
        "range": lambda x, *_: (x.min().view(1, 1), x.max().view(1, 1)),
        "width": lambda w, *_: w.max().view(1, 1),
    },
    "out of range": {
        "range": lambda x, *_: (x.max(), x.min()),
        "width": lambda w, *_: -w.abs().max(),
        "allocation": lambda s, _: torch.full_like(s, 5),
        "step": lambda w, _: torch.zeros(len(w), 1),
        "rounding": lambda w, b, gram, step, bits: ((w / step).round().clamp(-9, 8) * 9, b),
    },
    "no code": {"rounding": lambda w, b, gram, step, bits: ((w / step).clamp(-8, 7), b)},
    "no tensor": {
        "range": lambda x, *_: (0.0, 1.0),
        "width": lambda *_: 1.0,
        "complexity": lambda x, _: [1.0] * len(x),
    },
}


@pytest.mark.parametrize("what, kind", [(what, kind) for what, kinds in WRONG.items() for kind in kinds])
def test_what_must_not_be_returned_is_refused(monkeypatch, what, kind):
    with pytest.raises(adabm.AdabmError, match=f"'{NAME}' returns .*; it has to return"):
        quantized(monkeypatch, kind, WRONG[what][kind])


DRAWN = {
    "range": lambda x, *_: (x.min() * torch.rand(()), x.max()),
    "width": lambda w, *_: torch.rand(1),
    "complexity": lambda x, _: torch.rand(len(x)),
    "sensitivity": lambda _, x: torch.rand(()),
    "allocation": lambda s, _: torch.sign(torch.randn(len(s))),
    "step": lambda w, _: torch.rand(len(w), 1) + 0.1,
    "rounding": lambda w, b, gram, step, bits: (torch.randint(-8, 8, w.shape).float(), b),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_what_draws_is_refused(monkeypatch, kind):
    torch.manual_seed(0)
    with pytest.raises(adabm.AdabmError, match="something else each time"):
        quantized(monkeypatch, kind, DRAWN[kind])


BY_BATCH = {
    "mean": lambda x, _: x.flatten(1).std(1) / x.mean(),
    "max": lambda x, _: x.flatten(1).std(1) / x.max(),
    "rank": lambda x, _: x.flatten(1).std(1).argsort().argsort().float(),
    "first": lambda x, _: (x - x[:1]).abs().flatten(1).mean(1),
}


@pytest.mark.parametrize("by", BY_BATCH)
@pytest.mark.parametrize("count", [1, 2])
def test_a_complexity_that_goes_by_the_batch_is_refused(monkeypatch, by, count):
    monkeypatch.setattr(COMPLEXITIES, "_entries", dict(COMPLEXITIES._entries))
    COMPLEXITIES.register(NAME)(BY_BATCH[by])
    with pytest.raises(adabm.AdabmError, match=f"'{NAME}' returns something else for a picture where others stand"):
        COMPLEXITIES[NAME](torch.rand(count, 3, 8, 8), 1.0)


LAYERS = {
    "weights": lambda layer: layer.weight.data.mul_(1.5),
    "bits": lambda layer: setattr(layer, "activation_bits", 3),
    "a quantizer": lambda layer: setattr(layer, "activation", type(layer.activation)()),
}


@pytest.mark.parametrize("what", LAYERS)
def test_a_sensitivity_that_changes_its_layer_is_refused(monkeypatch, what):
    def changing(layer, x):
        LAYERS[what](layer)
        return x.std()

    with pytest.raises(adabm.AdabmError, match=f"layer sensitivity '{NAME}' changes the layer"):
        quantized(monkeypatch, "sensitivity", changing)
