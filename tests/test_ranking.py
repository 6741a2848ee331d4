"""Rank correlations of drawn patches: by pandas, and where chance decides."""

import numpy as np
import pandas as pd
import pytest

from adabm.study.answers.dealing import worth
from adabm.study.answers.ranking import _gaps, advantages, clearly_better

RNG = np.random.default_rng(0)


def units(noise: float, count: int = 40) -> pd.DataFrame:
    """Two seeds of a network: ``good`` ranks like the benefit, ``poor`` like it with noise."""
    rows = []
    for seed in (0, 1):
        benefit = RNG.random(count)
        row = pd.DataFrame(
            {"fp -1": 3.0, "fp +0": 2.0, "fp +1": 2.0 - benefit, "good": benefit, "backbone": "net", "seed": seed}
        )
        rows.append(row.assign(poor=benefit + noise * RNG.standard_normal(count)))
    return pd.concat(rows, ignore_index=True)


def test_gaps_are_those_of_pandas_with_ties_too():
    table = pd.DataFrame(RNG.integers(0, 4, (30, 5)), columns=["one", "two", "other", "benefit", "harm"])
    ranked = table.corr(method="spearman")[["benefit", "harm"]].mean(axis=1)
    expected = [ranked[name] - ranked["other"] for name in ("one", "two")]
    assert _gaps(table.to_numpy(float)[None], 2) == pytest.approx(np.array([expected]))


def test_measures_beside_each_other_are_drawn_as_each_alone():
    table = units(1.0).assign(third=RNG.random(80))
    found = advantages(table, ["good", "third"], "poor", ["benefit"])
    assert list(found) == ["good", "third"]
    for name, draws in found.items():
        assert np.array_equal(draws, advantages(table, [name], "poor", ["benefit"])[name])


def test_better_only_where_chance_does_not_explain_it():
    assert clearly_better(units(2.0), "good", "poor", ["benefit"])
    assert not clearly_better(units(2.0), "poor", "good", ["benefit"])
    alike = units(1.0)
    alike["good"] += RNG.standard_normal(len(alike))  # as noisy as the other
    assert not clearly_better(alike, "good", "poor", ["benefit"])
    assert not clearly_better(alike, "poor", "good", ["benefit"])


def test_what_is_constant_is_no_evidence():
    table = units(2.0).assign(poor=1.0)
    assert np.isnan(_gaps(table.assign(**worth(table))[["good", "poor", "benefit"]].to_numpy(float)[None], 1)).all()
    assert not clearly_better(table, "good", "poor", ["benefit"])
