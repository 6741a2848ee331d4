"""Dynamic factors: the rules on a tiny network, gains at equal FAB by hand, every branch of the verdict."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from adabm.errors import ConfigError
from adabm.quantization.bit_mapping import initial_layer_factors
from adabm.study import Run
from adabm.study.answers import dynamic
from adabm.study.answers.calibration import FULL_PRECISION
from adabm.study.answers.layer_factors import (
    FEWER,
    FIXED,
    MORE,
    OTHER,
    OWN,
    RULES,
    SAME,
    THRESHOLDS,
    by_thresholds,
    calibrated_thresholds,
    deviations,
    free_factors,
    outcomes,
    times,
)
from adabm.study.answers.measured import told_seeds
from adabm.study.answers.probing import batch_of, output, patches
from helpers.evidence import cells
from helpers.probed import probed

RUN = Run.at("adabm-own-bits", "W4A4 FQ", 0, {"tune": None})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    model, bench = probed(tmp_path_factory.mktemp("dynamic"))
    return model, bench


@torch.no_grad()
def test_thresholds_of_calibration_give_the_factors_of_calibration(tiny):
    model, bench = tiny
    low, high = calibrated_thresholds(model, bench, RUN, len(bench.pool))
    assert 0 < low < high
    batch = batch_of(model, [patches(bench, 12, 1)[0].low])
    with free_factors(model) as factors:
        before = factors.read()
        with by_thresholds(model, -2.0, -1.0):
            output(model, batch)
        assert set(factors.read()) == {1}
        with by_thresholds(model, 1e9, 2e9):
            output(model, batch)
        assert set(factors.read()) == {-1} and factors.signs() == "-" * len(before)
    assert factors.read() == before != [-1] * len(before)


@torch.no_grad()
def test_rules_on_a_tiny_network(tiny):
    model, bench = tiny
    rows = pd.DataFrame(outcomes(model, bench, RUN, 4, 12, 2)["rows"])
    assert list(rows["rule"][:8]) == [*RULES, FULL_PRECISION] and len(rows) == 16
    assert not model.image2bit._forward_hooks and model.context.visitor is None
    for patch in patches(bench, 12, 2):
        here = rows[rows["patch"] == patch.name].set_index("rule")
        assert here.loc[MORE, "fab"] - 1 == here.loc[FIXED, "fab"] == here.loc[FEWER, "fab"] + 1
        assert here.loc[FEWER, "fp"] > here.loc[MORE, "fp"] > here.loc[FULL_PRECISION, "fp"] == 0
        assert set(here.loc[SAME, "factors"]) == {"."} and here.loc[FIXED, "factors"] == here.loc[MORE, "factors"]
        _, sigma = deviations(model, batch_of(model, [patch.low]))
        expected = "".join("-.+"[int(factor) + 1] for factor in initial_layer_factors(sigma))
        assert here.loc[OWN, "factors"] == expected
        other = rows[(rows["patch"] != patch.name) & (rows["rule"] == OWN)]
        assert here.loc[OTHER, "factors"] == other["factors"].iloc[0]
        bits = 4 + np.mean(["-.+".index(sign) - 1 for sign in here.loc[THRESHOLDS, "factors"]])
        assert here.loc[THRESHOLDS, "fab"] == pytest.approx(bits)


@torch.no_grad()
def test_times_are_measured_and_change_nothing(tiny):
    model, bench = tiny
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = times(model, bench, RUN, 4, 12, 2)["rows"]
    assert [row["rule"] for row in rows] == [FIXED, THRESHOLDS, OWN] * 2 and all(row["seconds"] > 0 for row in rows)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_mappings_is_refused(tiny):
    model, _ = tiny
    mapping, model.image2bit = model.image2bit, None
    try:
        with pytest.raises(ConfigError, match="take a recipe such as adabm-own-bits"), free_factors(model):
            pass
    finally:
        model.image2bit = mapping


def units(own: float = 1.0, thresholds: float = 1.0, patches: int = 8, noise: float = 0.0) -> pd.DataFrame:
    """Patches whose error is 100 with fixed factors, and 100 times what is given with dynamic ones; thresholds take a half bit more."""
    rng, rows = np.random.default_rng(0), []
    errors = {FIXED: 1.0, OWN: own, THRESHOLDS: thresholds, OTHER: 2.0, SAME: 3.0, FEWER: 4.0, MORE: 0.25}
    bits = {THRESHOLDS: 4.5, FEWER: 3.0, MORE: 5.0}
    factors = {OWN: "+.-.", THRESHOLDS: "++..", OTHER: "+-..", SAME: "...."}
    for patch in range(patches):
        for rule, error in errors.items():
            error *= np.exp(rng.normal(0, noise)) if rule in dynamic.DYNAMIC else 1
            row = dict(patch=str(patch), rule=rule, factors=factors.get(rule, "+..-"), fab=bits.get(rule, 4.0))
            rows.append(row | dict(fp=100 * error, truth=200 * error))
        rows.append(dict(patch=str(patch), rule=FULL_PRECISION, factors="", fab=32.0, fp=0.0, truth=50.0))
    told = dict(backbone="net", dataset="Set", series="AdaBM", setting="W4A4 FQ", seed=0)
    return pd.DataFrame(rows).assign(**told)


def concluded(found: pd.DataFrame) -> list[str]:
    """The conclusion from units, where each network takes 2 s with fixed factors, and 3 and 2.5 s with dynamic ones."""
    seconds = {FIXED: 2.0, OWN: 3.0, THRESHOLDS: 2.5}
    rows = [
        dict(backbone=name, rule=rule, seconds=s) for name in found["backbone"].unique() for rule, s in seconds.items()
    ]
    return dynamic.conclusion(found, pd.DataFrame(rows))


def test_what_dynamic_factors_cost():
    rows = [("one", FIXED, 1.0), ("one", FIXED, 2.0), ("one", FIXED, 9.0), ("one", OWN, 3.0), ("one", THRESHOLDS, 2.0)]
    rows += [("two", FIXED, 4.0), ("two", OWN, 7.0), ("two", THRESHOLDS, 5.0)]
    seconds = pd.DataFrame(rows, columns=["backbone", "rule", "seconds"])
    found = pd.concat([units(0.5).assign(backbone=name) for name in ("one", "two")])
    told = dynamic.conclusion(found, seconds)[0]
    assert (
        "a patch takes 1.50 to 1.75 times as long by percentiles of the picture's layers and 1.00 to 1.25 times as long by "
        "calibrated thresholds as with fixed factors (medians, by network;"
    ) in told
    assert "1.50 times as long by percentiles" in concluded(units())[0]


def test_gains_at_equal_bits_by_hand():
    gained = dynamic.gains(units(0.5)).set_index(["rule", "patch"])
    assert gained.loc[(OWN, "0"), "truth"] == pytest.approx(10 * np.log10(2))
    assert gained.loc[(THRESHOLDS, "0"), "fp"] == pytest.approx(-10 * np.log10(4) / 2)  # half-way to a bit more
    assert gained.loc[(OWN, "0"), "differ"] == 0.5 and gained.loc[(SAME, "0"), "differ"] == 0.5
    two = pd.concat([units(0.5), units(0.125).assign(seed=1)])
    assert dynamic.gains(two)["truth"].iloc[0] == pytest.approx(10 * np.log10(4))  # the mean over seeds
    networks = pd.concat([units(0.5), units(0.125, patches=2).assign(backbone="other")])
    assert dynamic.summary(dynamic.gains(networks)).loc[OWN, "truth"] == pytest.approx(
        10 * np.log10(4)
    )  # networks alike


@pytest.mark.parametrize(
    "own, thresholds, noise, verdict",
    [
        (
            0.5,
            1.0,
            0.0,
            "Dynamic: factors computed for each picture are better than fixed ones at equal FAB.** The best dynamic factors, percentiles",
        ),
        (
            2.0,
            0.1,
            0.0,
            "Dynamic: factors computed for each picture are better than fixed ones at equal FAB.** The best dynamic factors, calibrated",
        ),
        (
            2.0,
            2.0,
            0.0,
            "Dynamic factors are not worth it: computed for each picture, they are worse than fixed ones at equal FAB",
        ),
        (
            1.6,
            3.0,
            1.0,
            "Dynamic factors are not worth it: computed for each picture, they gain nothing over fixed ones in the mean at equal FAB",
        ),
        (
            0.9,
            3.0,
            1.0,
            "Dynamic factors are not worth it: computed for each picture, they gain no more over fixed ones at equal FAB than chance",
        ),
    ],
)
def test_the_verdict(own, thresholds, noise, verdict):
    told = concluded(units(own, thresholds, noise=noise))
    assert told[0].startswith(f"**{verdict}") and cells(told[-1], 0) == ["net", "8", "1"]
    assert "50% of the layers" in told[0]


def test_networks_and_other_methods_are_told_apart():
    both = pd.concat([units(0.5), units(2.0).assign(backbone="other"), units(4.0).assign(series="Without clipping")])
    told = concluded(both)
    networks = told[3]
    same = lambda gain: f"{gain} ({gain} to {gain})"  # of all patches, whichever are drawn
    assert cells(networks, 0)[:4] == ["net", "AdaBM", same("+3.01"), same("-3.01")]
    assert cells(networks, 1)[:3] == ["other", "AdaBM", same("-3.01")]
    assert cells(networks, 2)[:4] == ["net", "Without clipping", same("-6.02"), same("-3.01")]
    noisy = cells(concluded(units(0.9, noise=1.0))[3], 0)[2]
    mean, least, most = (float(text) for text in noisy.replace("(", "").replace(")", "").replace("to ", "").split())
    assert least < mean < most
    better = units(0.5)
    better.loc[better["rule"] == SAME, "truth"] /= 1000
    assert (
        " The same bits for all layers are better than fixed ones, too, on net.**" in concluded(better)[0]
        and " The same bits for all layers give +25.23 dB on net. A picture's own" in concluded(better)[0]
    )
    worse = units(2.0, 2.0)
    worse.loc[worse["rule"] == SAME, "truth"] /= 1000
    assert (
        concluded(pd.concat([worse, worse.assign(backbone="other")]))[0]
        .split("**")[1]
        .endswith(
            "at equal FAB. On net and other fixed ones are not worth it either: the same bits for all layers are better."
        )
    )
    assert (
        " The same bits for all layers give +25.23 dB on net and +25.23 dB on other; in the mean of all 2 networks +25.23 dB "
        "(+25.23 to +25.23). A" in concluded(pd.concat([worse, worse.assign(backbone="other")]))[0]
    )
    assert len(dynamic.figures(both)[""].axes) == 2


def test_a_gain_on_one_network_is_told_where_the_mean_of_all_gains_nothing():
    mixed = pd.concat([units(1.6, 3.0, noise=1.0), units(0.98, 3.0).assign(backbone="other")])
    told = concluded(mixed)[0].split("**")[1]
    assert told.startswith(
        "Dynamic factors are not worth it: computed for each picture, they gain nothing over fixed ones in the mean at equal FAB. On other"
    )
    assert " On other alone they gain, at most +0.09 dB (percentiles of the picture's layers)." in told
    rivals = pd.concat([mixed, units(0.5).assign(backbone="other", series="Without clipping")])
    assert concluded(rivals)[0].split("**")[1] == told, "what another method gains is no gain of AdaBM's"
    assert "alone they gain" not in concluded(units(1.6, 3.0, noise=1.0))[0]


def test_another_pictures_percentiles_tell_what_is_due_to_the_picture():
    """The own ones halve the error, the other's double it; and nothing is clear where they are alike but for noise."""
    assert (
        "They are clearly better than another picture's (+3.01 against -3.01 dB). Percentiles"
        in concluded(units(0.5))[0]
    )
    assert "They are clearly worse than another picture's (-6.02 against -3.01 dB)." in concluded(units(4.0))[0]
    told = concluded(units(2.0, noise=1.0))[0]
    assert (
        "They are not clearly different from another picture's (" in told
        and "none of what they change is clearly due to the picture." in told
    )


