"""Recipes: what a file may say, what is refused before anything is computed, and that they say what they did before."""

import numpy as np
import pytest
import torch
import yaml

import adabm
from adabm.cli import settings
from adabm.cli.entry import build_parser
from adabm.errors import ConfigError
from adabm.recipes import PRESETS, QuantizationConfig, Recipe, preset, read_recipe, shipped
from adabm.recipes.earlier import configuration
from adabm.recipes.names import new_name
from adabm.recipes.recipe import FOLDER
from adabm.steps import Step, find_step, make_step, step_names
from helpers.tiny_networks import tiny

# What each preset was before there were recipes: the settings that differed from those of `adabm`.
UNIFORM = dict(image_mapping=False, layer_mapping=False, clipping=False)
EARLIER = {
    "adabm": {},
    "adabm-own-bits": dict(weight_observer="omse_own_bits"),
    "adabm-relative": dict(
        weight_observer="omse_absmax", fine_tuning=dict(lr_weight=0.001, lr_activation=0.001, relative_lr=True)
    ),
    "adabm-image": dict(layer_mapping=False),
    "adabm-layer": dict(image_mapping=False),
    "adabm-noclip": dict(clipping=False),
    "adabm-notune": dict(fine_tuning=None),
    "minmax": dict(**UNIFORM, weight_observer="minmax", fine_tuning=None),
    "percentile": dict(**UNIFORM, activation_observer="percentile", weight_observer="minmax", fine_tuning=None),
    "omse": dict(**UNIFORM, activation_observer="omse", weight_observer="omse", fine_tuning=None),
    "minmax-tuned": dict(**UNIFORM, weight_observer="minmax"),
    "percentile-tuned": dict(**UNIFORM, activation_observer="percentile", weight_observer="minmax"),
    "omse-tuned": dict(**UNIFORM, activation_observer="omse", weight_observer="omse"),
}
# Methods that came with recipes.
LATER = (
    "fast", "fast-adaptive", "mse", "bias-correction", "gptq", "adaround", "brecq", "qdrop", "dbdc", "dbdc-pac", "dobi",
    "2dquant", "oaq-sr", "dfsq", "gba-dan", "best",
)  # fmt: skip


def write(path, **content):
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


# -- shipped recipes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EARLIER)
def test_recipes_say_what_the_presets_did(name):
    assert read_recipe(name).to_dict() == configuration(EARLIER[name], name).recipe.to_dict()


def test_all_shipped_recipes_are_told():
    assert set(shipped()) == {*EARLIER, *LATER} and PRESETS is shipped()
    for recipe in shipped().values():
        assert recipe.label and recipe.family and recipe.paper and recipe.sentence and not recipe.changed
    orders = [recipe.order for recipe in shipped().values()]
    assert orders == sorted(set(orders))
    assert list(shipped())[:2] == ["minmax", "percentile"]


def test_a_configuration_is_read_back():
    config = preset(
        "adabm-relative", {"tune.groups": ["weight"], "deal_factors": {"by": "opposite"}}, activation_bits=6
    )
    again = QuantizationConfig.from_dict(config.to_dict())
    assert again == config and again.recipe.label == config.recipe.label and again.recipe.changed
    assert [step.name for step in again.recipe.steps] == ["calibrate", "map_bits", "deal_factors", "clip", "tune"]


def test_names_of_settings_before_recipes():
    assert new_name("fine_tuning.lr_weight") == "tune.lr_weight" and new_name("ema") == "calibrate.ema"
    assert new_name("tune.lr_weight") is None


# -- changes ---------------------------------------------------------------------------------------


def test_changes():
    recipe = read_recipe("adabm")
    changed = recipe.with_changes(
        {"tune.rounds": 3, "clip": None, "map_bits": {"image": None, "layer_percentile": 20.0}}
    )
    assert changed.step("tune").rounds == 3 and changed.step("clip") is None and changed.changed
    assert changed.step("map_bits").image is None and changed.step("map_bits").layer_percentile == 20
    assert changed.title == "adabm (changed)" and recipe.title == "adabm"
    assert recipe.with_changes({"tune.rounds": 10}) is recipe  # nothing differs
    assert recipe.with_changes({"tune.rounds": 3}).with_changes({"tune.rounds": 10}).title == "adabm"


