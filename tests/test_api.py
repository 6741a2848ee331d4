"""The whole recipe in one call, on every known network."""

import numpy as np
import pytest
import torch
from test_model import pictures

from adabm.api import quantize
from adabm.errors import DataError
from adabm.recipes import preset
from helpers.configurations import asked
from helpers.tiny_networks import TINY, tiny


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("fully", [False, True], ids=["body", "FQ"])
def test_quantize_end_to_end(name, fully):
    rng = np.random.default_rng(0)
    smooth = np.linspace(60, 180, 14, dtype=np.float64)[None, :, None]
    images = [(smooth + rng.normal(0, s, (14, 14, 3))).clip(0, 255).astype(np.uint8) for s in (2, 8, 20, 40, 70)]
    tuning = dict(rounds=3, steps_per_round=2, batch_size=2, patch_size=8)
    seen = []
    model, record, steps = quantize(
        tiny(name), images, asked("adabm-relative", fully_quantized=fully, fine_tuning=tuning),
        patch_size=12, batch_size=3, on_step=seen.append,
    )  # fmt: skip
    assert record.complexities.shape == (5,) and set(record.sensitivities) == set(model.layers)
    assert [s.group for s in steps] == ["weight"] * 2 + ["activation"] * 2 + ["mapping"] * 2 and seen == steps
    test = pictures(model, 2)
    with torch.no_grad():
        out = model.infer(test)
        with model.full_precision():
            teacher = model(test)
    assert out.image.shape == (2, 3, 10 * model.descriptor.scale, 10 * model.descriptor.scale)
    assert ((out.feature_average_bits >= 2) & (out.feature_average_bits <= 6)).all()
    error, spread = (out.image - teacher).square().mean(), (teacher - teacher.mean()).square().mean()
    assert 0 < error < spread  # nearer to the teacher than a constant picture


def test_quantize_without_fine_tuning_still_clips():
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)] * 2
    network = tiny("EDSR")
    clipped, _, steps = quantize(network, images, preset("adabm-notune"), patch_size=12)
    unclipped, _, _ = quantize(network, images, asked("adabm-notune", clipping=False), patch_size=12)
    assert steps == [] and clipped.clipped
    narrow, wide = (model.layers["body.0.conv1"].activation.upper for model in (clipped, unclipped))
    assert 0 < narrow < wide


def test_same_seed_same_model():
    images = [np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)] * 4
    config = asked("adabm", fine_tuning=dict(rounds=3, steps_per_round=1, patch_size=8))
    states = [quantize(tiny("EDSR"), images, config, patch_size=12, seed=s)[0].state_dict() for s in (1, 1, 2)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no calibration picture"),
        (np.zeros((4, 16, 16, 3), np.uint8), "expected a list"),
        ([np.zeros((16, 16), np.uint8)], r"uint8 \(16, 16\)"),
        ([np.zeros((16, 16, 3))], "float64"),
        ([np.zeros((3, 16, 16), np.uint8)], r"\(3, 16, 16\)"),
        (["picture.png"], "str"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(DataError, match=message):
        quantize(tiny("EDSR"), images, preset("minmax"), patch_size=8)


def test_a_rule_after_calibration_sees_the_calibrated_model_before_clipping():
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)] * 2
    seen = []

    def rule(model):
        seen.append((model.calibrated, model.clipped, model.layers["body.0.conv1"].activation.upper.item()))
        model.layers["body.0.conv1"].layer2bit.factor.data.fill_(-1.0)

    config = asked("adabm-notune", image_mapping=False)
    ruled, record, _ = quantize(tiny("EDSR"), images, config, patch_size=12, after_calibration=rule)
    plain, _, _ = quantize(tiny("EDSR"), images, config, patch_size=12)
    layer, other = (model.layers["body.0.conv1"] for model in (ruled, plain))
    assert seen == [(True, False, seen[0][2])] and ruled.clipped
    assert (
        layer.layer2bit.factor == -1 != other.layer2bit.factor
        and record.layer_factors["body.0.conv1"] == other.layer2bit.factor
    )
    assert layer.activation.upper < other.activation.upper < seen[0][2], "clipping works for the bits of the rule"