def test_where_the_same_bits_are_clearly_better_no_factors_are_advised():
    same = units()
    same.loc[same["rule"] == SAME, "truth"] /= 1000
    assert any("Give all layers the same bits: +" in part for part in concluded(same))
    assert any("Leave each layer's factor" in part for part in concluded(units()))


def test_the_same_bits_are_advised_where_they_give_more_than_computed_factors_or_these_nothing_clear():
    assert any("Compute each picture's factors (percentiles" in part for part in concluded(units(0.5)))
    better, hardly = units(0.5), units(0.9, 3.0, noise=1.0)
    better.loc[better["rule"] == SAME, "truth"] /= 1000
    hardly.loc[hardly["rule"] == SAME, "truth"] = 199.99
    assert any("no way of computing factors gains as much" in part for part in concluded(better))
    assert any("no way of computing factors clearly gains" in part for part in concluded(hardly))


def test_advice_goes_by_network_where_they_differ():
    same = units()
    same.loc[same["rule"] == SAME, "truth"] /= 1000
    told = concluded(pd.concat([same, units().assign(backbone="other")]))
    (advice,) = [part for part in told if part.startswith("*In practice:*")]
    assert advice.startswith(
        "*In practice:* Keep AdaBM's fixed factors on other, and the same bits for all layers where they are better: +"
    )
    assert "told on the page of sensitivity" in advice


