"""Every setting and argument, given every kind of nonsense: refused in one line, or taken and legal."""

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import torch

import adabm
from adabm.cli.settings import configuration
from adabm.errors import ConfigError, NetworkError
from adabm.networks import build_network
from adabm.recipes import QuantizationConfig, Recipe, preset, read_recipe
from adabm.sampling.adaptive import adaptive_trace
from adabm.sampling.registry import check_count, generator
from adabm.steps import Step, find_step, make_step, step, step_names
from adabm.steps.step import _STEPS
from adabm.steps.tuning_settings import TuningSettings
from adabm.study import Effort, Run, read_plan
from adabm.study.plan.options import check_choices, check_keys
from adabm.study.plan.part import check_part
from adabm.validation import Count, Share, annotations, check, rule
from helpers.cli_files import OPTIONS
from helpers.tiny_networks import tiny

NONSENSE = [
    True, False, "1", "", "weight", math.nan, math.inf, -math.inf, -1, 0, 1, 0.75, 1e9, 10**30, 10**5000, None, [], {},
    (), b"", ["weight"], ["weight", "weight"], ["weight", 1], [[]], {"a": 1}, object, np.float64("nan"), np.bool_(True),
    np.zeros(3), torch.zeros(2), [15, 50.0], (50.0, 15.0), [15, math.nan],
]  # fmt: skip


def whole(value, least=0, most=2**63) -> bool:
    return type(value) is int and least <= value < most


def real(value) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63


def share(value) -> bool:
    return real(value) and 0 <= value < 1


def rate(value) -> bool:
    return real(value) and value >= 0


def or_none(legal):
    return lambda value: value is None or legal(value)


def among(*names):
    return lambda value: type(value) is str and value in names


def rising(value) -> bool:
    return type(value) in (list, tuple) and len(value) == 2 and all(map(real, value)) and value[0] < value[1]


def counts(value) -> bool:
    return whole(value, 1)


