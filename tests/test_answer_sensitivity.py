"""Sensitivity: measures on a tiny model, ranks and gains by hand, the conclusion of round numbers."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from adabm.study.answers import sensitivity
from adabm.study.answers.layer_probes import Views, adaptive_layers
from adabm.study.answers.measured import few_patches
from adabm.study.answers.probing import patches as cut_patches
from adabm.study.answers.sensitivity_gains import drawn_gains
from adabm.study.answers.sensitivity_measures import (
    FISHER,
    MEASURES,
    ORACLE,
    OWN,
    PROJECTED,
    RANDOM,
    UNIFORM,
    look,
    measures,
)
from adabm.study.answers.sensitivity_telling import told_hardly, told_not_most, told_practice
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


def test_draws_of_gains_hold_the_gain():
    rng = np.random.default_rng(0)
    noisy = lambda seed: pd.concat([patches(**{OWN: 5.0}).assign(patch=str(k)) for k in range(4)]).assign(seed=seed)
    table = pd.concat([noisy(0), noisy(1)]).drop_duplicates(["seed", "patch", "measure"])
    table["fp"] *= np.exp(0.1 * rng.standard_normal(len(table)))
    draws = drawn_gains(table, [OWN, FISHER])
    gained = sensitivity.gains(table).groupby("measure")["to_fp_db"].mean()
    for name in (OWN, FISHER):
        values = draws[name]["net"]
        assert values.shape == (400, 2) and values[:, 0].min() < gained[name] < values[:, 0].max()
        assert values[:, 1] == pytest.approx(np.zeros(400))


@pytest.mark.parametrize(
    "falling, told",
    [
        ((), "should follow the standard deviation"),
        (
            (OWN,),
            "hardly tells which layers need bits (rank correlation -1.00). Range tells it clearly better "
            "(1.00; in 95 % of draws of layers by +2.00 to +2.00 more).**",
        ),
    ],
)
def test_the_first_sentence_follows_the_ranks(falling, told):
    found, *_, extents = sensitivity.conclusion(layers(*falling), patches(), 0.3)
    assert told in found and cells(extents, 0) == ["net", "10", "1"]


def test_better_is_not_clear_by_one_exchange():
    table = layers()
    table.loc[[4, 5], OWN] = [5.0, 4.0]
    told = sensitivity.conclusion(table, patches(), 0.3)[0]
    assert "Range tells it better, but not clearly (1.00; in 95 % of draws of layers by +0.00 to +" in told
    table[OWN] = [4.0, 3, 2, 1, 0, 9, 8, 7, 6, 5]
    assert "Range tells it clearly better (1.00; in 95 %" in sensitivity.conclusion(table, patches(), 0.3)[0]


@pytest.mark.parametrize(
    "errors, told",
    [
        (dict.fromkeys(MEASURES, 11.0), "Give all layers the same bits: standard deviation (AdaBM) does best, and against them gives -0.41 dB."),
        ({OWN: 11.0, FISHER: 9.0}, "(which needs backward passes), not by the standard deviation: over the same bits for all it gives +0.46 dB, the standard"),
        ({OWN: 9.0}, "Deal the bits of layers by the standard deviation: over the same bits for all it gives +0.46 dB."),
        ({OWN: 9.0, PROJECTED: 8.0}, "by projected output error (which needs backward passes), not by the standard deviation: over the same bits for"),
    ],
)  # fmt: skip
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
    assert (
        "tells on net alone which layers need bits (rank correlation 0.00 in the mean, there 1.00). Range and Fisher tell it clearly"
        in first
    )
    assert (
        "Deal the bits of layers by Fisher (which needs backward passes): over the same bits for all it gives +0.97 dB (+0.97 to +0.97 by "
        "network), on net from 2 patches alone and on other from 2 patches alone. The standard deviation does on net (+0.46 dB), not on other (-0.41 dB). This"
        in practice
    )
    nothing = "+0.00 (+0.00 to +0.00)"
    assert practice.endswith(f"to ground truth it is {nothing} and {nothing} dB (95 % of draws of patches and seeds).")
    assert cells(by_network, 0)[:2] == ["net", "+0.46 (+0.46 to +0.46)"]
    assert cells(by_network, 1)[:2] == ["other", "-0.41 (-0.41 to -0.41)"]


def test_a_gain_that_its_draws_make_doubtful_is_told_as_one():
    table = pd.concat([layers(OWN).assign(seed=seed) for seed in (0, 1)])
    seeds = lambda *errors: pd.concat(
        [
            patches(**dict.fromkeys(MEASURES, 12.0) | {FISHER: error}).assign(seed=seed)
            for seed, error in enumerate(errors)
        ]
    )
    told = sensitivity.conclusion(table, seeds(7.0, 10.5), 0.3)[1]
    assert "it gives +0.67 dB (-0.21 to +1.55 by seed), not clearly, the standard deviation -0.79 dB" in told
    assert "not clearly" not in sensitivity.conclusion(table, seeds(7.0, 9.5), 0.3)[1]


def test_the_standard_deviation_is_good_enough_where_what_ranks_better_gains_little_more():
    table = layers()
    table.loc[[4, 5], OWN] = [5.0, 4.0]
    advised = lambda error: sensitivity.conclusion(table, patches(**{OWN: 9.0, "range": error}), 0.3)[1]
    told = "is good enough: over the same bits for all it gives +0.46 dB, range +0.50 dB. This is PSNR to the full-precision output"
    assert told in advised(8.92)
    assert advised(8.5).startswith("*In practice:* Deal the bits of layers by range, not by the standard deviation")


def test_what_ranks_best_is_advised_where_no_other_gains_clearly_more():
    advised = lambda **errors: sensitivity.conclusion(layers(OWN), patches(**{OWN: 10.1, FISHER: 8.0} | errors), 0.3)[1]
    assert advised(range=8.05).startswith(
        "*In practice:* Deal the bits of layers by range or Fisher (Fisher needs backward passes), not by"
    )  # 0.03 dB less
    assert advised(range=9.0).startswith(
        "*In practice:* Deal the bits of layers by Fisher (which needs backward passes), not"
    )


def test_a_network_whose_layers_nothing_ranks_is_named():
    mixed = layers().assign(backbone="mixed", **{name: [3.0, 5, 0, 8, 1, 9, 2, 7, 4, 6] for name in MEASURES})
    told = sensitivity.conclusion(
        pd.concat([layers(), mixed]), pd.concat([patches(), patches().assign(backbone="mixed")]), 0.3
    )[0]
    assert re.search(
        r"^ On mixed even the standard deviation hardly ranks them \(-?0\.\d\d\), and bits dealt by it give \+0\.00 dB there \(on 2 patches\)\. A measure is",
        told.split("**")[2],
    )


def test_why_the_known_worth_need_not_gain_most_is_told():
    told = lambda gain: told_not_most(pd.Series({ORACLE: 0.5, FISHER: gain}), FISHER)
    assert told(0.5) == "" and "no more than by Fisher (+0.50 against +0.51 dB)" in told(0.51)


def test_gains_where_ranks_fail_are_told_as_surprising():
    told = lambda gain, few={}: told_hardly(
        "range", pd.Series({"a": 0.5, "b": 0.1}), pd.Series({"a": 1.0, "b": gain}), few
    )
    head = " On b even range hardly ranks them (0.10), "
    assert told(1.09) == f"{head}and yet bits dealt by it give +1.09 dB there; why is not explained."
    assert told(1.09, {"b": "one patch"}).endswith("give +1.09 dB there (on one patch); why is not explained.")
    assert told(-1.0) == f"{head}and bits dealt by it give -1.00 dB there."


def test_several_measures_are_advised_only_where_each_clearly_gains_on_every_network():
    """Range gains on the second network in draws that hold patch b alone."""
    good = patches(**{OWN: 10.1, FISHER: 8.0, "range": 8.05})
    doubtful = good.copy()
    for patch, error in (("a", 12.0), ("b", 4.05)):
        doubtful.loc[(good["measure"] == "range") & (good["patch"] == patch), "fp"] = error

    def advised(other: pd.DataFrame) -> str:
        both = pd.concat([good, other.assign(backbone="other")])
        draws = drawn_gains(both, [OWN, "range", FISHER])
        return told_practice(sensitivity.gains(both), draws, "range", [FISHER], few_patches(both))

    assert advised(good).startswith("Deal the bits of layers by range or Fisher (")
    told = advised(doubtful)
    assert told.startswith("Deal the bits of layers by range: over the same bits for all it gives")
    assert "by network), on other not clearly, on net from 2 patches alone and on other" in told


def test_a_model_is_looked_into_and_left_as_it_was(tmp_path):
    model, bench = probed(tmp_path)
    before = {name: layer.activation_bits for name, layer in model.layers.items()}
    found = look(model, bench, side=8, count=1, directions=2, share=0.3, draws=2, seed=0)
    table, rows = pd.DataFrame(found["layers"]), pd.DataFrame(found["patches"])
    assert (table[[OWN, FISHER, PROJECTED]] > 0).all(axis=None) and table["fp +0"].nunique() == 1
    assert (table["fp -1"] != table["fp +0"]).any() and rows["fab"].nunique() == 1
    assert before == {name: layer.activation_bits for name, layer in model.layers.items()}


def test_fisher_is_half_the_trace_of_the_hessian_of_the_squared_output_error(tmp_path):
    """And projected output error half its quadratic form, so far as random directions tell."""
    model, bench = probed(tmp_path)
    views = Views.of(model, cut_patches(bench, 4, 1))
    found = measures(model, views, directions=400, seed=0).set_index("layer")
    name, layer = list(adaptive_layers(model).items())[-1]
    with torch.no_grad(), model.full_precision(), model.visiting(lambda of, x: kept.append(x) if of is layer else None):
        kept = []
        full = model.infer(views.batch).image

    def squared_error(x: torch.Tensor) -> torch.Tensor:
        handle = layer.register_forward_pre_hook(lambda _m, inputs: (x, *inputs[1:]))
        try:
            with model.full_precision():
                return (model.infer(views.batch).image - full).square().sum()
        finally:
            handle.remove()

    x = kept[0]
    hessian = torch.autograd.functional.hessian(squared_error, x).reshape(x.numel(), x.numel())
    quantizer, bits = layer.activation, layer.activation_bits
    step = float(quantizer.upper - quantizer.lower) / (2**bits - 1)
    error = (quantizer(x, bits) - x).detach().flatten()
    assert found.loc[name, FISHER] == pytest.approx(float(hessian.trace()) / 2 * step**2, rel=0.1)
    assert found.loc[name, PROJECTED] == pytest.approx(float(error @ hessian @ error) / 2, rel=0.3)
