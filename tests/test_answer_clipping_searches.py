"""The advice on ranges: at which bits to search them, and by which search, to full precision and to ground truth."""

import pandas as pd
import pytest

from adabm.study.answers import clipping
from adabm.study.answers.clipping_measures import BASE, FOLLOWING, MINMAX, OWN, OWN_ALL, RULES
from helpers.clippings import GAINS, LAYERS, NARROW, WIDE, units
from helpers.evidence import cells


def advised(table: pd.DataFrame) -> str:
    layers = pd.concat([LAYERS.assign(backbone=name) for name in dict.fromkeys(table["backbone"])])
    return clipping.conclusion(table, layers, "own")[3].removeprefix("*In practice:* ")


@pytest.mark.parametrize(
    "costs, told",
    [
        (
            WIDE,
            "At 2 bits search ranges of activations at the bits that are used; from 4 bits up those found for 8 suffice. For",
        ),
        (WIDE | {(8, 4): 1.0}, "At 4 bits and below search ranges of activations at the bits that are used. For"),
        ({(8, 4): 1.0}, "At 4 bits search ranges of activations at the bits that are used. For"),
        (NARROW, "For activations"),
    ],
)
def test_at_which_bits_ranges_are_to_be_searched(costs, told):
    assert advised(units(costs)).startswith(told)


def test_a_cost_to_ground_truth_alone_counts_in_practice():
    table = units(WIDE, truth={("found for 8 bits", "4"): -0.5})
    first, _, _, advice, matched, *_ = clipping.conclusion(table, LAYERS, "own")
    assert "At 4 bits and below search ranges" in advice and "suffice" not in advice
    assert (
        " the range found for 8 bits at 2 (to ground truth at 2 and 4) bits." in first and "is as good as" not in first
    )
    assert cells(matched, 1)[2:4] == ["+0.0 (+0.0 to +0.0)", "-0.5 (-0.5 to -0.5)"]


@pytest.mark.parametrize(
    "gains, truth, told",
    [
        ({}, {}, "keep the released search: it is the best."),
        (
            {OWN_ALL: 4.0},
            {},
            "search at the layer's bits on all patches (against the released search +1.0 dB, +1.0 to ground truth, clearly).",
        ),
        (
            {OWN_ALL: 4.0},
            {OWN_ALL: -1.0},
            "search at the layer's bits on all patches (against the released search +1.0 dB, clearly, +0.0 to ground truth, not clearly).",
        ),
        (
            {},
            {OWN: 2.5},
            "keep the released search: what is clearly better on one side is clearly worse on the other "
            "(to ground truth at most +0.5 dB, at the layer's bits).",
        ),
        (
            {OWN: 3.0},
            {OWN: 0.5},
            "search at the layer's bits (against the released search +0.0 dB, not clearly, +0.5 to ground truth, clearly).",
        ),
        (  # what is clearly better on both sides comes before what gains more on one
            {OWN: 3.5, FOLLOWING: 5.0},
            {FOLLOWING: -3.0},
            "search at the layer's bits (against the released search +0.5 dB, +0.5 to ground truth, clearly).",
        ),
    ],
)
def test_the_advice_looks_at_both_sides(gains, truth, told):
    truth = {("search", rule): gain for rule, gain in truth.items()}
    assert advised(units(NARROW, GAINS | gains, truth=truth)) == f"For activations {told}"


def test_a_search_that_is_last_to_ground_truth_is_said_to_be():
    others = (BASE, OWN, OWN_ALL, FOLLOWING)
    last = units(NARROW, GAINS | dict.fromkeys(others, 3.0))
    apart = last["patch"].map(lambda name: {"p0": 4.0, "p1": 2.0}.get(name, -1.0))  # dB, by patch: 0.33 in the mean
    searched = (last["series"] == "search") & last["level"].isin(others)
    last.loc[searched, "truth"] /= 10 ** (apart / 10)
    both = pd.concat([last.assign(backbone="a"), units(NARROW).assign(backbone="b")])
    for text, on in ((advised(last), ""), (advised(both), " on a")):
        assert (
            f"keep the released search: none is clearly better (to ground truth at most +0.3 dB{on}, at the base bits)"
            in text
        )
        assert text.endswith(f"), though every other search gives more to ground truth{on}.")


def test_the_most_that_one_search_gives_on_both_sides_is_told_once():
    told = advised(units(NARROW, GAINS | {FOLLOWING: 3.3}, noise=2.0))
    assert "none is clearly better (at most +" in told and told.endswith(
        " to ground truth, at the layer's and image's bits)."
    )


def test_searches_are_advised_by_network_and_not_in_the_mean():
    """On one network a search is clearly better, in the mean it is not; on the other it is clearly worse."""
    both = pd.concat([units(WIDE), units(WIDE, GAINS | {OWN_ALL: 4.0, FOLLOWING: 4.05}).assign(backbone="other")])
    layers = pd.concat([LAYERS, LAYERS.assign(backbone="other")])
    _, _, _, advice, *_, searched, by_network, _ = clipping.conclusion(both, layers, "own")
    assert advice.endswith(
        " For activations search at the layer's bits on all patches (against the released search +1.0 dB on other, +1.0 to ground truth, clearly); "
        "on net keep the released search: it is the best."
    )
    assert cells(searched, RULES.index(OWN_ALL))[2] == "+0.0"
    place, ends = len(RULES) - 1 + RULES.index(OWN_ALL) - 1, "+1.0 to +1.0"
    assert cells(by_network, place) == ["other", OWN_ALL, "+1.0", ends, "yes", f"+1.0 ({ends})"]


def test_the_table_of_searches_has_ground_truth():
    *_, searched, _ = clipping.conclusion(units(WIDE, truth={("search", OWN): 0.5}), LAYERS, "own")
    ends = "-2.0 to -2.0"
    assert cells(searched, RULES.index(OWN)) == [OWN, "+1.0 (+1.0 to +1.0)", "-2.0", ends, "yes", "-1.5 (-1.5 to -1.5)"]
    assert cells(searched, RULES.index(MINMAX))[-1] == "-3.0 (-3.0 to -3.0)"
