"""Answers from tables whose networks have other seeds, whose seeds diverged, or whose values tie; and no minus before nothing."""

import numpy as np
import pandas as pd
import pytest
from test_answer_clipping import units as clipped
from test_answer_dynamic import concluded, units
from test_answer_pool import table as pools

from adabm.study.answers import components, dynamic, pool
from adabm.study.answers.clipping import _first
from adabm.study.answers.complexity_gains import UNIFORM, image_worth
from adabm.study.answers.complexity_measures import OWN
from adabm.study.answers.component_trials import WHOLE
from adabm.study.answers.sensitivity_gains import as_good, mean_of_networks
from adabm.study.answers.significance import Difference
from adabm.study.pages.figures import BETTER, WORSE
from adabm.study.pages.strategy_figure import plot_strategies
from adabm.study.pages.timing_figure import plot_parts, plot_recipes
from adabm.study.tables.schema import study_table
from helpers.study_tables import diverged, row


def test_networks_count_alike_where_one_has_fewer_seeds():
    rows = [("a", seed, 1.0, 1.02) for seed in range(5)] + [("b", 0, 1.0, 1.8)]
    gained = pd.DataFrame(
        [
            dict(backbone=name, seed=seed, measure=measure, to_fp_db=gain)
            for name, seed, *gains in rows
            for measure, gain in zip(("one", "other"), gains)
        ]
    )
    means = mean_of_networks(gained, ["to_fp_db"])["to_fp_db"]
    assert means["other"] - means["one"] == pytest.approx(0.41)
    assert not as_good(gained, "one", "other"), "0.41 dB less in the mean of the networks, of seed 0 0.41 as well"
    assert as_good(gained[gained["backbone"] == "a"], "one", "other")


def parts(psnr: dict[str, list[float]], fab: dict[str, list[float]]) -> pd.DataFrame:
    levels = ["none", "layer+clipping", "image+clipping", "image+layer", WHOLE]
    return study_table(
        row(question="components", variable="components", level=level, series="not fine-tuned", dataset="Set5", seed=seed,
            psnr_y_db=psnr.get(level, [30.0] * 3)[seed], fab=fab.get(level, [4.0] * 3)[seed])
        for level in levels for seed in range(3)
    )  # fmt: skip


def test_bits_of_a_part_are_of_the_seeds_that_its_quality_is_of():
    table = parts({WHOLE: [31.0, 31.1, 31.2]}, {WHOLE: [4.1, 4.1, 4.7]})
    lost = (table["level"] == "layer+clipping") & (table["seed"] == 2)
    told = components.conclusion(diverged(table, lost), 0)[0]
    assert "image mapping (+1.05 ± 0.07 dB at +0.10 bits)" in told and "layer mapping (+1.10 ± 0.10 dB at +0.30" in told
    assert " and FAB by +0.10 bits, not fine-tuned" in components.image_worth(diverged(table, lost))


def test_what_has_no_more_than_all_of_it_is_no_better_combination():
    alike = [
        text for text in components.conclusion(parts({}, {WHOLE: [4.3] * 3}), 0) if text.startswith("*In practice")
    ]
    assert "best combination" not in alike[0] and "do without image mapping" in alike[0]
    more = components.conclusion(parts({"none": [30.01] * 3}, {}), 0)
    assert any("use none, the best combination: +0.01 dB" in text for text in more)


def test_seeds_of_some_networks_alone_are_no_seeds_of_the_mean():
    gains = {("a", 0): 0.1, ("a", 1): 0.9, ("b", 0): 0.3}
    table = pd.DataFrame(
        [
            dict(
                backbone=name, dataset="Set", seed=seed, pictures=2, level=level, psnr_y_db=30.0 + gain * (level == OWN)
            )
            for (name, seed), gain in gains.items()
            for level in (OWN, UNIFORM)
        ]
    )
    assert "by +0.40 dB (+0.30 to +0.50 by network)" in image_worth(table), "by seed there is nothing to tell"


@pytest.mark.parametrize(
    "costs, head",
    [
        ({(8, 2): 6.0}, "down, not up: the range for 8 bits clearly costs 6.0"),
        ({(2, 8): 4.0}, "up, not down: the range for 2 bits clearly costs 4.0"),
    ],
)
def test_a_range_does_at_other_bits_where_it_costs_nothing(costs, head):
    first = _first(clipped(costs), "own")
    assert f"Clipping should follow the bits {head}" in first and " bits does at " in first


@pytest.mark.parametrize("used", [2, 8])
def test_a_range_whose_cost_is_not_clear_is_not_said_to_do(used):
    of = 10 - used
    found = clipped({(used, of): 6.0})
    unsure = (found["series"] == f"found for {of} bits") & (found["level"] == str(used))
    rng = np.random.default_rng(1)
    found.loc[unsure, ["fp", "truth"]] *= 10 ** rng.normal(0.05, 0.8, (int(unsure.sum()), 1))
    told = _first(found, "own").split("**")[1]
    way = "up" if used == 2 else "down"
    assert told.startswith(f"Clipping should follow the bits {way}: the range for {used} bits clearly costs 6.0 dB")
    assert told.endswith(", not clearly.") and "does at" not in told and f"the range for {of} bits costs " in told


def test_a_network_that_gains_is_told_where_the_mean_of_all_is_not_clear():
    told = concluded(pd.concat([units(0.9, 3.0, noise=1.0), units(0.98, 3.0).assign(backbone="other")]))[0].split("**")[
        1
    ]
    assert (
        "they gain no more over fixed ones in the mean at equal FAB than chance would. On other alone they gain" in told
    )
    alone = concluded(units(0.9, 3.0, noise=1.0))[0].split("**")[1]
    assert alone.endswith("they gain no more over fixed ones at equal FAB than chance would.")
    assert dynamic.main(units()).equals(units())


def test_the_median_of_an_even_number_of_times_lies_between_them():
    axis = plot_parts({"quantizing": {"clipping": [1.0, 3.0]}}).axes[0]
    assert axis.lines[1].get_xdata() == 2.0 and "2 s" in [text.get_text() for text in axis.texts]
    axis = plot_recipes({"minmax": [4.0, 1.0, 2.0, 9.0]}).axes[0]
    assert axis.lines[1].get_xdata() == 3.0 and [text.get_text() for text in axis.texts] == ["3 s"]


def test_a_pool_that_is_clearly_better_is_coloured_as_the_answer_says():
    found = pools({"noise": -1.0, "text": 2.0, "night": -0.01})
    assert "Clearly better than photographs alone: noise for AdaBM on net." in " ".join(pool.conclusion(found, 0.2))
    axis = pool.figures(found)[""].axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    colors = {names[round(bar.get_y() + bar.get_height() / 2)]: bar.get_facecolor()[:3] for bar in axis.patches}
    assert colors["noise"] == pytest.approx(BETTER) and colors["text"] == pytest.approx(WORSE)
    assert colors["night"] == colors["photographs"] == pytest.approx((0.75, 0.75, 0.75))


def test_nothing_has_no_minus():
    assert Difference(-0.001, 0.2, 0.9, 3).cells()["difference (dB)"] == "+0.00"
    keys = dict(backbone="net", series="AdaBM", dataset="Set")
    points = pd.DataFrame([keys | dict(strategy=name, gained=-0.001) for name in ("random", "diverse")])
    means = points.assign(**{"against random": [np.nan, -0.001], "clear": False})
    assert [text.get_text() for text in plot_strategies(points, means).axes[0].texts] == ["reference", "+0.00"]
