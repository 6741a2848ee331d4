"""Gains at equal FAB: patches whose bits lie beyond the curve that is interpolated on count for nothing, and are told of."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import StudyError
from adabm.study.answers import dynamic, equal_fab, gradient
from adabm.study.answers.bit_loss_methods import RELEASED as RELEASED_LOSS
from adabm.study.answers.bit_loss_worth import gains as bit_loss_gains
from adabm.study.answers.calibration import FULL_PRECISION
from adabm.study.answers.gradient_probe import FEWER, LAYER, MORE, UNTUNED
from adabm.study.answers.layer_factors import FEWER as FIXED_FEWER
from adabm.study.answers.layer_factors import FIXED, OTHER, OWN, SAME, THRESHOLDS
from adabm.study.answers.layer_factors import MORE as FIXED_MORE
from adabm.study.answers.surrogates import RELEASED, SURROGATES


def tuned(off: str, below: float, seeds: int = 2, network: str = "net") -> pd.DataFrame:
    """Two patches; with the last seed one surrogate ends ``below`` the fewest bits of one of them, at a hundredfold error."""
    rows = []
    for seed in range(seeds):
        for patch in "ab":
            errors = {UNTUNED: 1.0, FEWER: 4.0, MORE: 0.25} | dict.fromkeys(SURROGATES, 0.5)
            bits = {UNTUNED: 4.0, FEWER: 3.0, MORE: 5.0} | dict.fromkeys(SURROGATES, 4.0)
            if (seed, patch) == (seeds - 1, "b"):
                errors[off], bits[off] = 100.0, 3.0 - below
            rows += [
                dict(surrogate=name, patch=patch, seed=seed, fab=bits[name], fp=100 * e, truth=200 * e)
                for name, e in errors.items()
            ]
    return pd.DataFrame(rows).assign(backbone=network, dataset="Set", setting="W4A4 FQ", full=50.0)


def tables(patches: pd.DataFrame) -> dict[str, pd.DataFrame]:
    keys = dict(backbone="net", seed=0)
    gradients = pd.DataFrame(
        [dict(batch=0, parameter=LAYER, difference=d, **dict.fromkeys(SURROGATES, d)) for d in (1.0, -2.0)]
    )
    steps = pd.DataFrame([dict(surrogate=name, step=step, fab=4.0 - step) for name in SURROGATES for step in (0, 1)])
    return {"patches": patches, "gradients": gradients.assign(**keys), "steps": steps.assign(**keys)}


def test_a_tuning_below_the_fewest_bits_of_the_curve_counts_on_no_patch():
    gained = gradient.gains(gradient.ends(tuned("identity", 0.7)))
    assert gained["mean"].tolist() == pytest.approx([10 * np.log10(2)] * len(SURROGATES))
    lost = gradient.gains(gradient.ends(tuned("identity", 0.0)))
    assert lost.loc["identity", "mean"] < lost.loc[RELEASED, "mean"], "at the end of the curve it counts"


def test_patches_that_are_left_out_are_told_by_network():
    told = gradient.conclusion(tables(tuned("identity", 0.7)))[0]
    assert "Left out are patches on which bits end beyond those that are interpolated between" in told
    assert "(a patch counts once a seed): 1 of 4. Each tunes" in told
    assert "Left out" not in gradient.conclusion(tables(tuned("identity", 0.0)))[0]
    several = pd.concat(
        [tuned("identity", 0.7), tuned("identity", 0.7, 1, "other"), tuned("identity", 0.0, 1, "third")]
    )
    kept = equal_fab.reached(several, "surrogate", gradient.TUNED, (FEWER, UNTUNED, MORE))
    assert equal_fab.told_left_out(several, kept).endswith(": 1 of 4 on net and 1 of 2 on other.")


def test_nothing_on_the_curve_is_an_error():
    patches = tuned("identity", 0.7, 1)
    with pytest.raises(
        StudyError, match="on no patch all ways of choosing bits have a FAB between .* fewer steps or a lower"
    ):
        gradient.ends(patches[patches["patch"] == "b"])


def test_a_rule_beyond_the_curve_counts_on_no_patch():
    rows = []
    for patch, bits in (("a", 4.5), ("b", 5.4)):
        fab = {FIXED: 4.0, FIXED_FEWER: 3.0, FIXED_MORE: 5.0, OWN: 4.0, OTHER: 4.0, SAME: 4.0, THRESHOLDS: bits}
        errors = {FIXED_FEWER: 4.0, FIXED_MORE: 0.25, THRESHOLDS: 0.01 if patch == "b" else 0.5}
        rows += [
            dict(rule=rule, patch=patch, fab=fab.get(rule, 32.0), fp=errors.get(rule, 1.0), truth=errors.get(rule, 1.0))
            for rule in (*fab, FULL_PRECISION)
        ]
    units = pd.DataFrame(rows).assign(
        series="fixed", backbone="net", dataset="Set", setting="W4A4 FQ", seed=0, factors="+-"
    )
    assert set(dynamic.gains(units)["patch"]) == {"a"}
    seconds = pd.DataFrame([dict(backbone="net", rule=rule, seconds=1.0) for rule in (FIXED, OWN, THRESHOLDS)])
    assert ": 1 of 2." in dynamic.conclusion(units, seconds)[0]


def test_draws_whose_bits_no_quantiles_have_are_left_out():
    """What a tuning gives lies on the line of quantiles, and on its continuation below the fewest bits that these have."""
    rows = []
    for place in range(6):
        ways = {f"factor {more:+d}": 4.0 + more for more in (-1, 0, 1)} | {RELEASED_LOSS: 2.6 if place % 2 else 3.5}
        for method, fab in ways.items():
            error = 255**2 / 10 ** ((40 + 2 * (fab - 4)) / 10)
            rows.append(dict(method=method, patch=str(place), fab=fab, fp=error, truth=error, complexity=float(place)))
    units = pd.DataFrame(rows).assign(backbone="net", dataset="Set", setting="W4A4 FQ", seed=0, target=4.0)
    (gain,) = bit_loss_gains(units)
    known = gain.drawn_fp[~np.isnan(gain.drawn_fp)]
    assert gain.fp == pytest.approx(0) and known == pytest.approx(0, abs=1e-9)
    assert 100 < len(known) < 350, "some draws of patches have fewer bits than any quantiles"
    assert not gain.sure
