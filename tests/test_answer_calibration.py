"""What a calibration decided: its tables and the sentences about it, on a tiny network."""

import numpy as np
import pandas as pd
import pytest

from adabm.api import quantize
from adabm.pictures.picture import Picture
from adabm.recipes import preset
from adabm.study.answers import calibration
from helpers.tiny_networks import tiny

TUNING = dict(patch_size=12, rounds=3, steps_per_round=2)


@pytest.fixture(scope="module")
def quantized():
    """A model, what its calibration saw, its steps, and two pictures to look at."""
    rng = np.random.default_rng(0)
    network = tiny("EDSR")
    side = 16 * network.adabm_options["upscale"]
    lows = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    model, record, steps = quantize(
        network, lows, preset("adabm", {f"tune.{name}": value for name, value in TUNING.items()}), patch_size=12
    )
    high = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    return model, record, steps, [Picture("a", high, lows[0]), Picture("b", high, lows[1])]


def test_tables_hold_each_layer_patch_and_step(quantized):
    model, record, steps, _ = quantized
    log = calibration.step_table(steps)
    tables = calibration.tables(model, record, log)
    assert {name: len(table) for name, table in tables.items()} == {
        "calibration_layers": len(model.layers),
        "calibration_patches": 3,
        "calibration_steps": 6,
    }
    rounds = calibration.losses_by_round(log)
    assert list(zip(rounds["round"], rounds["group"])) == [(0, "weight"), (1, "activation"), (2, "mapping")]
    assert rounds["pixel"][0] == pytest.approx(log["pixel"][:2].mean(), abs=5e-4)


def test_pictures_get_a_factor_by_the_thresholds(quantized):
    model, _, _, pictures = quantized
    table = calibration.picture_table(model, pictures)
    lower, upper = calibration.thresholds(model)
    assert list(table.index) == ["a", "b"] and lower <= upper
    for row in table.itertuples():
        assert row[2] == (row.complexity > upper) - (row.complexity < lower)


def test_before_and_after_is_the_same_model_at_other_bits(quantized):
    model, _, _, pictures = quantized
    outputs = calibration.before_and_after(model, model, pictures[0])
    assert list(outputs) == ["full precision", "MinMax", "AdaBM"]
    assert all(output.dtype == np.uint8 and output.shape == pictures[0].high.shape for output in outputs.values())
    assert (outputs["MinMax"] == outputs["AdaBM"]).all() and (outputs["full precision"] != outputs["AdaBM"]).any()
    quality = calibration.qualities(outputs | {"perfect": pictures[0].high}, pictures[0])
    assert quality["perfect"] == np.inf and quality["MinMax"] == quality["AdaBM"] < np.inf
    assert 2 <= calibration.average_bits(model, pictures) <= 6
    figure = calibration.plot_before_and_after(outputs, quality, pictures[0], side=8)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "original\na" and titles[3] == f"AdaBM\n{quality['AdaBM']:.2f} dB"


def test_conclusion():
    quality = {"full precision": 30.0, "MinMax": 28.5, "AdaBM": 29.75}
    assert calibration.conclusion(3.906, 4, 9, "coffee", quality) == [
        "**Over 9 pictures AdaBM spends 3.91 bits in the mean (base 4); on coffee it loses 0.25 dB, MinMax 1.50 dB.**"
    ]


def test_no_step_gives_an_empty_table():
    assert calibration.step_table([]).equals(pd.DataFrame([]))
