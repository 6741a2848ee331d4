"""Differences between sets of seeds, against the textbook."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adabm.errors import ConfigError
from adabm.study.answers.significance import Difference, adjust, adjusted, difference, paired_difference


def test_a_difference_by_hand():
    """Variances 1 and 4 of three values each: t = -2 / sqrt(5/3), with (5/3)^2 / (1/18 + 16/18) degrees of freedom."""
    found = difference([1, 2, 3], [2, 4, 6])
    assert found.mean == -2 and found.spread == pytest.approx(math.sqrt(2.5))
    assert found.p_value == pytest.approx(2 * stats.t.sf(2 / math.sqrt(5 / 3), (25 / 9) / (17 / 18)))


def test_samples_of_unequal_size():
    found = difference([1.0, 3.0], [5.0, 6.0, 7.0, 8.0])
    assert found.mean == -4.5 and found.spread == pytest.approx(math.sqrt((2 + 5 / 3) / 2))
    assert 0 < found.p_value < 1


@pytest.mark.parametrize("sample, reference, mean, spread", [
    ([2.0], [1.5], 0.5, 0.0), ([2.0], [1.0, 2.0], 0.5, 0.5), ([2.0, 2.0], [1.5, 1.5], 0.5, 0.0), ([2.0, 2.0], [2.0, 2.0], 0.0, 0.0),
])  # fmt: skip
def test_what_cannot_be_tested_has_no_p_value(sample, reference, mean, spread):
    found = difference(sample, reference)
    assert (found.mean, found.spread) == (mean, pytest.approx(spread)) and math.isnan(found.p_value)


@pytest.mark.parametrize("found, clear, told", [
    (Difference(0.123, 0.1, 0.0312), True, "+0.12 ± 0.10 dB"),
    (Difference(-0.123, 0.1, 0.0312), True, "-0.12 ± 0.10 dB"),
    (Difference(-0.1, 0.1, 0.9), False, "-0.10 ± 0.10 dB"),
    (Difference(0.5, 0.0, float("nan")), True, "+0.50 dB"),  # one seed
    (Difference(-0.001, 0.0, float("nan")), True, "+0.00 dB"),
])  # fmt: skip
def test_how_it_is_told(found, clear, told):
    assert found.clear is clear and found.told() == told and found.amount() == told[1:]
    assert found.told(-1) == (
        told.replace("-", "+") if told[0] == "-" else told.replace("+", "-" if "+0.00" not in told else "+")
    )


@pytest.mark.parametrize("found, told", [
    (Difference(0.123, 0.1, 0.0312), "+0.12 ± 0.10 dB, clearly"),
    (Difference(-0.123, 0.1, 0.0612), "-0.12 ± 0.10 dB, not clearly"),
    (Difference(-0.1, 0.1, 0.04), "-0.10 ± 0.10 dB, within the spread over seeds"),
    (Difference(0.123, 0.1, float("nan")), "+0.12 ± 0.10 dB, not clearly"),
    (Difference(0.5, 0.0, float("nan")), "+0.50 dB, one seed"),
])  # fmt: skip
def test_clearly_needs_both_spread_and_test(found, told):
    assert (
        found.in_words() == told
        and (found.certainty in told or "seed" in told)
        and found.sure == told.endswith(" clearly") - ("not" in told)
    )


def test_seeds_that_give_the_same_are_not_called_one():
    """Neither of seeds that do not vary nor of pairs that differ alike is a test possible; ties are told, too."""
    found = difference([1.0, 1.0, 1.0], [0.5, 0.5, 0.5])
    assert found.seeds == 3 and found.in_words() == "+0.50 dB, the same with every seed"
    paired = paired_difference(pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0]))
    assert paired.seeds == 2 and paired.in_words() == "+0.00 dB, the same with every seed"
    assert difference([1.0], [0.5]).in_words() == "+0.50 dB, one seed"
    assert adjust({"a": found})["a"].certainty == "the same with every seed"


def test_what_several_seeds_give_alike_is_sure_and_a_tie_or_one_seed_is_not():
    """Nor does it count among the tests whose p values are adjusted."""
    found = difference([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    assert found.sure and adjust({"a": found, "b": Difference(1.0, 0.1, 0.04)})["a"].sure
    assert adjust({"a": found, "b": Difference(1.0, 0.1, 0.04)})["b"].p_value == 0.04
    assert not difference([1.0, 1.0], [1.0, 1.0]).sure and not difference([1.0], [2.0]).sure


def test_rounding_is_neither_a_difference_nor_a_spread():
    seeds, values = [0.1, 0.2, 0.3], pd.Series([30.1, 30.2, 30.3])
    assert paired_difference(values, values - 0.7).in_words() == "+0.70 dB, the same with every seed"
    assert difference([sum(seeds)] * 3, [0.6] * 3).mean == 0 and not difference([sum(seeds)] * 3, [0.6] * 3).sure


def test_whether_it_is_sure_is_a_plain_bool():
    """``"clearly " * sure`` takes no other, and a mean may come from an array."""
    for found in (Difference(np.float64(0.5), 0.0, float("nan")), Difference(np.float64(0.5), 0.1, np.float64(0.01))):
        assert type(found.sure) is bool and type(found.clear) is bool


def test_seeds_without_a_value_are_left_out_of_pairs():
    """A table by seed and level has NaN where a model diverged."""
    found = paired_difference(pd.Series([3.0, float("nan"), 4.0]), pd.Series([2.0, 5.0, 1.0]))
    assert found.mean == 2.0 and found.seeds == 2


def test_evidence_leaves_out_what_was_not_tested():
    assert Difference(0.5, 0.0, float("nan")).cells() == {
        "difference (dB)": "+0.50",
        "spread over seeds (dB)": "0.00",
        "p": "",
    }
    assert Difference(0.5, 0.1, 0.0312).cells("p (x)")["p (x)"] == "0.031"


def test_differences_are_adjusted_by_name():
    found = adjust({"a": Difference(1.0, 0.1, 0.01), "b": Difference(2.0, 0.1, 0.04)})
    assert found["a"].p_value == pytest.approx(0.02) and found["b"].p_value == pytest.approx(0.04)


def test_adjusted_p_values_by_hand():
    """Of three, the least counts three times, the middle one 1.5 times, and none more than a greater one."""
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert adjusted([0.01, float("nan"), 0.04, 0.03]) == pytest.approx([0.03, float("nan"), 0.04, 0.04], nan_ok=True)
    assert adjusted([0.2]) == [0.2] and adjusted([]) == []
    assert math.isnan(adjusted([float("nan")])[0])


def test_pairs_cancel_what_the_seed_does_to_both():
    sample, reference = pd.Series({0: 30.1, 1: 25.1, 2: 28.1}), pd.Series({2: 28.0, 0: 30.0, 1: 25.1})
    found = paired_difference(sample, reference)
    assert found.mean == pytest.approx(0.2 / 3) and found.spread == pytest.approx(np.std([0.1, 0.0, 0.1], ddof=1))
    assert found.p_value == pytest.approx(stats.ttest_rel([30.1, 25.1, 28.1], [30.0, 25.1, 28.0]).pvalue)
    assert not difference(sample, reference).clear and found.clear


def test_a_seed_without_partner_is_left_out():
    found = paired_difference(pd.Series({0: 3.0, 1: 9.0, 2: 4.0}), pd.Series({0: 2.0, 2: 1.0, 5: 7.0}))
    assert found.mean == 2.0
    with pytest.raises(ConfigError, match="none in common"):
        paired_difference(pd.Series({0: 3.0}), pd.Series({1: 3.0}))