def test_the_table_keeps_each_rule_at_its_own_bits():
    table = dynamic.table(units(0.5))
    assert list(table["level"]) == ["none", *RULES] and table.loc[0, "psnr_y_db"] == pytest.approx(31.141)
    assert table.set_index("level").loc[THRESHOLDS, "fab"] == 4.5


def test_networks_of_other_numbers_of_seeds_are_told():
    table = pd.DataFrame(dict(backbone=["a", "a", "b"], seed=[0, 1, 0]))
    told = [told_seeds(table), told_seeds(table[:2]), told_seeds(table[2:])]
    assert told == ["1 to 2 seeds", "2 seeds", "one seed"]


@pytest.mark.parametrize(("changed", "named"), [({"levels": [45]}, "levels"), ({"seeds": [1, 7]}, "seed 7")])
def test_a_method_with_an_unknown_key_or_a_seed_of_no_network_is_refused(changed, named):
    units, methods = (
        [SimpleNamespace(seed=seed, bench=SimpleNamespace(backbone=Path("net"))) for seed in (0, 1)],
        {"a": {"method": "adabm-own-bits", "changes": {"tune": None}}},
    )
    assert dynamic.checked(units, methods) == units
    with pytest.raises(ConfigError, match=f"methods, a: .*{named}"):
        dynamic.checked(units, {"a": {**methods["a"], **changed}})


def test_a_mean_that_few_patches_decide_is_told():
    found = units(own=9.0, thresholds=0.1)
    one = (found["patch"] == "0") & (found["rule"] == THRESHOLDS)
    found.loc[one, ["fp", "truth"]] *= 2.5e8
    assert "though they are better on 88% of the patches: the others lose more." in concluded(found)[0]
    assert "though" not in concluded(units(own=9.0, thresholds=9.0))[0]
