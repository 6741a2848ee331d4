"""The bit loss: thresholds by hand, the three ways on a tiny network, conclusions of round numbers, each branch."""

import numpy as np
import pandas as pd
import pytest

from adabm.study import Run
from adabm.study.answers import bit_loss, bit_loss_worth
from adabm.study.answers.bit_loss import AS_CALIBRATED, MULTIPLIER, QUANTILES, RELEASED, loss_of
from adabm.study.answers.bit_loss_measures import (
    CALIBRATION,
    Tuning,
    average,
    calibrated,
    complexities,
    factors_at,
    forced,
    multiplier,
    released,
    thresholds,
)
from adabm.study.answers.bit_loss_worth import gains
from adabm.study.pages.figures import family_color
from helpers.bit_losses import bits, units
from helpers.evidence import cells
from helpers.probed import probed


@pytest.mark.parametrize("change", [-1.0, -0.5, -0.2, 0.0, 0.1, 0.7, 1.0])
def test_thresholds_meet_a_change_of_the_average(change):
    known = np.random.default_rng(0).random(20) * 50
    factors = factors_at(known, *thresholds(known, change))
    assert factors.mean() == pytest.approx(change) and np.all(np.diff(factors[np.argsort(known)]) >= 0)
    if abs(change) <= 0.2:
        assert (factors != 0).sum() == 4  # a tenth on either side


def test_the_curve_and_gains_at_equal_bits():
    here = units({MULTIPLIER: 41.0})
    known = bit_loss.curve(here[here["method"].str.startswith("factor") & (here["seed"] == 0)], "fp")
    assert known["fab"].min() == 3 and known["fab"].max() == 5
    assert np.allclose(known["psnr"], 40 + 2 * (known["fab"] - 4))
    gains = bit_loss.at_equal_bits(here, "fp").groupby("method")["gain"].mean()
    assert gains[MULTIPLIER] == pytest.approx(1) and gains[RELEASED] == pytest.approx(0)


def test_a_model_beyond_the_curve_has_no_gain():
    here = units()
    here.loc[here["method"] == loss_of(0), "fab"] = 5.5
    gains = bit_loss.at_equal_bits(here, "fp").groupby("method")["gain"].mean()
    assert np.isnan(gains[loss_of(0)]) and gains[RELEASED] == pytest.approx(0)


@pytest.mark.parametrize(
    "off, told",
    [
        (0.05, "meets its target: aiming at 4 bits it ends 0.05 bits above on the calibration pictures; "),
        (
            -0.7,
            "undershoots its target: aiming at 4 bits it ends 0.70 bits below on the calibration pictures; a multiplier, of "
            "which the last step near the target is kept, misses by 0.00.",
        ),
        (0.4, "overshoots its target: aiming at 4 bits it ends 0.40 bits above on the calibration pictures; "),
        ({4.0: 0.4, 3.5: -0.4}, "misses its target to either side"),
    ],
)
def test_whether_the_target_is_met(off, told):
    first = bit_loss.conclusion(units({RELEASED: 38.5}), bits({RELEASED: off}))[0]
    assert told in first and first.startswith(
        "**Tuned alone and faster than released, the bit loss of the released weight "
    )


def test_networks_that_aim_at_other_bits_are_told_as_if_they_aimed_at_the_first_ones():
    higher = lambda frame: frame.assign(backbone="wide", target=frame["target"] + 2, fab=frame["fab"] + 2)
    alone = units({RELEASED: 38.5}), bits({RELEASED: -0.7})
    both = [pd.concat([frame, higher(frame)], ignore_index=True) for frame in alone]
    first, *rest = bit_loss.conclusion(*alone)
    told, *others = bit_loss.conclusion(*both)
    assert (
        "aiming at 4 bits (wide: 6) it ends 0.70 bits below on the calibration pictures (0.70 to 0.70 by run);" in told
    )
    assert others[1] == rest[1]
    assert " wide aims at 6 bits; in the means bits are told as if it aimed at 4. " in told and "as if" not in first


def test_bits_by_weight_and_what_quantiles_are_worth():
    _, _, table, *_, extents = bit_loss.conclusion(units({RELEASED: 39.0}), bits({loss_of(0): 1.0, MULTIPLIER: -0.02}))
    found = {cells(table, row)[0]: cells(table, row)[1:] for row in range(table.count("\n") - 1)}
    assert found[loss_of(0)][0] == "5.00" and found[MULTIPLIER][:2] == ["3.98", "3.98 to 3.98"]
    assert found[f"{RELEASED} (released)"][0] == "4.00" and found[f"{RELEASED} (released)"][-2] == "-1.0 (-1.0 to -1.0)"
    assert found[MULTIPLIER][-2].startswith("+0.0") and cells(extents, 0)[0] == "net" and cells(extents, 0)[-1] == "2"


