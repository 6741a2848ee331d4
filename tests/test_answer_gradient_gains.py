"""Gains at equal FAB: patches and seeds whose FAB nothing as calibrated has, and what tuning changes beside them."""

import pandas as pd
import pytest

from adabm.study.answers import gradient
from adabm.study.answers.gradient_gains import changes, compared, ends, gains
from adabm.study.answers.surrogates import RELEASED, SURROGATES
from helpers.evidence import cells
from helpers.gradients import tables

HALF = dict.fromkeys(SURROGATES, 0.5)


def beyond(
    found: dict[str, pd.DataFrame], *patches: str, name: str = "identity", fab: float = 2.5
) -> dict[str, pd.DataFrame]:
    """The tables, where one surrogate ends some patches at a FAB outside 3 to 5."""
    rows = found["patches"].copy()
    rows.loc[rows["patch"].isin(patches) & (rows["surrogate"] == name), "fab"] = fab
    return found | {"patches": rows}


@pytest.mark.parametrize("fab, kept", [(2.5, False), (5.5, False), (3.0, True), (5.0, True)])
def test_a_patch_outside_a_bit_fewer_to_a_bit_more_is_compared_with_no_surrogate(fab, kept):
    rows = beyond(tables(**HALF), "0", fab=fab)["patches"]
    assert compared(rows).tolist() == [kept] + [True] * 5
    assert ends(rows).groupby("surrogate").size().unique().tolist() == [5 + kept]


def test_a_patch_is_the_mean_of_the_seeds_that_are_left():
    first, second = beyond(tables(**HALF), "0")["patches"], tables(**dict.fromkeys(SURROGATES, 0.25))["patches"]
    ended = ends(pd.concat([first, second.assign(seed=1)])).set_index(["surrogate", "patch"])["truth"]
    assert ended[RELEASED, "0"] == pytest.approx(6.02, abs=0.01) and ended[RELEASED, "1"] == pytest.approx(
        4.52, abs=0.01
    )
    assert len(ended) == 6 * len(SURROGATES)


def test_what_was_left_out_is_told_and_moves_no_gain():
    whole, holed = tables(**HALF), tables(**HALF)
    rows = holed["patches"]
    rows.loc[(rows["patch"] == "0") & rows["surrogate"].isin(SURROGATES), "truth"] *= (
        100  # a bit fewer would be no match
    )
    holed = beyond(holed, "0", name=RELEASED)
    assert gains(ends(holed["patches"])).loc[RELEASED, "mean"] == pytest.approx(
        gains(ends(whole["patches"])).loc[RELEASED, "mean"]
    )
    told, *_, extents = gradient.conclusion(holed)
    assert (
        " Left out of gains are 1 of 6 pairs of patch and seed, where with some approximation FAB ends outside a bit fewer to a bit more. Each"
        in told
    )
    assert cells(extents, 0)[-1] == "5 of 6 pairs of patch and seed" and "Left out" not in gradient.conclusion(whole)[0]
    assert gradient.figures(holed).keys() == {"", "steps"}


def test_a_network_of_which_nothing_is_left_is_named():
    lost = beyond(tables(**HALF), *"012345")
    both = {name: pd.concat([lost[name].assign(backbone="wide"), rows]) for name, rows in tables(**HALF).items()}
    told, _, table, extents = gradient.conclusion(both)
    assert (
        " Nothing is left of wide." in told and "Tanh itself" not in told and "in the mean of the networks" not in told
    )
    assert "changes by +3.01 dB on wide and +3.01 dB on net against as calibrated, FAB by +0.00 and +0.00." in told
    assert cells(table, 0)[1] == "+3.01" and [cells(extents, row)[-1][:6] for row in (0, 1)] == ["0 of 6", "6 of 6"]
    summary = gradient.summary(both).set_index(["backbone", "surrogate"])["truth"]
    assert summary["wide"].isna().all() and summary["net"].notna().all() and gradient.figures(both)


def test_nothing_is_concluded_where_nothing_can_be_compared():
    lost = beyond(tables(**HALF), *"012345")
    told, table, extents = gradient.conclusion(lost)
    assert told.startswith("**Which works cannot be told: ") and "Left out of gains are 6 of 6 pairs" in told
    assert cells(table, 0)[:3] == [RELEASED, "+3.01", "+0.00"] and cells(extents, 0)[-1].startswith("0 of 6")
    assert gradient.figures(lost)


def test_changes_are_those_against_as_calibrated():
    changed = changes(beyond(tables(identity=2.0), *"012345")["patches"]).loc["net"]
    assert changed["truth", "identity"] == pytest.approx(-3.01, abs=0.01) and changed["fab", "identity"] == -1.5
    assert changed["truth", RELEASED] == changed["fab", RELEASED] == 0


def test_a_clear_but_little_gain_on_tanh_is_none_of_few_patches():
    told, advice, *_ = gradient.conclusion(tables(**HALF | {"identity": 0.497}))  # 0.03 dB on every patch
    assert told.startswith(
        "**It hardly matters: no approximation is clearly better than AdaBM's tanh by 0.05 dB or more.** With"
    )
    assert advice == "*In practice:* Keep AdaBM's tanh: no approximation is clearly better by 0.05 dB or more."
