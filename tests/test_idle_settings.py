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
from helpers.tiny_networks import tiny

IMAGES = [np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in range(4)]
ANEW = "round_weights sets all ranges anew"
SAME = "the same at all bits"


def quantized(recipe, changes):
    """The state of a tiny network, two batches of calibration patches having been seen."""
    config = QuantizationConfig(recipe=read_recipe(recipe).with_changes(changes))
    model, *_ = adabm.quantize(tiny("EDSR"), IMAGES, config, patch_size=16, patches=4, batch_size=2)
    return model.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("recipe", "given", "others", "why"),
    [
        ("fast", {"calibrate.ema": 0.2}, {}, ANEW),
        ("fast", {"calibrate.weight_search": "base"}, {}, ANEW),
        ("fast-adaptive", {"calibrate.ema": 0.2}, {}, ANEW),
        ("fast", {"calibrate.ema": 0.2}, {"round_weights.ranges": False, "allocate_bits": None}, None),
        ("fast", {"calibrate.weight_search": "base"}, {"round_weights.ranges": False, "allocate_bits": None}, None),
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


@pytest.mark.parametrize("recipe", ["fast", "minmax"])
def test_a_recipe_file_may_say_at_which_bits_ranges_are_searched(tmp_path, recipe):
    steps = yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())["steps"]
    steps["calibrate"]["weight_search"] = "own"
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"steps": steps}, sort_keys=False))
    assert read_recipe(tmp_path / "own.yaml").step("calibrate").weight_search == "own"