@pytest.mark.parametrize(
    ("recipe", "given", "message"),
    [
        ("minmax", {"calibrate.percentile": 0.9}, "calibrate.percentile has no effect, since neither"),
        (
            "adabm-layer",
            {"map_bits.ema": 0.5},
            "map_bits.ema has no effect, since map_bits.image is null; leave it out",
        ),
        ("adabm", {"map_bits.layer": "none", "map_bits.layer_percentile": 20}, "since map_bits.layer is null"),
        ("adabm", {"tune.groups": "weight", "tune.lr_activation": 0.1}, "since tune.groups has no activation"),
        ("adabm-image", {"tune.lr_layer": 0.1}, "tune.lr_layer has no effect, since map_bits.layer is null"),
        ("minmax-tuned", {"tune.lr_image": 0.2}, "since the recipe maps no bits"),
        ("minmax-tuned", {"tune.target_bits": 3}, "tune.target_bits has no effect, since the recipe maps no bits"),
        ("adabm", {"tune.groups": "weight", "tune.bit_weight": 5}, "since tune.groups has no mapping"),
        ("adabm", {"tune.bit_weight": 0, "tune.target_bits": 3}, "since tune.bit_weight is 0"),
        ("percentile", {"calibrate.percentile": 0.9}, None),
        ("fast", {"round_weights.repair": False}, None),
        ("adabm", {"tune.target_bits": 3, "tune.bit_weight": 5}, None),
        ("adabm", {"tune.lr_layer": 0.1, "map_bits.ema": 0.5, "tune.lr_weight": 0.1}, None),
    ],
)
def test_settings_that_the_others_make_idle_are_refused(tmp_path, recipe, given, message):
    """Where somebody asks for them, on the command line or in a recipe file; what files and checkpoints hold by default stays."""
    argv = ["quantize", "--images", "a", "--output", "b", "--recipe", recipe]
    args = build_parser().parse_args(
        [*argv, *(word for item in given.items() for word in ("--set", "{}={}".format(*item)))]
    )
    steps = yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())["steps"]
    for name, value in given.items():
        step, _, setting = name.partition(".")
        steps[step][setting] = {"none": None, "weight": ["weight"]}.get(value, value)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    for read in (lambda: settings.configuration(args), lambda: read_recipe(tmp_path / "own.yaml")):
        if message is None:
            read()
        else:
            with pytest.raises(ConfigError, match=message):
                read()


def test_a_repair_without_least_squares_is_refused():
    """A recipe file that has it has the default."""
    words = ["quantize", "--images", "a", "--output", "b", "--recipe", "gptq", "--set", "round_weights.repair=true"]
    with pytest.raises(ConfigError, match="round_weights.repair has no effect, since round_weights.ridge is 0"):
        settings.configuration(build_parser().parse_args(words))
    settings.configuration(build_parser().parse_args([*words, "--set", "round_weights.ridge=1"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tun.rounds": 1}, "unknown step 'tun'; did you mean 'tune'"),
        ({"tune.round": 1}, "tune: unknown setting 'round'; did you mean 'rounds'"),
        ({"tune": 3}, "tune = 3: must be null.*'tune.rounds'"),
        ({"deal_factors.by": "random"}, "deal_factors.by: .* has no step 'deal_factors', so that it has no effect"),
        ({"calibrate": None}, "step 'clip' needs ranges, which no step before it provides; put 'calibrate' before it"),
        ({"calibrate.ema": "much"}, "calibrate.ema = 'much': must be a number"),
        ({"tune.rounds": True}, "tune.rounds = True: must be a whole number"),
        ({"map_bits.image": "gradint"}, "unknown image complexity 'gradint'; did you mean 'gradient'"),
        ({"map_bits.layer": "devation"}, "unknown layer sensitivity 'devation'; did you mean 'deviation'"),
        ({"calibrate.weight": "omsee"}, "unknown weight observer 'omsee'; did you mean 'omse'"),
        ({"clip.share": 1.0}, r"clip.share = 1.0: must be a number in \[0, 1\)"),
    ],
)
def test_changes_that_cannot_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe("adabm").with_changes(changes)


def test_bits_are_checked_by_the_steps():
    with pytest.raises(ConfigError, match="activation_bits = 2: must be >= 3 with the mappings"):
        preset("adabm", activation_bits=2)
    assert preset("adabm", {"map_bits": None}, activation_bits=2).activation_bits == 2
    with pytest.raises(ConfigError, match="weight_bits = True"):
        preset("adabm", weight_bits=True)
    with pytest.raises(ConfigError, match="unknown setting 'ema'.*calibrate.ema"):
        preset("adabm", ema=0.8)


def test_steps_of_channels_for_more_bits_than_a_layer_has():
    """They would cut the weights of the layers at fixed bits off: a picture of one colour."""
    base = {"calibrate.weight_search": "base"}
    with pytest.raises(ConfigError, match="weight_bits = 16: must be 8 or less.*calibrate.weight_search to own"):
        preset("dbdc", base, weight_bits=16)
    for changes, bits in (
        (base, dict(weight_bits=8)),
        (base, dict(weight_bits=16, fully_quantized=False)),
        (base, dict(weight_bits=16, fixed_bits=16)),
        ({}, dict(weight_bits=16)),
    ):
        assert preset("dbdc", changes, **bits).weight_bits == bits["weight_bits"]


def test_unknown_groups_are_refused_before_anything_is_computed():
    with pytest.raises(ConfigError, match=r"groups = \['wieght'\]: must be some of weight, activation, mapping"):
        preset("adabm", {"tune.groups": ["wieght"]})


# -- files -----------------------------------------------------------------------------------------


def test_a_file_of_ones_own(tmp_path):
    path = write(
        tmp_path / "mine.yaml", label="Mine", sentence="it is mine", steps={"calibrate": {"ema": 0.5}, "clip": None}
    )
    recipe = read_recipe(path)
    assert (recipe.name, recipe.label, recipe.family, recipe.sentence) == (str(path), "Mine", "Mine", "it is mine")
    assert [step.name for step in recipe.steps] == ["calibrate", "clip"] and recipe.step("calibrate").ema == 0.5
    assert read_recipe("mine.yaml", tmp_path).name == "mine.yaml"
    as_list = write(tmp_path / "list.yaml", steps=[{"calibrate": {"ema": 0.5}}, "clip"])
    assert read_recipe(as_list).steps == recipe.steps and read_recipe(as_list).label == "list"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: {calibrat: {}}", "unknown step 'calibrat'; did you mean 'calibrate'"),
        ("steps: {calibrate: {emma: 1}}", "calibrate: unknown setting 'emma'; did you mean 'ema'"),
        ("steps: {calibrate: 3}", "calibrate = 3: must be settings by name"),
        ("steps: {clip: {}, calibrate: {}}", "step 'clip' needs ranges"),
        ("steps: {map_bits: {}}", "no step provides ranges; add 'calibrate'"),
        ("steps: [calibrate, calibrate]", "step 'calibrate' is there twice"),
        ("steps: {}", "no step provides ranges"),
        ("steps: 3", "steps = 3: must be steps by name"),
        ("steps: {calibrate: {ema: 0.5, ema: 0.6}}", "'ema' is there twice, in lines 1 and 1; keep one"),
        ("label: x\nlabel: y\nsteps: {calibrate: {}}", "'label' is there twice, in lines 1 and 2"),
        ("lable: x\nsteps: {calibrate: {}}", "unknown key 'lable'; did you mean 'label'"),
        ("label: 3\nsteps: {calibrate: {}}", "label = 3: must be text"),
        ("label: x", "a recipe is a mapping with 'steps'"),
        ("steps: [", "is no YAML"),
        ("? [1, 2]\n: 3", "a key must be text"),
        ("imports: nothing.py\nsteps: {calibrate: {}}", "imports = 'nothing.py': must be a list"),
        ("imports: [bad.yaml]\nsteps: {calibrate: {}}", "bad.yaml: is no Python file; its name must end in .py"),
        ("imports: [nothing.py]\nsteps: {calibrate: {}}", "nothing.py: no such file"),
    ],
)
def test_files_that_cannot_work(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(tmp_path / "bad.yaml")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_recipes_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="unknown recipe 'adabn'; did you mean 'adabm'.*ends in .yaml"):
        read_recipe("adabn")
    with pytest.raises(ConfigError, match=r"no.yaml: cannot be read \(No such file"):
        read_recipe(tmp_path / "no.yaml")


