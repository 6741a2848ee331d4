"""Settings that the bits, or ranges set anew by a later step, make idle: they are told of, and really change nothing."""

import numpy as np
import pytest
import torch
import yaml

import adabm
from adabm.cli import settings
from adabm.cli.entry import build_parser
from adabm.errors import ConfigError
from adabm.quantization.layers import QuantizedLayer
from adabm.recipes import QuantizationConfig, preset, read_recipe, shipped
from adabm.recipes.recipe import FOLDER
from helpers.slow import slow
from helpers.tiny_networks import tiny

pytestmark = pytest.mark.filterwarnings("error::UserWarning")
IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(4)]
SMALL = {
    "allocate_bits.pixels": 200, "round_weights.pixels": 200, "round_weights.rows": 200, "reconstruct.iterations": 2,
    "reconstruct.pixels": 200, "choose_levels.pixels": 200, "choose_levels.starts": 2, "allocate_by_gradient.batches": 1,
    "tune.rounds": 2, "tune.steps_per_round": 1,
}  # fmt: skip
A32, W32 = {"activation_bits": 32, "fully_quantized": False}, {"weight_bits": 32, "fully_quantized": False}
A8, BODY, BOTH16 = {"activation_bits": 8}, {"fully_quantized": False}, {"weight_bits": 16, "activation_bits": 16}
BY_BOUNDS, BY_CLIPPING = "search_bounds sets all ranges anew", "clip_outliers sets all activation ranges anew"
NO_WEIGHTS, NO_ACTIVATIONS = "no weights are quantized at these bits", "no activations are quantized at these bits"
LEVELS, GRADIENTS = "activations of 16 bits have all levels", "bits of 16 and more stay as they are"


def quantized(recipe, changes, bits):
    """What a tiny network computes with, and its bits; ranges of what stays in full precision are none of it."""
    own = read_recipe(recipe)
    small = {name: value for name, value in SMALL.items() if own.step(name.partition(".")[0])}
    config = QuantizationConfig(recipe=own.with_changes(small | changes), **bits)
    model, *_ = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=12, patches=4, batch_size=2)
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, QuantizedLayer)]
    unused = [f"{name}.activation." for name, layer in layers if layer.activation_bits == 32]
    unused += [f"{name}.weight_quantizer." for name, layer in layers if layer.weight_bits == 32]
    state = {name: value for name, value in model.state_dict().items() if not name.startswith((*unused, "-"))}
    return state, [(layer.activation_bits, layer.weight_bits) for _, layer in layers]


def same(one, other):
    (state, bits), (others, other_bits) = one, other
    return bits == other_bits and all(torch.equal(value, others[name]) for name, value in state.items())