@pytest.mark.slow
def test_how_far_it_ends_and_which_weight_ends_nearer():
    missed = {RELEASED: {4.0: -0.7, 3.5: -0.1}, loss_of(0): 0.4}
    first = bit_loss.conclusion(units(), bits(missed, {RELEASED: -0.5}))[0]
    assert (
        "On whole pictures of Set the released loss ends at 3.50 bits in the mean of sets and 1 run, on the patches of Set, on which PSNR was "
        "measured, at 4.00. The released weight is 50; weight 0 ends nearer to the target, at 4.40" in first
    )
    table = bit_loss.conclusion(units(), bits(missed))[2]
    found = {cells(table, row)[0]: cells(table, row) for row in range(table.count("\n") - 1)}
    assert found[f"{RELEASED} (released)"][4] == "0.70"  # at the first target, not the mean of both
    runs = pd.concat([bits({RELEASED: -0.7}), bits({RELEASED: -0.5}).assign(seed=1)])
    first = bit_loss.conclusion(units(), runs)[0]
    assert "it ends 0.60 bits below on the calibration pictures (0.50 to 0.70 by run)" in first
    assert "ends at 3.40 bits in the mean of sets and 2 runs, on the patches" in first
    sides = pd.concat([bits({RELEASED: -0.7}), bits({RELEASED: 0.5}).assign(seed=1)])
    assert (
        "to either side: aiming at 4 bits it ends 0.10 bits below on the calibration pictures (-0.70 to +0.50 by run)"
        in (bit_loss.conclusion(units(), sides)[0])
    )
    assert "ends nearer" not in bit_loss.conclusion(units(), bits({RELEASED: -0.2, loss_of(0): 0.3}))[0]


def test_where_weights_end_at_other_targets():
    """Weight 0 aims at none, quantiles of a set's own pictures have no calibration pictures."""
    missed = {RELEASED: {4.0: -0.7, 3.5: -0.3}, MULTIPLIER: 0.05}
    light = bits({loss_of(5): {4.0: -0.2, 3.5: 0.1}, RELEASED: -0.7}).query("method == @RELEASED")
    light = light.assign(method=loss_of(5), fab=light["target"].map({4.0: 3.8, 3.5: 3.6}))
    both = pd.concat([light, bits(missed)])
    told = bit_loss.conclusion(units(), both)
    assert " Aimed at 3.5 bits weight 5 ends at 3.60 and weight 50 at 3.20 on the calibration pictures." in told[0]
    table = told[5]
    found = {cells(table, row)[0]: cells(table, row)[1:] for row in range(table.count("\n") - 1)}
    assert found == {
        loss_of(5): ["3.80", "-0.20 to -0.20", "3.60", "+0.10 to +0.10"],
        f"{RELEASED} (released)": ["3.30", "-0.70 to -0.70", "3.20", "-0.30 to -0.30"],
        MULTIPLIER: ["4.05", "+0.05 to +0.05", "3.55", "+0.05 to +0.05"],
        QUANTILES: ["4.00", "+0.00 to +0.00", "3.50", "+0.00 to +0.00"],
    }


def test_one_target_has_no_table_of_targets():
    first = bits({RELEASED: -0.7}).query("target == 4")
    told = bit_loss.conclusion(units().query("target == 4"), first)
    assert "Aimed at" not in told[0] and not any("by target" in table for table in told)


@pytest.mark.parametrize(
    "psnr_of, told",
    [
        (
            {MULTIPLIER: 41.0, RELEASED: 40.5},
            "At equal bits any tuning towards a target clearly gains over quantiles (which leave layers alone): +0.5 to +1.0 dB to the "
            "full-precision output and +0.0 dB to ground truth by way of tuning.",
        ),
        (
            {MULTIPLIER: 41.0, RELEASED: 39.5},
            "At equal bits only the multiplier clearly gains over quantiles (which leave layers alone): +1.0 dB to the full-precision output and "
            "+0.0 dB to ground truth; not weight 50 (-0.5 dB).",
        ),
        (
            {MULTIPLIER: 39.9, loss_of(0): 43.0},
            "At equal bits no tuning towards a target clearly gains over quantiles (which leave layers alone): -0.1 to +0.0 dB to the full-precision output",
        ),
    ],
)
def test_what_tuning_gains_is_told_behind_the_answer(psnr_of, told):
    """A tuning without weight on bits aims at none, and counts for nothing here."""
    behind = bit_loss.conclusion(units(psnr_of), bits({RELEASED: -0.7}))[0].split("** ")[1]
    assert behind.startswith(told)


def test_networks_where_not_every_tuning_gains_are_told_apart():
    one, two = (units(psnr).assign(backbone=name) for name, psnr in NETWORKS.items())
    off = bits({RELEASED: -0.7})
    told = bit_loss.conclusion(pd.concat([one, two]), pd.concat([off.assign(backbone=name) for name in NETWORKS]))
    assert (
        "At equal bits any tuning towards a target clearly gains over quantiles (which leave layers alone) on one: +1.0 to +2.0 dB to the full-precision "
        "output and +0.0 dB to ground truth by way of tuning. On two only the multiplier clearly gains over quantiles: +0.5 dB to the full-precision "
        "output and +0.0 dB to ground truth; not weight 50 (-0.5 dB)."
    ) in told[0]
    gained, by_set = told[3:5]
    same = "-0.5 to -0.5"
    assert cells(gained, 2) == [
        "two",
        RELEASED,
        "-0.5",
        same,
        same,
        "yes",
        "+0.0 (+0.0 to +0.0)",
        "+0.00",
        "+0.00",
        "0.70",
    ]
    assert cells(by_set, 0) == ["one", RELEASED, "4", "3.30", "3.30", "4.00"]


