"""Options of fine-tuning: which groups take turns, and the bits that it aims at."""

import json

import numpy as np
import pytest
import torch
from test_fine_tuning import KINDS, calibrated, recipe, rounds_of, state_of, stream_of

from adabm.errors import ConfigError
from adabm.pictures.patches import pooled_batches
from adabm.recipes import QuantizationConfig
from adabm.steps.teacher import Teacher
from adabm.steps.tune import Tune
from adabm.steps.tuner import FineTuner, fine_tune
from helpers.configurations import configured

# -- groups ----------------------------------------------------------------------------------------


def kind_of(name: str) -> str | None:
    """The group that a parameter belongs to; the network's own belong to none."""
    module = name.split(".")[-2] if "." in name else ""
    return {
        "weight_quantizer": "weight",
        "activation": "activation",
        "layer2bit": "mapping",
        "image2bit": "mapping",
    }.get(module)


@pytest.mark.parametrize(
    "groups", [("weight",), ("activation",), ("mapping",), ("weight", "mapping"), ("mapping", "weight"), tuple(KINDS)]
)
def test_groups_take_turns_and_what_is_left_out_stays_as_clipped(groups):
    clipped = calibrated(fine_tuning=recipe(rounds=0))
    fine_tune(clipped, stream_of(clipped))
    before = state_of(clipped)
    model = calibrated(fine_tuning=recipe(rounds=4, groups=groups))
    steps = fine_tune(model, stream_of(model))
    assert rounds_of(steps) == [groups[i % len(groups)] for i in range(4)]
    moved = {kind_of(name) for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == set(groups)
    assert set(map(kind_of, before)) == {None, *KINDS}


def test_all_groups_in_their_order_by_default():
    assert Tune().groups == ("weight", "activation", "mapping")


def test_groups_survive_json():
    config = configured(fine_tuning=recipe(groups=["mapping", "weight"], target_bits=5))
    assert config.step("tune").groups == ("mapping", "weight")
    assert QuantizationConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("groups", [(), ("weights",), ("weight", "weight"), ("weight", "mapping", "bits"), "weight"])
def test_impossible_groups_are_named(groups):
    with pytest.raises(ConfigError, match="groups = .*: must be some of weight, activation, mapping, each once"):
        configured(fine_tuning=recipe(groups=groups))


def test_a_group_that_the_model_lacks():
    uniform = dict(image_mapping=False, layer_mapping=False)
    with pytest.raises(ConfigError, match="nothing to fine-tune: this model has no parameters of mapping"):
        fine_tune(model := calibrated(fine_tuning=recipe(groups=["mapping"]), **uniform), stream_of(model))
    model = calibrated(fine_tuning=recipe(groups=["mapping", "activation"]), **uniform)
    assert rounds_of(fine_tune(model, stream_of(model))) == ["activation"] * 3
    tuner = FineTuner(model, recipe(groups=["activation"]))
    with pytest.raises(ConfigError, match="group 'weight' is empty or unknown; this model has activation"):
        tuner.step("weight", next(stream_of(model)))


# -- target bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target, bit_weight", [(None, 50.0), (3.25, 50.0), (3.25, 8.0), (5.5, 50.0), (4, 50.0)])
def test_the_bit_loss_is_measured_against_the_target(target, bit_weight):
    model = calibrated()
    losses, bits = FineTuner(model, recipe(target_bits=target, bit_weight=bit_weight)).losses(next(stream_of(model)))
    assert losses.bit.item() == pytest.approx(bit_weight * max(0.0, bits - (4 if target is None else target)), abs=1e-4)
    assert (losses.bit.item() > 0) == (target == 3.25)


def test_a_low_target_pulls_every_layer_factor_down():
    """It adds to each factor's gradient the share of the layer in the feature average bits."""
    gradients = {}
    for target in (8, 2.0):
        model = calibrated()
        FineTuner(model, recipe(target_bits=target)).step("mapping", next(stream_of(model)))
        gradients[target] = {name: p.grad.item() for name, p in model.named_parameters() if name.endswith("factor")}
    assert len(gradients[8]) == 5 and all(gradients[2.0][name] > value for name, value in gradients[8].items())


def test_no_target_is_the_base_bits():
    results = []
    for target in (None, 4, 3.0):
        model = calibrated(fine_tuning=recipe(rounds=3, target_bits=target))
        fine_tune(model, stream_of(model))
        results.append(state_of(model))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert any(not torch.equal(results[0][name], results[2][name]) for name in results[0])


@pytest.mark.parametrize("target", [0, -1.0])
def test_impossible_targets_are_named(target):
    with pytest.raises(ConfigError, match=f"target_bits = {target}: must be a number > 0, or null"):
        recipe(target_bits=target)


# -- a pool of patches, and half-precision convolutions ---------------------------------------------


def test_patches_of_a_pool_take_turns_and_repeat():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in range(3)]
    stream = pooled_batches(images, 4, size=8, batch_size=2, seed=1, value_range=1.0)
    patches = torch.cat([next(stream) for _ in range(6)])
    names = [patch.numpy().tobytes() for patch in patches]
    assert all(len(set(names[i : i + 4])) == 4 for i in (0, 4, 8)) and len(set(names)) == 4
    again = pooled_batches(images, 4, size=8, batch_size=2, seed=1, value_range=1.0)
    assert torch.equal(patches[:2], next(again))


def test_a_kept_teacher_gives_what_the_network_gives_and_runs_once_an_image():
    model = calibrated()
    images = torch.rand(2, 3, 8, 8)
    runs = []
    model.network.register_forward_hook(lambda *_: runs.append(1))
    teacher, fresh = Teacher(model, keep=True), Teacher(model)
    kept = [teacher(images), teacher(images.flip(0)), teacher(images)]
    assert len(runs) == 2
    with model.full_precision():
        for got, batch in zip(kept, (images, images.flip(0), images)):
            torch.testing.assert_close(got.image, model(batch).detach())
    expected = fresh(images)
    assert [b.shape for b in kept[0].blocks] == [b.shape for b in expected.blocks] and kept[0].blocks
    for got, wanted in zip(kept[0].blocks, expected.blocks):
        torch.testing.assert_close(got, wanted)


def test_half_precision_convolutions_change_the_steps_little_and_the_model_stays_single():
    losses = {}
    for kind in ("float32", "bfloat16"):
        model = calibrated()
        step = FineTuner(model, recipe(convolutions=kind)).step("activation", torch.rand(2, 3, 8, 8))
        losses[kind] = step.pixel
        assert model.context.computing is None and {p.dtype for p in model.parameters()} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


@pytest.mark.parametrize("given", ["on_step", "progress"])
def test_arguments_of_another_type(given):
    model = calibrated(fine_tuning=recipe())
    with pytest.raises(ConfigError, match=f"{given} = 5: must be "):
        fine_tune(model, stream_of(model), **{given: 5})
