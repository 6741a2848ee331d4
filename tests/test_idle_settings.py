"""Settings that nothing is done with: they are told of, and really change nothing; their neighbours do."""

import numpy as np
import pytest
import torch
import yaml

import adabm
from adabm.cli import settings
from adabm.cli.entry import build_parser
from adabm.errors import ConfigError
from adabm.recipes import QuantizationConfig, preset, read_recipe
from adabm.recipes.recipe import FOLDER
from helpers.slow import slow
from helpers.tiny_networks import tiny

pytestmark = pytest.mark.filterwarnings("error::UserWarning")
IMAGES = [np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in range(4)]
ANEW = "round_weights sets all ranges anew"
SAME = "the same at all bits"


def quantized(recipe, changes):
    """The state of a tiny network, two batches of calibration patches having been seen."""
    small = dict.fromkeys(("allocate_bits.pixels", "round_weights.pixels", "round_weights.rows"), 300)
    own = read_recipe(recipe).with_changes(changes)
    own = own.with_changes({name: value for name, value in small.items() if own.step(name.partition(".")[0])})
    config = QuantizationConfig(recipe=own)
    model, *_ = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=16, patches=4, batch_size=2)
    return model.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("recipe", "given", "others", "why"),
    [
        ("fast", {"calibrate.ema": 0.2}, {}, ANEW),
        slow("fast", {"calibrate.weight_search": "base"}, {}, ANEW),
        slow("fast-adaptive", {"calibrate.ema": 0.2}, {}, ANEW),
        ("fast", {"calibrate.ema": 0.2}, {"round_weights.ranges": False, "allocate_bits": None}, None),
        slow("fast", {"calibrate.weight_search": "base"}, {"round_weights.ranges": False, "allocate_bits": None}, None),
        ("minmax", {"calibrate.weight_search": "own"}, {}, SAME),
        ("percentile", {"calibrate.weight_search": "own"}, {}, SAME),
        ("minmax", {"calibrate.weight_search": "own"}, {"calibrate.granularity": "channel"}, None),
        ("minmax", {"calibrate.weight_search": "own"}, {"calibrate.weight": "omse"}, None),
        ("minmax", {"calibrate.percentile": 0.9}, {}, "neither calibrate.activation nor"),
        ("percentile", {"calibrate.percentile": 0.9}, {}, None),
    ],
)
def test_what_is_told_to_be_idle_changes_nothing(recipe, given, others, why):
    assert same(quantized(recipe, others), quantized(recipe, others | given)) == (why is not None)
    words = [f"{name}={'none' if value is None else value}" for name, value in (others | given).items()]
    argv = [
        "quantize",
        "--images",
        "a",
        "--output",
        "b",
        "--recipe",
        recipe,
        *(w for text in words for w in ("--set", text)),
    ]
    args = build_parser().parse_args(argv)
    if why is None:
        settings.configuration(args)
        preset(recipe, others | given)  # a warning would be an error
        return
    with pytest.raises(ConfigError, match=f"{next(iter(given))} has no effect, since .*{why}"):
        settings.configuration(args)
    with pytest.warns(UserWarning, match=f"{next(iter(given))} has no effect, since .*{why}") as told:
        preset(recipe, others | given)
    assert told[0].filename == __file__  # the line of whoever asked


@pytest.mark.parametrize(
    ("step", "settings"), [("clip", {"share": 0.3}), ("search_bounds", {"points": 7}), ("clip_outliers", {})]
)
def test_a_step_whose_ranges_are_replaced_is_told_to_be_idle(tmp_path, step, settings):
    changes = {"allocate_bits": None, step: settings}
    with pytest.warns(UserWarning, match=f"{step} has no effect, since {ANEW}") as told:
        preset("fast", changes)
    assert len(told) == 1  # not for each of its settings, too
    without, with_it = quantized("fast", {"allocate_bits": None}), quantized("fast", changes)
    assert same(without, {name: value for name, value in with_it.items() if name in without})
    steps = read_recipe("fast").with_changes(changes).to_dict()
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    with pytest.raises(ConfigError, match=f"own.yaml: {step} has no effect, since {ANEW}"):
        read_recipe(tmp_path / "own.yaml")
    steps["round_weights"]["ranges"] = False
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    read_recipe(tmp_path / "own.yaml")


def test_settings_of_a_whole_step_are_looked_at():
    with pytest.warns(UserWarning, match="calibrate.percentile has no effect, since neither"):
        preset("minmax", {"calibrate": {"percentile": 0.9}})


@pytest.mark.parametrize("recipe", ["fast", "minmax"])
def test_a_recipe_file_may_say_at_which_bits_ranges_are_searched(tmp_path, recipe):
    steps = yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())["steps"]
    steps["calibrate"]["weight_search"] = "own"
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    assert read_recipe(tmp_path / "own.yaml").step("calibrate").weight_search == "own"


def asked_for(*words):
    return build_parser().parse_args(["quantize", "--images", "a", "--output", "b", *words])


def test_fixed_bits_that_no_layer_has():
    with pytest.raises(ConfigError, match="fixed_bits has no effect, since fully_quantized is false.*; leave it out"):
        settings.configuration(asked_for("--body-only", "--set", "fixed_bits=3"))
    with pytest.warns(UserWarning, match="fixed_bits has no effect") as told:
        preset("minmax", fully_quantized=False, fixed_bits=3)
    assert told[0].filename == __file__
    assert settings.configuration(asked_for("--set", "fixed_bits=3"))[0].fixed_bits == 3
    assert not settings.configuration(asked_for("--body-only"))[0].fully_quantized


@pytest.mark.parametrize(
    ("recipe", "words", "idle", "why"),
    [
        ("adabm", ["--rounds", "0", "--steps-per-round", "7"], "tune.steps_per_round", "tune.rounds is 0"),
        ("adabm", ["--rounds", "0", "--set", "tune.lr_weight=0.5"], "tune.lr_weight", "tune.rounds is 0"),
        ("best", ["--set", "refine.steps=0", "--set", "refine.every=5"], "refine.every", "refine.steps is 0"),
    ],
)
def test_settings_of_training_that_takes_no_step(recipe, words, idle, why):
    with pytest.raises(ConfigError, match=f"{idle} has no effect, since {why}; leave it out"):
        settings.configuration(asked_for("--recipe", recipe, *words))
    settings.configuration(asked_for("--recipe", recipe, *words[:2]))


@pytest.mark.parametrize(
    ("recipe", "changes", "told"),
    [
        ("adabm-image", {"deal_factors": {}}, r"deal_factors: the recipe maps no layers \(map_bits.layer is null\)"),
        (
            "gba-dan",
            {"allocate_by_gradient": {"weights": False, "activations": False}},
            "allocate_by_gradient.activations = False: must be true where weights is false",
        ),
    ],
)
def test_steps_that_would_do_nothing(recipe, changes, told):
    with pytest.raises(ConfigError, match=told):
        preset(recipe, changes)
