"""Clipping: ranges moved on a tiny network and put back; conclusions of round numbers, each branch."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study.answers import clipping, clipping_bits
from adabm.study.answers.clipping_measures import (
    ALL,
    BATCH,
    EVERY,
    RELEASED,
    RULES,
    batches,
    mismatch,
    owed,
    ranges,
    rules,
)
from adabm.study.answers.clipping_weights import worths
from helpers.clippings import GAINS, LAYERS, NARROW, WIDE, units
from helpers.evidence import cells
from helpers.probed import probed


def test_gaps_are_those_to_the_matched_range():
    found = clipping.gaps(units(WIDE | NARROW | {(4, 2): -0.5}), "fp")
    assert found.loc[8, 2] == pytest.approx(-6) and found.loc[2, 8] == pytest.approx(-4)
    assert found.loc[4, 2] == pytest.approx(0.5) and not np.diag(found).any()


@pytest.mark.parametrize(
    "costs, told",
    [
        (
            WIDE | NARROW,
            "should follow the bits: the range for 8 bits clearly costs 6.0 dB to the full-precision output at 2 (6.0 to ground truth), the range "
            "for 2 bits clearly costs 4.0 dB at 8 (4.0).** "
            "Clearly worse than the matched range is the range found for 8 bits at 2 and the range found for 2 bits at 8 bits. In single "
            "runs (a network and seed) the cost is +6.0 to +6.0 dB at 2 and +4.0",
        ),
        (WIDE, "should follow the bits down, not up"),
        (NARROW, "should follow the bits up, not down"),
        ({}, "need not follow the bits here"),
    ],
)
def test_the_first_sentence(costs, told):
    first = clipping.conclusion(units(costs), LAYERS, "own")[0]
    assert told in first and first.startswith("**") and "can be better" not in first


def test_networks_and_bits_that_differ_are_told():
    wide = units({(8, 2): 2.0, (8, 4): 1.0, (2, 8): 4.0}).assign(backbone="wide")
    layers = pd.concat([LAYERS, LAYERS.assign(backbone="wide")])
    first = clipping.conclusion(pd.concat([units(WIDE | NARROW), wide]), layers, "own")[0]
    assert "clearly costs 4.0 dB to the full-precision output at 2 (4.0 to ground truth), the range for 2 bits" in first
    assert " By network these two ranges cost 2.0 to 6.0 dB at 2 and 4.0 to 4.0 dB at 8." in first
    assert "the range found for 8 bits at 2 and 4 and the range found for 2 bits at 8 bits." in first
    assert "cost is +2.0 to +6.0 dB at 2 and +4.0 to +4.0 dB at 8." in first


def test_from_where_the_range_of_the_most_bits_is_as_good():
    assert " From 4 bits up the range found for 8 bits is as good" in clipping.conclusion(units(WIDE), LAYERS, "own")[0]
    assert "is as good as that" not in clipping.conclusion(units(NARROW), LAYERS, "own")[0]


def test_a_cost_within_the_spread_is_none():
    assert "need not follow" in clipping.conclusion(units({(8, 2): 0.3, (2, 8): 0.3}, noise=3.0), LAYERS, "own")[0]


def test_a_range_of_more_bits_that_is_better_is_told():
    first, *_, matched, _, _, _ = clipping.conclusion(units(WIDE | NARROW | {(4, 2): -0.5}), LAYERS, "own")
    assert " The range for more bits can be better: at 2, that of 4 by 0.5 dB. Clearly worse" in first
    assert cells(matched, 0)[0] == "2" and cells(matched, 0)[-2:] == ["of 4 bits", "+0.5 (+0.5 to +0.5)"]
    fewer = clipping.conclusion(units(WIDE | NARROW | {(2, 4): -0.5}), LAYERS, "own")[0]
    assert "The range for other bits can be better: at 4, that of 2 by 0.5 dB." in fewer


def test_a_range_of_other_bits_that_gains_is_not_said_to_cost():
    first = clipping.conclusion(units({(8, 2): -0.8}), LAYERS, "own")[0]
    assert "the range for 8 bits clearly gains 0.8 dB to the full-precision output at 2 (" in first
    assert "the range for 2 bits costs 0.0 dB at 8 (" in first


def test_layers_and_what_they_owe():
    _, told, *_, matched, owed_by, _, extents = clipping.conclusion(units(WIDE), LAYERS, "own")
    assert told == (
        "The median layer keeps 20% of its range at 2 bits and 90% at 8. Of what other bits' ranges cost (of one seed), no layer owes more than 75%."
    )
    assert cells(matched, 0) == [*("2", "20%", *["-6.0 (-6.0 to -6.0)"] * 2, "matched", "matched", "matched", "+0.0")]
    assert cells(owed_by, 0) == ["of 8 bits used at 2", "net", "b", "75%", "2 of 3 layers"]
    assert cells(extents, 0) == ["net", "6", "2"]
    assert list(clipping.shares_owed(LAYERS, "owed 8 at 2")["share"]) == [0.75, 0.25, 0.0]


def both_recipes(worth: float, noise: float = 0.0, name: str = "net") -> pd.DataFrame:
    """The recipe with weight ranges of its own, and the released one whose PSNR is lower by ``worth``."""
    other = units(WIDE, {rule: gain - worth for rule, gain in GAINS.items()}).query("series == 'search'")
    own = units(WIDE, noise=noise).assign(method="adabm-own-bits")
    return pd.concat([own, other.assign(method="adabm")]).assign(backbone=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "worth, noise, told, advised",
    [
        (
            2.0,
            0.0,
            "+2.0 dB to the full-precision output (+2.0 to ground truth)",
            " Search weight ranges at their layer's own bits. Fine-tuning may leave less",
        ),
        (
            -1.0,
            0.0,
            "-1.0 dB to the full-precision output (-1.0 to ground truth)",
            " Weight ranges searched at their layer's own bits do not clearly help.",
        ),
        (0.3, 3.0, "no clear gain", "do not clearly help."),
        (-0.6, 3.0, "no gain", "do not clearly help."),
    ],
)
def test_weight_ranges_are_told_where_both_recipes_were_measured(worth, noise, told, advised):
    both = both_recipes(worth, noise)
    first, _, _, advice, *_ = clipping.conclusion(both, LAYERS, "adabm-own-bits")
    given = f" Not fine-tuned, weight ranges searched at their layer's own bits give {told}, against the released recipe's.**"
    assert given in first and " For activations " in advice and advised in advice
    elsewhere = both.assign(backbone=both["backbone"].mask(both["method"] == "adabm", "another"))
    for untold in (both.query("method != 'adabm'"), elsewhere):
        assert "eight ranges" not in "".join(clipping.conclusion(untold, LAYERS, "adabm-own-bits"))


def test_weight_ranges_are_told_by_network_and_stand_in_a_table():
    both = pd.concat([both_recipes(4.0, name="one"), both_recipes(-1.0, name="two"), both_recipes(0.0, 3.0, "three")])
    layers = pd.concat([LAYERS.assign(backbone=name) for name in ("one", "two", "three")])
    first, _, _, advice, *_, weights, _ = clipping.conclusion(both, layers, "adabm-own-bits")
    given = "own bits give +4.0 dB to the full-precision output on one (+4.0 to ground truth), -1.0 dB on two (-1.0) and no "
    assert given in first and "gain on three, against the" in first
    assert " Search weight ranges at their layer's own bits on one. Fine-tuning" in advice
    ends = "+4.0 to +4.0"
    assert cells(weights, 0) == ["one", "33.0", "29.0", "+4.0", "0.0", ends, "yes", f"+4.0 ({ends})"]
    assert len(weights.splitlines()) == 2 + 3
    less_sure = worths(both_recipes(0.5, noise=3.0), "adabm-own-bits", "fp")[0]
    assert not less_sure.sure and less_sure.spread > 0.1 and not less_sure.helps


def test_how_clearly_is_judged_is_told_once():
    told = "\n".join(clipping.conclusion(units(WIDE), LAYERS, "own"))
    assert told.count('"Clearly" is said where 95 % of draws of patches and seeds have one sign') == 1


def test_the_other_recipe_is_told_too():
    both = pd.concat([units(WIDE), units(WIDE).query("series == 'search'").assign(method="adabm")])
    *_, searched, _ = clipping.conclusion(both, LAYERS, "own")
    assert "adabm: against no clipping (dB)" in searched
    assert cells(searched, RULES.index(RELEASED)) == [RELEASED, *["+3.0 (+3.0 to +3.0)"] * 2, "+0.0", *[""] * 3]


def test_the_table_and_the_figures():
    table = clipping.table(units(WIDE))
    assert set(table["variable"]) == {"none", "bits used", "search"} and len(table) == 2 * (9 + len(RULES)) + 1
    layers = pd.concat([LAYERS, LAYERS.assign(backbone="other", **{"kept 8": 0.2})])
    drawn = clipping.figures(units(WIDE), layers, "own")
    assert set(drawn) == {"", "kept", "layers"}
    (axis,) = drawn["kept"].axes
    assert axis.get_legend() is None and [text.get_text() for text in axis.texts] == ["other", "net"]


def test_ranges_of_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names, layers = [path.name for path in bench.pool[:3]], model.layers
    assert len(batches(model, bench, names, 0, BATCH)) == 2 and len(batches(model, bench, names, 0, ALL)) == 3
    found = ranges(model, bench, names, 0, [2, 8])
    adaptive = [name for name in layers if model.counts_in_fab(name)]
    width = {bits: sum(u - l for l, u in chosen.values()) for bits, chosen in found["found"].items()}
    assert list(found["minmax"]) == adaptive and width["2"] < width["8"]
    rows = pd.DataFrame(mismatch(model, bench, found["found"], [2, 8], 12, 2)["rows"])
    means = rows.groupby(["series", "level"])["fp"].mean()
    assert means["found for 8 bits", "2"] > means["found for 8 bits", "8"]
    cost = owed(model, bench, found["found"]["8"], found["found"]["2"], 8, 12, 2)
    assert list(cost) == [*adaptive, EVERY] and cost[EVERY] > 0
    searched = pd.DataFrame(rules(model, bench, names, 0, 12, 2)["rows"])
    assert list(searched["level"].unique()) == [*RULES, "none"]
    assert model.image2bit is not None and all(layers[name].layer2bit is not None for name in adaptive)
    assert all((tensor == before[name]).all() for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("costs, told", [([9, 9, 0.5, 0, 0], "at 4 it is not clear"), ([9, 9, 9, 0, 0], None)])
def test_bits_between_those_that_need_a_search_and_those_that_do_not_are_named(monkeypatch, costs, told):
    bits = pd.Index([2, 3, 4, 6, 8])
    table = pd.DataFrame(0.0, bits, bits)
    table.loc[8] = [-float(cost) for cost in costs]
    for name, value in dict(gaps=table, gaps_of=table, matrix=None, pivoted=None).items():
        monkeypatch.setattr(clipping_bits, name, lambda *_, value=value: value)
    monkeypatch.setattr(clipping_bits, "clear", lambda _values, _one, other: table.loc[8, int(other[1])] < -1)
    advised = clipping_bits.advised_bits(pd.DataFrame())
    assert advised.startswith(f"At {3 if told else 4} bits and below") and "from 6 bits up" in advised
    assert ("not clear" in advised) == (told is not None) and (told is None or told in advised)


@pytest.mark.parametrize("pair", [[8, 8], [8, 9], [8], [8, 2, 4], ["8", "2"], 8, [8, 2.5]])
def test_what_is_owed_is_a_pair_of_the_bits(pair):
    with pytest.raises(ConfigError, match="owed = .*: must be two of the bits, found for and used at: .2, 4, 8."):
        clipping.measure(None, "adabm", "W4A4 FQ", 0, [2, 4, 8], [[8, 2], pair], 3, 12, 2)