ADDED = ("deal_factors", "start_thresholds")  # to `adabm`, before a setting of theirs changes
# What is legal, told once more: the rules of the package are its annotations.
LEGAL = {
    "calibrate.activation": among("minmax", "percentile", "omse", "mse"),
    "calibrate.weight": among("minmax", "percentile", "omse", "omse_absmax"),
    "calibrate.percentile": lambda v: real(v) and 0.5 < v <= 1,
    "calibrate.ema": share,
    "calibrate.weight_search": among("base", "own"),
    "calibrate.granularity": among("tensor", "channel"),
    "calibrate.patches": or_none(counts),
    "map_bits.image": or_none(among("gradient")),
    "map_bits.layer": or_none(among("deviation")),
    "map_bits.allocation": among("percentiles"),
    "map_bits.image_percentile": lambda v: real(v) and 0 <= v < 50,
    "map_bits.layer_percentile": lambda v: real(v) and 0 <= v < 50,
    "map_bits.ema": share,
    "clip.share": share,
    "clip.batch_size": counts,
    "clip.patch_size": or_none(counts),
    "tune.rounds": whole,
    "tune.steps_per_round": counts,
    "tune.batch_size": counts,
    "tune.patch_size": or_none(counts),
    "tune.lr_weight": rate,
    "tune.lr_activation": rate,
    "tune.lr_layer": rate,
    "tune.lr_image": rate,
    "tune.relative_lr": lambda v: type(v) is bool,
    "tune.lr_decay": lambda v: real(v) and 0 < v <= 1,
    "tune.structure_weight": rate,
    "tune.bit_weight": rate,
    "tune.target_bits": or_none(lambda v: real(v) and v > 0),
    "tune.groups": lambda v: v in ((), *([] if type(v) is not tuple else [("weight",)])) and len(v) > 0,
    "tune.divergence_factor": lambda v: real(v) and v > 1,
    "tune.pool": or_none(counts),
    "tune.convolutions": among("float32", "bfloat16"),
    "deal_factors.by": among("random", "opposite"),
    "start_thresholds.at": or_none(rising),
    "shift_channels.patches": or_none(counts),
    "equalize.strength": lambda v: real(v) and 0 < v <= 1,
    "equalize.patches": or_none(counts),
    "allocate_bits.reach": lambda v: whole(v, 1, 17),
    "allocate_bits.least": lambda v: whole(v, 1, 9),
    "allocate_bits.most": lambda v: whole(v, 2, 17),
    "allocate_bits.pixels": lambda v: whole(v, 1, 10**8 + 1),
    "allocate_bits.directions": lambda v: whole(v, 1, 65),
    "allocate_bits.patch_size": or_none(counts),
    "refine.steps": lambda v: whole(v, 0),
    "refine.batch_size": counts,
    "refine.patch_size": or_none(counts),
    "refine.pool": counts,
    "refine.held_out": counts,
    "refine.every": counts,
    "refine.lr_ranges": lambda v: real(v) and v >= 0,
    "refine.lr_steps": lambda v: real(v) and v >= 0,
    "refine.lr_rounding": lambda v: real(v) and v >= 0,
    "refine.lr_bias": lambda v: real(v) and v >= 0,
    "refine.convolutions": among("float32", "bfloat16"),
    "round_weights.by": among("gptq", "nearest"),
    "round_weights.ridge": lambda v: real(v) and 0 <= v <= 1e6,
    "round_weights.repair": lambda v: type(v) is bool,
    "round_weights.ranges": lambda v: type(v) is bool,
    "round_weights.pixels": lambda v: whole(v, 1, 10**8 + 1),
    "round_weights.rows": lambda v: whole(v, 1, 10**8 + 1),
    "round_weights.patch_size": or_none(counts),
    "search_bounds.points": counts,
    "search_bounds.one_sided": share,
    "search_bounds.patches": or_none(counts),
    "clip_outliers.outliers": share,
    "clip_outliers.outliers_8_bits": share,
    "clip_outliers.bins": lambda v: whole(v, 2),
    "clip_outliers.patches": or_none(counts),
    "correct_bias.pixels": counts,
    "correct_bias.patch_size": or_none(counts),
    "reconstruct.unit": among("layer", "block"),
    "reconstruct.iterations": counts,
    "reconstruct.drop": share,
    "reconstruct.lr_rounding": lambda v: real(v) and v > 0,
    "reconstruct.lr_ranges": rate,
    "reconstruct.regularization": rate,
    "reconstruct.pixels": counts,
    "reconstruct.patch_size": or_none(counts),
    "split_ranges.points": counts,
    "split_ranges.patches": or_none(counts),
    "choose_levels.pixels": lambda v: whole(v, 1, 10**8 + 1),
    "choose_levels.values": counts,
    "choose_levels.starts": counts,
    "choose_levels.iterations": counts,
    "allocate_by_gradient.weights": lambda v: type(v) is bool,
    "allocate_by_gradient.activations": lambda v: type(v) is bool,
    "allocate_by_gradient.batches": counts,
    "allocate_by_gradient.batch_size": counts,
    "allocate_by_gradient.patch_size": or_none(counts),
    "allocate_by_gradient.structure_weight": lambda v: real(v) and v >= 0,
}
BITS = {
    "weight_bits": lambda v: whole(v, 1, 17) or (type(v) is int and v == 32),
    "activation_bits": lambda v: whole(v, 1, 17) or (type(v) is int and v == 32),
    "fixed_bits": lambda v: whole(v, 1, 17) or (type(v) is int and v == 32),
    "fully_quantized": lambda v: type(v) is bool,
}


def outcome(make) -> object:
    """What ``make`` returns, or None where it refuses as it must."""
    try:
        return make()
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) > 10, error
        return None


def sweep(make, name: str, legal) -> None:
    for value in NONSENSE:
        made = outcome(lambda: make(value))
        if made is not None:
            taken = getattr(made, name)
            assert legal(taken), f"{name}: {value!r} was taken as {taken!r}"
            json.dumps(dataclasses.asdict(made) if not isinstance(made, QuantizationConfig) else made.to_dict())


def test_every_setting_of_every_step_is_among_the_legal():
    shipped = [name for name in step_names() if find_step(name).__module__.startswith("adabm.")]
    assert set(LEGAL) == {f"{name}.{setting}" for name in shipped for setting in annotations(find_step(name))}
    assert set(BITS) == {f.name for f in dataclasses.fields(QuantizationConfig)} - {"recipe"}


