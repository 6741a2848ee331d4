"""Complexity: measures on pictures whose order is known, bits dealt out by hand, the conclusion of round numbers."""

import numpy as np
import pandas as pd
import pytest

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


def test_equal_bits_and_the_gain_by_hand():
    rules = complexity.rules(units(), 0.1).set_index("measure")
    assert rules.loc[OWN, "to_fp_db"] == pytest.approx(10 * np.log10(1000 / 991))  # 9 less in one of ten patches
    assert rules.loc[complexity.ORACLE, "to_fp_db"] == pytest.approx(rules.loc[OWN, "to_fp_db"])
    assert rules.loc["variance", "to_fp_db"] < rules.loc[complexity.RANDOM, "to_fp_db"] < rules.loc[OWN, "to_fp_db"]
    table = complexity.table(units(), 0.1)
    assert set(table.loc[table["setting"] != "FP32", "fab"]) == {4.0}
    gain = (
        10 * np.log10(100 / 91) + 10 * np.log10(100 / 100)
    ) / 10  # what is worth 9 gains, what is worth nothing loses nothing
    assert (
        complexity.image_worth(table)
        == f"At equal FAB it changes PSNR by {gain:+.2f} dB, the mean of patches on one network."
    )
    assert complexity.image_worth(table[table["level"] != complexity.UNIFORM]) == ""


def test_the_conclusion_names_the_best_measure():
    head, advice, *tables = complexity.conclusion(units(flip=OWN), 0.1)
    assert head.startswith(
        "**AdaBM's gradient hardly predicts who needs bits; variance does it best; but moving bits by the gradient loses"
    )
    assert advice.startswith("*In practice:* give all images the same bits: ") and "| -1.00" in tables[0]
    head, advice, *_ = complexity.conclusion(units(), 0.1)
    assert head.startswith("**AdaBM's mean gradient predicts best who needs bits; moving bits by the gradient gains at")
    assert advice.startswith("*In practice:* let bits follow the gradient: +")
    assert complexity.figures(units(), 0.1)[""].axes


def test_nearer_to_one_and_farther_from_the_other():
    far = units()
    far["truth +1"], far["truth -1"] = 100.0, 200.0
    head, advice, *_ = complexity.conclusion(far, 0.1)
    assert (
        "leads nearer to full precision and away from ground truth" in head
        and "The mean PSNR to ground truth falls" in head
    )
    assert advice.startswith("*In practice:* give all images the same bits") and "largest errors" in advice


def test_forced_factors_on_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    rows = errors(model, bench, 12, 2)["rows"]
    assert len(rows) == 2 and not model.image2bit._forward_hooks
    for row in rows:
        assert row["fp -1"] != row["fp +0"] != row["fp +1"] and 3 <= row["fab"] <= 5
