"""Gains at equal FAB: patches whose bits lie beyond the curve that is interpolated on count for nothing, and are told of."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import StudyError
from adabm.study.answers import dynamic, equal_fab
from adabm.study.answers.bit_loss_methods import RELEASED as RELEASED_LOSS
from adabm.study.answers.bit_loss_worth import gains as bit_loss_gains
from adabm.study.answers.calibration import FULL_PRECISION
from adabm.study.answers.layer_factors import FEWER as FIXED_FEWER
from adabm.study.answers.layer_factors import FIXED, OTHER, OWN, SAME, THRESHOLDS
from adabm.study.answers.layer_factors import MORE as FIXED_MORE


def test_what_ends_beyond_the_curve_is_left_out_for_all_ways_alike():
    ends = ("a bit fewer", "a bit more")
    told = lambda *fabs: pd.DataFrame(
        dict(backbone=network, patch=patch, seed=seed, way=way, fab=fab)
        for (network, patch, seed), fab_of in zip((("net", "a", 0), ("net", "a", 1), ("other", "a", 0)), fabs)
        for way, fab in (*zip(ends, (3.0, 5.0)), ("one", fab_of), ("another", 4.0))
    )
    units = told(2.9, 3.0, 5.2)
    kept = equal_fab.reached(units, "way", ("one", "another"), ends)
    assert list(kept["seed"]) == [1] * 4 and set(kept["way"]) == {*ends, "one", "another"}
    assert equal_fab.told_left_out(units, kept).endswith(
        " (a patch counts once a seed): 1 of 2 on net and 1 of 1 on other."
    )
    assert equal_fab.told_left_out(units, units) == ""
    with pytest.raises(
        StudyError, match="on no patch all ways of choosing bits have a FAB between those of 'a bit fewer' and"
    ):
        equal_fab.reached(told(2.9, 2.9, 2.9), "way", ("one", "another"), ends)


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