@pytest.mark.parametrize(
    ("recipe", "bits", "given", "others", "why"),
    [
        ("dobi", {}, {"calibrate.activation": "percentile"}, {}, BY_BOUNDS),
        slow("dobi", {}, {"calibrate.weight": "omse"}, {}, BY_BOUNDS),
        slow("dobi", {}, {"calibrate.weight": "mse"}, {"calibrate.granularity": "channel"}, None),
        ("dobi", {}, {"calibrate.weight_search": "base"}, {}, BY_BOUNDS),
        ("dobi", BODY, {"calibrate.ema": 0.1}, {}, BY_BOUNDS),
        slow("dobi", {}, {"calibrate.activation": "omse"}, {"allocate_bits": {"pixels": 200}}, None),
        slow("2dquant", {}, {"calibrate.weight": "omse"}, {}, BY_BOUNDS),
        ("dbdc", {}, {"calibrate.activation": "percentile"}, {}, BY_CLIPPING),
        ("dbdc-pac", BODY, {"calibrate.ema": 0.1}, {}, BY_CLIPPING),
        ("dbdc", {}, {"calibrate.weight": "mse"}, {}, None),
        ("dbdc", {}, {"search_bounds": {"points": 5}}, {}, BY_CLIPPING),
        ("dfsq", {}, {"calibrate.activation": "percentile"}, {}, None),
        ("dbdc", A8, {"clip_outliers.outliers": 0.2}, {}, "no layer has activations of less than 8 bits"),
        ("dbdc", BODY, {"clip_outliers.outliers_8_bits": 0.2}, {}, "no layer has activations of 8 bits or more"),
        ("dbdc", {}, {"clip_outliers.outliers_8_bits": 0.2}, {}, None),
        ("dbdc", A32, {"clip_outliers.bins": 9}, {}, NO_ACTIVATIONS),
        ("fast", {"activation_bits": 32}, {"allocate_bits.pixels": 500}, {}, "activation_bits is 32"),
        slow("fast", W32, {"round_weights.by": "nearest"}, {}, NO_WEIGHTS),
        slow("fast", W32, {"round_weights.ranges": False}, {}, None),
        ("dfsq", BOTH16, {"choose_levels.starts": 3}, {}, LEVELS),
        ("dfsq", {"activation_bits": 32}, {"choose_levels.iterations": 1}, {}, "activation_bits is 32"),
        ("gba-dan", BOTH16, {"allocate_by_gradient.structure_weight": 0.0}, {}, GRADIENTS),
        ("gba-dan", {"activation_bits": 16}, {"allocate_by_gradient.weights": False}, {}, None),
        ("adaround", W32, {"reconstruct.iterations": 1}, {}, NO_WEIGHTS),
        ("minmax", A32, {"calibrate.activation": "percentile"}, {}, NO_ACTIVATIONS),
        ("minmax", {"activation_bits": 32}, {"calibrate.activation": "percentile"}, {}, None),
        ("minmax", W32, {"calibrate.weight": "omse"}, {}, NO_WEIGHTS),
        ("minmax", {"weight_bits": 32}, {"calibrate.weight": "omse"}, {}, None),
        ("adabm", {}, {"tune.relative_lr": True}, {"tune.groups": ["mapping"]}, "tune.groups has mapping alone"),
    ],
)  # fmt: skip
def test_what_is_told_to_be_idle_changes_nothing(recipe, bits, given, others, why):
    assert same(quantized(recipe, others, bits), quantized(recipe, others | given, bits)) == (why is not None)
    if why is None:
        preset(recipe, others | given, **bits)  # a warning would be an error
        return
    told = f"{next(iter(given))} has no effect, since {why}"
    with pytest.warns(UserWarning, match=told):
        preset(recipe, others | given, **bits)
    if not any(isinstance(value, dict) for value in (others | given).values()):
        with pytest.raises(ConfigError, match=told):
            settings.configuration(command(recipe, others | given, bits))


def command(recipe, changes, bits):
    given = {name: ",".join(value) if isinstance(value, list) else value for name, value in (changes | bits).items()}
    words = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    return build_parser().parse_args(["quantize", "--images", "a", "--output", "b", "--recipe", recipe, *words])


def test_a_group_of_mappings_that_are_not_there():
    groups = {"tune.groups": ["weight", "activation", "mapping"]}
    without, with_it = (
        quantized("minmax-tuned", changes, {}) for changes in ({"tune.groups": ["weight", "activation"]}, groups)
    )
    assert same(without, with_it)
    told = "mapping in tune.groups has no effect, since the recipe maps no bits; leave it out"
    with pytest.warns(UserWarning, match=told):
        preset("minmax-tuned", groups)
    with pytest.raises(ConfigError, match=told):
        settings.configuration(command("minmax-tuned", groups, {}))
    preset("adabm", groups)


@pytest.mark.parametrize(
    ("steps", "every", "idle"), [(20, 21, True), (20, 20, False), (60, 70, False), (20, 10, False), (60, 50, False)]
)
def test_measurements_that_are_never_reached(steps, every, idle):
    args = command("best", {"refine.steps": steps, "refine.every": every}, {})
    if idle:
        with pytest.raises(ConfigError, match=f"refine.every has no effect, since refine.steps is {steps}"):
            settings.configuration(args)
    else:
        settings.configuration(args)


def test_a_search_of_outliers_that_another_replaces(tmp_path):
    steps = {"calibrate": {"weight": "minmax"}, "clip_outliers": {}, "search_bounds": {}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    with pytest.raises(ConfigError, match=f"clip_outliers has no effect, since {BY_BOUNDS}"):
        read_recipe(tmp_path / "own.yaml")
    steps = {name: steps[name] for name in ("calibrate", "search_bounds", "clip_outliers")}  # weights' bounds stay
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    read_recipe(tmp_path / "own.yaml")


@pytest.mark.parametrize("bits", [{}, A8, BODY, A32, W32, BOTH16, {"activation_bits": 32}], ids=str)
def test_what_recipes_say_themselves_is_not_told_of(bits):
    for recipe in shipped().values():
        try:
            config = QuantizationConfig(recipe=recipe, **bits)
        except ConfigError:
            continue  # which these bits do not suit
        assert preset(recipe.name, **bits) == config  # a warning would be an error
        steps = yaml.safe_load((FOLDER / f"{recipe.name}.yaml").read_text())["steps"]
        assert read_recipe(FOLDER / f"{recipe.name}.yaml").to_dict().keys() == steps.keys()