# -- steps -----------------------------------------------------------------------------------------


def test_every_step_has_defaults_and_tells_its_settings():
    assert {"calibrate", "map_bits", "clip", "tune", "deal_factors"} <= set(step_names())
    for name in step_names():
        step = make_step(name, None)
        assert isinstance(step, Step) and make_step(name, step.settings) == step
        assert find_step(name).__doc__


def test_steps_that_watch_share_one_pass(monkeypatch):
    """`calibrate` and `map_bits` look at the same pass; clipping and tuning have none."""
    network, passes = tiny("EDSR"), []
    forward = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, x: passes.append(tuple(x.shape)) or forward(self, x))
    images = [np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8) for i in range(3)]
    model = adabm.QuantizedSR(network, preset("adabm", {"tune": None}))
    passes.clear()
    adabm.calibrate(model, [torch.rand(3, 3, 12, 12)])
    assert passes == [(3, 3, 12, 12)]
    passes.clear()
    adabm.quantize(network, images, preset("adabm", {"tune": None}), patch_size=12)
    assert sorted(passes) == [(2, 3, 12, 12), (3, 3, 12, 12)]


def test_a_recipe_twice_the_same_step():
    calibrate = make_step("calibrate", None)
    with pytest.raises(ConfigError, match="step 'calibrate' is there twice"):
        Recipe("x", (calibrate, calibrate))


def test_steps_in_an_ordered_mapping_and_zero_bytes_in_paths_are_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("steps: !!omap [calibrate: {}]")
    with pytest.raises(ConfigError, match="must be a name"):
        read_recipe(path)
    path.write_text('imports: ["a\\0.py"]\nsteps: {calibrate: {}}')
    with pytest.raises(ConfigError, match="no such file"):
        read_recipe(path)
    with pytest.raises(ConfigError, match="zero byte"):
        read_recipe("a\0.yaml")
