"""Complexity: measures on pictures whose order is known, bits dealt out by hand, the conclusion of round numbers."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study.answers import complexity
from adabm.study.answers.complexity_measures import MEASURES, OWN, errors
from helpers.probed import probed

RNG = np.random.default_rng(0)
FLAT = np.full((32, 32, 3), 90, dtype=np.uint8)
NOISE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", MEASURES)
def test_noise_is_more_complex_than_a_flat_picture(name):
    assert MEASURES[name](NOISE) > MEASURES[name](FLAT) >= 0


def units(worth=tuple(range(10)), flip: str = "variance") -> pd.DataFrame:
    """Ten patches: a bit is worth ``worth``; all measures rise with it but one, which falls."""
    worth = np.array(worth, float)
    table = pd.DataFrame({name: -worth if name == flip else worth for name in MEASURES})
    table = table.assign(backbone="net", dataset="Set", setting="W4A4 FQ", seed=0, fab=4.0)
    for kind in ("fp", "truth"):
        table[f"{kind} +0"] = 100.0
        table[f"{kind} +1"] = 100.0 - worth
        table[f"{kind} -1"] = 100.0 + 2 * worth
    return table.assign(**{"truth fp": 50.0})


def test_rank_correlations():
    found = complexity.agreements(units()).set_index("measure")
    assert found.loc[OWN, "benefit"] == pytest.approx(1) and found.loc["variance", "harm"] == pytest.approx(-1)


def test_as_many_go_up_as_down():
    assert list(complexity.factors_by(np.array([3.0, 1, 2, 5, 4]), 0.2)) == [0, -1, 0, 1, 0]
    assert not complexity.factors_by(np.arange(4.0), 0.1).any()
    for share in (-0.1, 0.6):  # more would get a bit more than get one fewer
        with pytest.raises(ConfigError, match="from 0 to 0.5"):
            complexity.factors_by(np.arange(4.0), share)
    known = complexity.known_factors(pd.DataFrame({"benefit": [0.0, 5, 1], "harm": [9.0, 0, 4]}), 0.34)
    assert list(known) == [0, 1, -1]


def test_equal_bits_and_the_gain_by_hand():
    rules = complexity.rules(units(), 0.1).set_index("measure")
    assert rules.loc[OWN, "to_fp_db"] == pytest.approx(10 * np.log10(1000 / 991))  # 9 less in one of ten patches
    assert rules.loc[complexity.ORACLE, "to_fp_db"] == pytest.approx(rules.loc[OWN, "to_fp_db"])
    assert rules.loc["variance", "to_fp_db"] < rules.loc[complexity.RANDOM, "to_fp_db"] < rules.loc[OWN, "to_fp_db"]
    table = complexity.table(units(), 0.1)
    assert set(table.loc[table["setting"] != "FP32", "fab"]) == {4.0}


def test_the_conclusion_names_the_best_measure():
    told = " ".join(complexity.conclusion(units(flip=OWN), 0.1))
    assert (
        "hardly predicts who needs bits; variance does it best; but moving bits by the gradient gains nothing" in told
        and "AdaBM's mean gradient -1.00" in told
    )
    assert "*In practice:* at equal FAB give all images the same bits" in told
    head, *_, advice = complexity.conclusion(units(), 0.1)
    assert head == "**AdaBM's mean gradient predicts best who needs bits.**"
    assert advice.startswith("*In practice:* let bits follow the gradient: +") or "not to both" in advice
    assert complexity.figures(units(), 0.1)[""].axes


def test_forced_factors_on_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    rows = errors(model, bench, 12, 2)["rows"]
    assert len(rows) == 2 and not model.image2bit._forward_hooks
    for row in rows:
        assert row["fp -1"] != row["fp +0"] != row["fp +1"] and 3 <= row["fab"] <= 5
