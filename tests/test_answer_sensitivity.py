"""Sensitivity: measures on a tiny model, ranks and gains by hand, the conclusion of round numbers."""

import numpy as np
import pandas as pd
import pytest

from adabm.study.answers import sensitivity
from adabm.study.answers.sensitivity_measures import FISHER, MEASURES, ORACLE, OWN, PROJECTED, RANDOM, UNIFORM, look
from helpers.evidence import cells
from helpers.probed import probed


def layers(*falling: str, noise: float = 0.0) -> pd.DataFrame:
    """Ten layers: a bit is worth 0 to 9; all measures rise with it but those named, which fall."""
    worth = np.arange(10.0)
    table = pd.DataFrame({name: -worth if name in falling else worth for name in MEASURES})
    table = table.assign(backbone="net", setting="W4A4 FQ", seed=0, layer=[f"layer{k}" for k in range(10)])
    return table.assign(**{"fp +0": 100.0, "fp +1": 100 - worth, "fp -1": 100 + 2 * worth})


def patches(**errors: float) -> pd.DataFrame:
    """Two patches whose error to full precision is 10, or that of the measures named."""
    given = dict.fromkeys((*MEASURES, ORACLE, RANDOM, UNIFORM), 10.0) | errors
    rows = [
        {"measure": name, "dataset": "Set", "patch": patch, "fp": error, "truth": 20.0, "truth fp": 15.0, "fab": 4.0}
        for name, error in given.items()
        for patch in "ab"
    ]
    return pd.DataFrame(rows).assign(backbone="net", setting="W4A4 FQ", seed=0)


def test_rank_correlations_and_gains_by_hand():
    found = sensitivity.agreements(layers("kurtosis")).set_index("measure")
    assert found.loc[OWN, "both"] == pytest.approx(1) and found.loc["kurtosis", "both"] == pytest.approx(-1)
    gained = sensitivity.gains(patches(**{OWN: 1.0, RANDOM: 100.0})).set_index("measure")["to_fp_db"]
    assert gained[[OWN, RANDOM, "range"]].tolist() == pytest.approx([10, -10, 0]) and UNIFORM not in gained
    table = sensitivity.table(patches())
    assert set(table.loc[table["setting"] != "FP32", "fab"]) == {4.0} and RANDOM not in set(table["level"])


def test_draws_are_pooled_one_by_one():
    one = patches()
    drawn = pd.concat([one, one[one["measure"] == RANDOM].assign(fp=1000.0)])
    gained = sensitivity.gains(drawn).set_index("measure")["to_fp_db"]
    assert gained[RANDOM] == pytest.approx(-10)  # the mean of 0 and -20 dB


@pytest.mark.parametrize(
    "falling, told",
    [
        ((), "should follow the standard deviation"),
        ((OWN,), "hardly tells which layers need bits; range does it best."),
    ],
)
def test_the_first_sentence_follows_the_ranks(falling, told):
    found, *_, extents = sensitivity.conclusion(layers(*falling), patches(), 0.3)
    assert told in found and cells(extents, 0) == ["net", "10", "1"]


def test_better_is_not_clear_by_one_exchange():
    table = layers()
    table.loc[[4, 5], OWN] = [5.0, 4.0]
    assert "no measure is clearly better" in sensitivity.conclusion(table, patches(), 0.3)[0]
    table[OWN] = [4.0, 3, 2, 1, 0, 9, 8, 7, 6, 5]
    assert "and range tells it better" in sensitivity.conclusion(table, patches(), 0.3)[0]


@pytest.mark.parametrize(
    "errors, told",
    [
        (dict.fromkeys(MEASURES, 11.0), "the same bits for all layers are better than a bit moved by any"),
        ({OWN: 11.0, FISHER: 9.0}, "better than bits by the standard deviation; Fisher does gain"),
        ({OWN: 9.0}, "good enough"),
        ({OWN: 9.0, PROJECTED: 8.0}, "projected output error is worth 0.51 dB more"),
    ],
)
def test_practice_follows_the_gains(errors, told):
    assert told.lower() in sensitivity.conclusion(layers(), patches(**errors), 0.3)[1].lower()
    assert sensitivity.figures(layers(), patches(**errors))[""].axes


def test_networks_that_differ_are_told_apart():
    both = pd.concat([layers(), layers(OWN).assign(backbone="other")])
    first, practice, _, by_network, _ = sensitivity.conclusion(
        both,
        pd.concat([patches(**{OWN: 9.0, FISHER: 8.0}), patches(**{OWN: 11.0, FISHER: 8.0}).assign(backbone="other")]),
        0.3,
    )
    assert "tells on net alone which layers need bits; range or Fisher does it best." in first
    assert "gain on net alone; Fisher is worth 0.95 dB more in the mean" in practice
    assert cells(by_network, 0)[:2] == ["net", "+0.46"] and cells(by_network, 1)[:2] == ["other", "-0.41"]


def test_what_ranks_best_is_advised_where_no_other_gains_clearly_more():
    told = sensitivity.conclusion(layers(OWN), patches(**{OWN: 9.9, FISHER: 8.0, "range": 8.05}), 0.3)[
        1
    ]  # 0.03 dB less
    assert told.startswith("*In practice:* Range is worth")
    told = sensitivity.conclusion(layers(OWN), patches(**{OWN: 9.9, FISHER: 8.0, "range": 9.0}), 0.3)[1]
    assert told.startswith("*In practice:* Fisher is worth")


def test_a_network_whose_layers_nothing_ranks_is_named():
    mixed = layers().assign(backbone="mixed", **{name: [3.0, 5, 0, 8, 1, 9, 2, 7, 4, 6] for name in MEASURES})
    told = sensitivity.conclusion(
        pd.concat([layers(), mixed]), pd.concat([patches(), patches().assign(backbone="mixed")]), 0.3
    )[0]
    assert " On mixed even the best hardly ranks single layers (" in told


def test_a_model_is_looked_into_and_left_as_it_was(tmp_path):
    model, bench = probed(tmp_path)
    before = {name: layer.activation_bits for name, layer in model.layers.items()}
    found = look(model, bench, side=8, count=1, directions=2, share=0.3, draws=2, seed=0)
    table, rows = pd.DataFrame(found["layers"]), pd.DataFrame(found["patches"])
    assert (table[[OWN, FISHER, PROJECTED]] > 0).all(axis=None) and table["fp +0"].nunique() == 1
    assert (table["fp -1"] != table["fp +0"]).any() and rows["fab"].nunique() == 1
    assert before == {name: layer.activation_bits for name, layer in model.layers.items()}