@pytest.mark.parametrize("name", LEGAL)
def test_settings_of_steps(name):
    step_name, setting = name.split(".")
    cls, legal = find_step(step_name), LEGAL[name]
    sweep(lambda value: cls(**{setting: value}), setting, legal)
    sweep(lambda value: make_step(step_name, {setting: value}), setting, legal)
    if step_name == "tune":
        sweep(lambda value: TuningSettings(**{setting: value}), setting, legal)
    recipe = read_recipe("adabm").with_changes({step_name: {}} if step_name in ADDED else {})
    sweep(lambda value: recipe.with_changes({name: value}).step(step_name), setting, legal)


@pytest.mark.parametrize("name", BITS)
def test_bits(name):
    sweep(lambda value: QuantizationConfig(**{name: value}), name, BITS[name])
    sweep(lambda value: preset("minmax", **{name: value}), name, BITS[name])


@pytest.mark.parametrize("name", [*LEGAL, *BITS])
def test_set_on_the_command_line(name):
    step_name, _, setting = name.partition(".")
    texts = "True 1 nan inf -inf -1 0 0.75 1e9 1e400 1_0 none null [] {} b'' weight weight,weight x".split()
    for text in [*texts, "", "9" * 4500]:
        args = argparse.Namespace(
            recipe="adabm", weight_bits=None, activation_bits=None, body_only=False, rounds=None, steps_per_round=None,
            set=[f"{name}={text}"],
        )  # fmt: skip
        if made := outcome(lambda: configuration(args)):
            taken = getattr(made[0].step(step_name), setting) if setting else getattr(made[0], name)
            assert (LEGAL | BITS)[name](taken), f"{name}={text} was taken as {taken!r}"


def test_one_group_on_the_command_line_is_one_group():
    args = argparse.Namespace(
        recipe="adabm", weight_bits=None, activation_bits=None, body_only=False, rounds=None, steps_per_round=None,
        set=["tune.groups=weight"],
    )  # fmt: skip
    assert configuration(args)[0].step("tune").groups == ("weight",)


# -- recipes and configurations --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda v: {"calibrate": v},
        lambda v: {"tune": v},
        lambda v: {v if v.__hash__ else "x": 1},
        lambda v: v,
        lambda v: {"calibrate": {v if v.__hash__ else "x": 1}},
    ],
)
def test_changes_of_recipes(change):
    for value in NONSENSE:
        made = outcome(lambda: read_recipe("adabm").with_changes(change(value)))
        assert made is None or isinstance(made, Recipe)


def test_what_a_configuration_is_not():
    images = [np.arange(768).astype(np.uint8).reshape(16, 16, 3)]
    for value in NONSENSE:
        assert outcome(lambda: QuantizationConfig(recipe=value)) is None
        if value is not None:  # the released recipe
            assert outcome(lambda: preset(value)) is None
            assert outcome(lambda: adabm.quantize(tiny("EDSR"), images, value, patch_size=8)) is None
        assert outcome(lambda: QuantizationConfig.from_dict(value)) is None


def test_damaged_dictionaries_of_configurations():
    whole = preset("adabm").to_dict()
    for path in [(), ("recipe",), ("recipe", "steps"), ("recipe", "steps", "calibrate")]:
        for key in _at(whole, path):
            for value in [*NONSENSE, ...]:
                damaged = json.loads(json.dumps(whole))
                if value is ...:
                    del _at(damaged, path)[key]
                else:
                    _at(damaged, path)[key] = value
                made = outcome(lambda: QuantizationConfig.from_dict(damaged))
                assert made is None or isinstance(made, QuantizationConfig)


def _at(tree: dict, path: tuple[str, ...]) -> dict:
    for key in path:
        tree = tree[key]
    return tree


