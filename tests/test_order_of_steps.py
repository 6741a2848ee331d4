"""The order of a recipe's steps: what would undo or spoil what another left is refused, and what changes add goes where it belongs."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import adabm
import adabm.steps.clip
import adabm.steps.tuner
from adabm.errors import ConfigError
from adabm.quantization.bit_rule import bits_without_image
from adabm.recipes import QuantizationConfig, Recipe, preset, read_recipe
from adabm.steps import RANGES, Step, Watcher, find_step, step
from helpers.registries import forgetting
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(2)]
CHANNEL = {"granularity": "channel", "weight": "mse"}
TUNE = {"rounds": 1, "steps_per_round": 1}


@pytest.fixture(autouse=True)
def registries():
    with forgetting():
        yield


def recipe(*names, **settings):
    return Recipe.from_dict("own", {name: settings.get(name) for name in names})


def quantized(recipe, network="EDSR"):
    return adabm.quantize(tiny(network), IMAGES, QuantizationConfig(recipe=recipe), patch_size=12, patches=2)[0]


def names(recipe):
    return [step.name for step in recipe.steps]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "early", "before"),
    [
        *[(late, "calibrate", ()) for late in ("shift_channels", "equalize", "equalize_layers")],
        *[
            (late, early, ("calibrate",))
            for late in ("map_bits", "allocate_bits", "allocate_by_gradient", "clip_outliers", "search_bounds")
            for early in ("clip", "round_weights", "reconstruct", "correct_bias", "tune", "refine")
        ],
        *[
            (late, early, ("calibrate",))
            for late in ("map_bits", "allocate_bits", "allocate_by_gradient")
            for early in ("clip_outliers", "search_bounds")
        ],
        *[("deal_factors", early, ("calibrate", "map_bits")) for early in ("clip_outliers", "search_bounds")],
        *[
            (late, early, ("calibrate",))
            for late in ("split_ranges", "choose_levels", "normalize_channels")
            for early in ("round_weights", "tune", "refine")
        ],
        *[("deal_factors", early, ("calibrate", "map_bits")) for early in ("clip", "tune", "refine")],
        *[("start_thresholds", early, ("calibrate", "map_bits")) for early in ("tune", "refine")],
        *[("clip", early, ("calibrate",)) for early in ("tune", "refine")],
        ("round_weights", "correct_bias", ("calibrate",)),
        ("round_weights", "refine", ("calibrate",)),
    ],
)
def test_steps_out_of_order_are_refused(late, early, before):
    with pytest.raises(
        ConfigError, match=f"step '{late}' stands behind '{early}', whose .*; put '{late}' before '{early}'"
    ):
        recipe(*before, early, late)
    assert names(recipe(*before, late, early)) == [*before, late, early]


def test_two_steps_that_decide_everything_are_refused():
    for order in (("round_weights", "reconstruct"), ("reconstruct", "round_weights")):
        with pytest.raises(
            ConfigError, match=f"step '{order[1]}' stands behind '{order[0]}', .*; leave one of them out"
        ):
            recipe("calibrate", *order)


def test_what_may_stand_behind_what_is_trained_or_decided():
    """Weights rounded for ranges that were tuned, biases for codes that were decided, all of them trained."""
    assert names(recipe("calibrate", "tune", "round_weights", "correct_bias", "refine")) == [
        "calibrate", "tune", "round_weights", "correct_bias", "refine",
    ]  # fmt: skip
    assert names(recipe("calibrate", "refine", "tune")) == ["calibrate", "refine", "tune"]


# -- where changes put a step ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "added", "order"),
    [
        ("minmax", ("equalize",), "equalize calibrate"),
        ("minmax", ("shift_channels", "equalize"), "shift_channels equalize calibrate"),
        ("mse", ("equalize_layers",), "equalize_layers calibrate"),
        ("minmax", ("map_bits",), "calibrate map_bits"),
        ("minmax-tuned", ("map_bits", "clip"), "calibrate map_bits clip tune"),
        ("minmax-tuned", ("clip", "map_bits"), "calibrate map_bits clip tune"),
        ("adabm", ("deal_factors",), "calibrate map_bits deal_factors clip tune"),
        ("adabm", ("search_bounds",), "calibrate map_bits search_bounds clip tune"),
        ("fast", ("clip_outliers",), "shift_channels equalize calibrate allocate_bits clip_outliers round_weights"),
        ("dobi", ("allocate_bits",), "calibrate allocate_bits search_bounds"),
        ("gptq", ("correct_bias",), "calibrate round_weights correct_bias"),
        ("gptq", ("tune",), "calibrate round_weights tune"),
        ("fast", ("refine",), "shift_channels equalize calibrate allocate_bits round_weights refine"),
    ],
)
def test_what_changes_add_stands_where_it_works(name, added, order):
    assert names(read_recipe(name).with_changes({one: {} for one in added})) == order.split()


def test_equalization_that_is_added_is_that_of_a_recipe_with_it():
    states = [
        quantized(one).state_dict()
        for one in (
            read_recipe("minmax").with_changes({"equalize": {}}),
            recipe("equalize", "calibrate", calibrate={"weight": "minmax"}),
        )
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


# -- bits that a search goes by ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "called"), [("search_bounds", "searched"), ("clip_outliers", "bits_without_image")])
def test_ranges_are_searched_at_the_bits_of_the_mapped_layers(monkeypatch, name, called):
    module, seen = sys.modules[find_step(name).__module__], []
    found = getattr(module, called)
    of = {"searched": lambda x, bits, settings: bits, "bits_without_image": bits_without_image}[called]
    monkeypatch.setattr(module, called, lambda *args: seen.append(of(*args)) or found(*args))
    own = recipe("calibrate", "map_bits", name, map_bits={"layer_percentile": 30.0})
    model, record, _ = adabm.quantize(
        tiny("EDSR"), IMAGES, QuantizationConfig(recipe=own), patch_size=12, patches=2, batch_size=2
    )
    bits = sorted(map(bits_without_image, model.layers.values()))
    assert sorted(seen) == bits and len(set(bits)) > 2
    assert record.layer_factors and record.sensitivities  # of the pass before


# -- steps that leave nothing of others -------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "settings", "told"),
    [
        ("round_weights", {}, "round_weights would set all ranges anew; set round_weights.ranges to false"),
        ("allocate_bits", {}, "does not go with allocate_bits; leave one of them out"),
    ],
)
def test_split_ranges_are_not_set_anew(last, settings, told):
    split = recipe("calibrate", "split_ranges", last, calibrate=CHANNEL, **{last: settings})
    with pytest.raises(ConfigError, match=f"split_ranges: {told}"):
        QuantizationConfig(recipe=split)


def test_weights_rounded_for_split_ranges_that_stay():
    settings = {"calibrate": CHANNEL, "split_ranges": {"points": 5}}
    rounding = {"ranges": False, "pixels": 200, "rows": 100}
    split, rounded = (
        quantized(recipe("calibrate", "split_ranges", *more, **settings, round_weights=rounding)).state_dict()
        for more in ((), ("round_weights",))
    )
    assert all(torch.equal(split[name], rounded[name]) for name in split if name.endswith((".dense", ".ends")))


# -- clipping once ---------------------------------------------------------------------------------


def test_ranges_are_clipped_once(monkeypatch):
    clipped, clip_ranges = [], adabm.steps.clip.clip_ranges
    for module in (adabm.steps.clip, adabm.steps.tuner):
        monkeypatch.setattr(module, "clip_ranges", lambda *args: clipped.append(1) or clip_ranges(*args))
    look = looking("look", lambda self, model: Watcher())
    for steps, times in ((("calibrate", "clip", look, "tune"), 1), (("calibrate", "tune", look), 0)):
        clipped.clear()
        model = quantized(recipe(*steps, tune=TUNE))
        assert len(clipped) == times and model.clipped


# -- what a user's step says -----------------------------------------------------------------------


def looking(name, watch, **attributes):
    """A registered step with this ``watch``; its name."""
    cls = type(name, (Step,), {"watch": watch, "__module__": __name__, "__annotations__": {}, **attributes})
    step(name)(dataclass(frozen=True)(cls))
    return name


def test_a_step_that_needs_no_pass():
    looking("look", lambda self, model: None)
    states = [quantized(recipe("calibrate", *more)).state_dict() for more in ((), ("look",))]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    model = adabm.QuantizedSR(tiny("EDSR"), QuantizationConfig(recipe=recipe("calibrate", "look")))
    adabm.calibrate(model, [torch.rand(1, 3, 12, 12)])
    assert model.calibrated


@pytest.mark.parametrize(
    ("watcher", "told"), [(print, "a builtin_function_or_method"), (Watcher, "a type"), (3, "an? int")]
)
def test_what_watches_must_be_a_watcher(watcher, told):
    looking("look", lambda self, model: watcher)
    with pytest.raises(
        ConfigError, match=f"step 'look': its watch returns {told}; let it return an adabm.steps.Watcher"
    ):
        quantized(recipe("calibrate", "look"))


@pytest.mark.parametrize("words", [("ranges",), ["ranges"], {"ranges"}])
def test_words_in_any_collection(words):
    looking("look", lambda self, model: None, needs=words, provides=["looks"], precedes=("decided weights",))
    assert find_step("look").needs == frozenset({RANGES})
    assert names(recipe("calibrate", "look")) == ["calibrate", "look"]
    with pytest.raises(ConfigError, match="step 'look' needs ranges"):
        recipe("look", "calibrate")
    with pytest.raises(ConfigError, match="step 'look' stands behind 'round_weights', whose decided weights"):
        recipe("calibrate", "round_weights", "look", calibrate=CHANNEL)


@pytest.mark.parametrize("attribute", ["needs", "provides", "precedes"])
@pytest.mark.parametrize("words", ["ranges", None, 3, (RANGES, 3)])
def test_what_are_no_words_is_refused(attribute, words):
    with pytest.raises(ConfigError, match=f"step 'look': {attribute} = .*: must be a set of words"):
        looking("look", lambda self, model: None, **{attribute: words})


def test_a_users_step_that_maps_values_elsewhere_is_kept_before_ranges():
    looking("center", lambda self, model: None, precedes={RANGES})
    assert names(preset("minmax", {"center": {}}).recipe) == ["center", "calibrate"]
    with pytest.raises(
        ConfigError, match="step 'center' stands behind 'calibrate', whose ranges it would make wrong or undo"
    ):
        recipe("calibrate", "center")