NETWORKS = {"one": {MULTIPLIER: 41.0, RELEASED: 42.0}, "two": {MULTIPLIER: 40.5, RELEASED: 39.5}}


def test_a_gain_within_its_draws_is_not_clear():
    here = units({MULTIPLIER: 40.3, RELEASED: 42.0}, noise=1.5)
    found = {gain.method: gain for gain in gains(here)}
    assert found[RELEASED].helps and not found[MULTIPLIER].helps
    for kind in ("fp", "truth"):
        known = bit_loss.at_equal_bits(here[here["target"] == 4], kind).groupby("method")["gain"].mean()
        assert [getattr(gain, kind) for gain in found.values()] == pytest.approx([known[name] for name in found])
    draws = found[RELEASED].drawn_fp
    assert draws.std() > 0.1 and abs(draws.mean() - found[RELEASED].fp) < 0.2


def test_draws_of_all_patches_once_give_the_gain_itself(monkeypatch):
    here = units({MULTIPLIER: 41.0}, noise=1.0)
    once = lambda networks, value: np.array([[value(rows) for rows in networks]])
    monkeypatch.setattr(bit_loss_worth, "drawn", once)
    for gain in gains(here):
        assert gain.drawn_fp == pytest.approx([gain.fp]) and gain.drawn_truth == pytest.approx([gain.truth])


def test_the_table_and_the_figure():
    trace = pd.DataFrame(
        [
            dict(backbone="net", seed=0, method=m, target=4.0, step=step, fab=4.0 - 0.1 * step)
            for m in (loss_of(0), RELEASED, MULTIPLIER)
            for step in (1, 2, 3)
        ]
    )
    table = bit_loss.table(units())
    assert len(table) == 1 + 2 * (6 + 3) and set(table["series"]) > {RELEASED, MULTIPLIER, "factor +1"}
    drawn = bit_loss.figures(units(), bits({RELEASED: -0.5}), trace)
    assert {name: [axis.get_title() for axis in figure.axes] for name, figure in drawn.items()} == {
        "": ["net"], "missed": ["net"], "quality": ["net"]
    }  # fmt: skip
    released_lines = [line for line in drawn[""].axes[0].get_lines() if line.get_color() == family_color("AdaBM")]
    assert len(released_lines) == 1 and {
        "weight 0",
        "weight 50,\nreleased",
        "multiplier,\nto the step kept",
        "target",
    } == {text.get_text() for text in drawn[""].axes[0].texts}


def test_each_weight_is_tuned_for_each_target_but_none_for_none(tmp_path, monkeypatch):
    monkeypatch.setenv("ADABM_CACHE", str(tmp_path / "cache"))
    _, bench = probed(tmp_path)
    run = Run.at("adabm-own-bits", "W4A4 FQ", 0, {"tune": None})
    rows, ended, _ = bit_loss.measure(bench, bench, run, 4, [4.0, 3.5], [0, 50, 500], 1.0, 3, 1.0, 12, 1)
    tuned = {(method, target) for method, target in zip(ended["method"], ended["target"]) if "quantiles" not in method}
    weights = {(loss_of(weight), target) for weight in (50, 500) for target in (4.0, 3.5)}
    assert tuned == weights | {(loss_of(0), 4.0), (AS_CALIBRATED, 4.0), (MULTIPLIER, 4.0), (MULTIPLIER, 3.5)}
    assert tuned == set(zip(rows["method"], rows["target"])) - {(f"factor {factor:+d}", 4.0) for factor in (-1, 0, 1)}


def test_three_ways_on_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuning = Tuning(tuple(path.name for path in bench.pool[:4]), 0, 3, 100.0, 12, 2)
    known = complexities(model, bench, tuning.names)
    assert {name: len(values) for name, values in known.items()}[CALIBRATION] == 4
    plain = calibrated(model, bench, known, 12, 2)
    assert plain["middle"] == average(model) and plain["bits"][CALIBRATION] == average(model, known[CALIBRATION])
    free = released(model, bench, known, 0.0, 4.0, tuning)
    pressed = released(model, bench, known, 1e6, 2.5, tuning)
    assert len(free["trace"]) == 3 and pressed["bits"][CALIBRATION] < free["bits"][CALIBRATION]
    priced = multiplier(model, bench, known, 1e6, plain["bits"][CALIBRATION] - 0.5, tuning)
    assert (
        1 < len(priced["trace"]) <= 3 and priced["trace"][-1] == priced["bits"][CALIBRATION] < free["bits"][CALIBRATION]
    )
    rows = pd.DataFrame(forced(model, bench, 12, 2)["rows"])
    assert (rows.groupby("factor")["fab"].mean().diff().dropna() == 1).all() and not model.image2bit._forward_hooks
    assert all((tensor == before[name]).all() for name, tensor in model.state_dict().items())