def test_numbers_stay_as_they_are_given():
    """4 and 4.0 are two texts in keys and files; equal, and told apart by nothing else."""
    settings = make_step("tune", {"target_bits": 4, "lr_weight": 0.5}).settings
    assert json.dumps(settings["target_bits"]) == "4"
    assert json.dumps(make_step("tune", {"target_bits": 4.0}).settings["target_bits"]) == "4.0"
    assert type(make_step("clip", {"share": np.float32(0.25)}).share) is float
    assert type(make_step("clip", {"batch_size": np.int64(3)}).batch_size) is int


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("patch_size", counts),
        ("patches", or_none(counts)),
        ("batch_size", counts),
        ("seed", whole),
        ("on_step", or_none(callable)),
        ("after_calibration", or_none(callable)),
        ("progress", or_none(lambda v: isinstance(v, (str, Path)))),
    ],
)
def test_arguments_of_quantize(name, legal, monkeypatch):
    monkeypatch.setattr("adabm.api.QuantizedSR", lambda *_: pytest.skip.Exception)
    for value in NONSENSE:
        if not legal(value.item() if isinstance(value, np.generic) else value):
            with pytest.raises(ConfigError, match=f"^{name} = .*: must be "):
                adabm.quantize(None, [], **{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "legal"),
    [
        (Effort, "patch_size", counts),
        (Effort, "patches", or_none(counts)),
        (Effort, "rounds", whole),
        (Effort, "steps_per_round", counts),
        (Run, "method", lambda v: type(v) is str),
        (Run, "weight_bits", lambda v: type(v) is int),
        (Run, "fully_quantized", lambda v: type(v) is bool),
        (Run, "seed", whole),
        (Run, "changes", lambda v: v == ()),
    ],
)
def test_what_a_study_is_given(cls, name, legal):
    given = {"method": "adabm"} if cls is Run else {}
    sweep(lambda value: cls(**given | {name: value}), name, legal)


def test_runs_at_settings():
    for value in NONSENSE:
        assert outcome(lambda: Run.at("adabm", value)) is None
        assert outcome(lambda: Run.at("adabm", "W4A4 FQ", changes={"tune.rounds": value}).config()) is None or whole(
            value
        )


def test_arguments_of_sampling():
    for value in NONSENSE:
        plain = value.item() if isinstance(value, np.generic) else value
        assert (outcome(lambda: generator(value)) is None) == (not whole(plain))
        if not whole(plain, 1, 4):
            with pytest.raises(
                ConfigError, match="count = .*: must be a whole number from 1 to 3, the pictures in the pool"
            ):
                check_count(value, [0, 1, 2])
        if not counts(plain):
            with pytest.raises(ConfigError, match="patience = "):
                adaptive_trace([0], patience=value)
        if not rate(plain):
            with pytest.raises(ConfigError, match="tolerance = "):
                adaptive_trace([0], tolerance=value)


# -- networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [*OPTIONS, "res_scale"])
def test_options_of_networks(option):
    for value in NONSENSE:
        try:
            network = build_network("EDSR", **OPTIONS | {option: value})
        except NetworkError as error:
            assert "\n" not in str(error) and len(str(error)) < 800
        else:
            assert real(network.adabm_options[option])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"res_scale": math.nan}, "res_scale = nan: must be a number"),
        ({"res_scale": True}, "res_scale = True: must be a number"),
        ({"img_range": 0}, "img_range = 0: must be a number > 0"),
        ({"rgb_mean": [math.nan, 0, 0]}, r"rgb_mean = \[nan, 0, 0\]: must be finite"),
    ],
)
def test_options_that_would_give_nan(options, message):
    with pytest.raises(NetworkError, match=message):
        build_network("EDSR", **OPTIONS | options)


# -- the checks themselves -------------------------------------------------------------------------


def test_a_step_of_a_users():
    try:

        @step("mine")
        @dataclasses.dataclass(frozen=True)
        class Mine(Step):
            strength: float = 1.0
            sizes: tuple[int, ...] = ()
            table: dict | None = None
            bounded: Annotated[int, "an even number"] = 2

            def __post_init__(self) -> None:  # calls nothing of its base
                if self.strength < 0:
                    raise ConfigError("strength must not be negative")

        assert make_step("mine", {"strength": 2, "sizes": [1, 2], "table": {"a": 1}}) == Mine(2, (1, 2), {"a": 1})
        for setting, value, told in (
            ("strength", "1", "mine.strength = '1': must be a number"),
            ("strength", math.nan, "mine.strength = nan: must be a number"),
            ("strength", -1, "mine.strength must not be negative"),
            ("sizes", [True], r"mine.sizes = \[True\]: must be a list"),
            ("table", [], r"mine.table = \[\]: must be dict, as it is annotated, or null"),
            ("bounded", "2", "mine.bounded = '2': must be an even number"),
            ("strenght", 1, "mine: unknown setting 'strenght'; did you mean 'strength'?"),
        ):
            with pytest.raises(ConfigError, match=told):
                make_step("mine", {setting: value})
    finally:
        _STEPS.pop("mine", None)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Count, "a whole number >= 1"),
        (Share | None, "a number in [0, 1), or null"),
        (bool, "true or false"),
        (int | str, "a whole number or text"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[str, ...], "a list"),
    ],
)
def test_rules_in_words(kind, words):
    assert rule(kind) == words


def test_the_value_is_told_in_a_line_of_limited_length():
    for value in (np.zeros((50, 50)), "x" * 10**6, "a\nb", 10**5000):
        with pytest.raises(ConfigError) as caught:
            check("size", value, Count)
        assert len(str(caught.value)) < 250 and "\n" not in str(caught.value)


# -- plans -----------------------------------------------------------------------------------------

PART = dict(backbone="net", data="data", sets=["First"], settings=["W4A4 FQ"], methods=["minmax"])


def texts(value) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


PARTS = {
    **dict.fromkeys(("backbone", "data", "calibration", "engine"), lambda v: type(v) is str),
    **dict.fromkeys(("sets", "settings", "methods"), lambda v: texts(v) and len(v) > 0),
    "imports": texts,
    "seeds": lambda v: type(v) is list and len(v) > 0 and all(map(whole, v)),
    "tile": lambda v: v is None or whole(v, 8) or (type(v) is int and v == 0),
    "run": lambda v: type(v) is bool,
}


@pytest.mark.parametrize("key", PARTS)
def test_parts_of_plans(key):
    for value in NONSENSE:
        plain = value.item() if isinstance(value, np.generic) else value
        taken = outcome(lambda: check_part(PART | {key: value}) or True)
        assert (taken is True) == PARTS[key](plain), (key, value)


def test_what_a_plan_is_not():
    for value in NONSENSE:
        for call in (
            lambda: check_part(value),
            lambda: Effort.from_parameters(value),
            lambda: read_plan(value, Path("."), Effort()),
            lambda: read_plan([value], Path("."), Effort()),
            lambda: check_keys("methods", value, ["seeds"]),
        ):
            assert outcome(call) is None
        assert (
            isinstance(value, dict)
            or (hasattr(value, "__len__") and not len(value))
            or outcome(lambda: check_choices("names", value, ["a"]) or True) is None
        )


@pytest.mark.parametrize(
    "key, wrong",
    [
        ("seeds", 0), ("seeds", []), ("seeds", [-1]), ("seeds", [1.5]), ("seeds", "01"), ("changes", "tune"), ("changes", None),
        ("method", 4), ("preset", ["adabm"]), ("bits", 4), ("bits", [0]), ("series", "AdaBM"), ("series", [{}]), ("run", 1),
        ("sizes", ["1"]), ("steps", [None]), ("percentiles", ["10"]), ("percentiles", [math.nan]), ("weight_bits", 4.0),
    ],
)  # fmt: skip
def test_options_of_questions_have_one_kind_everywhere(key, wrong):
    with pytest.raises(ConfigError, match=f"^methods, AdaBM: {key} = .*: must be "):
        check_keys("methods, AdaBM", {key: wrong}, [], [key])
    right = {"seeds": [0, 1], "changes": {"tune": None}, "bits": [4], "series": ["AdaBM"], "run": False, "sizes": [1]}
    right |= {"method": "adabm", "preset": "adabm", "steps": [1], "percentiles": [0, 2.5], "weight_bits": 4}
    check_keys("methods, AdaBM", {key: right[key]}, [], [key])


@pytest.mark.parametrize("value", [1e31, -1e300, np.float64(1.7e308)])
def test_numbers_that_optimizers_could_not_hold(value):
    with pytest.raises(ConfigError, match=r"lr = .*: must be a number, of 1e\+30 at most"):
        check("lr", value, float)
    assert check("lr", 1e30, float) == 1e30
