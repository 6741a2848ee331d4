"""How much fine-tuning: steps and shares, told from tables whose answer is known."""

import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study.answers import fine_tuning
from adabm.study.tables.schema import study_table
from helpers.study_tables import not_run, row

RUNS = {"released": {"preset": "adabm"}}


def table(psnr, series="released", seeds=(0,), **changes):
    """PSNR by step; seeds differ by 0.1 dB at each step alike."""
    return study_table(
        row(question="fine_tuning", variable="step", level=str(step), series=series, seed=seed,
            psnr_y_db=value + 0.1 * seed, loss_db=31 - value, **changes)
        for step, value in psnr.items() for seed in seeds
    )  # fmt: skip


def test_enough_and_best_steps_and_the_share_of_the_first_round():
    psnr = {0: 20.0, 5: 28.0, 10: 30.0, 20: 30.03}
    head, details, advice, evidence = fine_tuning.conclusion(table(psnr), RUNS, [5, 10, 20], 5)
    assert head == (
        "**10 steps are enough: the run that ends best, released, gains +10.03 dB in 20 steps (one seed), and nothing more after step 10.**"
    )
    assert details.startswith("The 1 runs end between 30.03 and 30.03 dB.")
    assert advice == "*In practice:* stop after about 10 of the 20 steps, with released."
    assert "of it in the first 5 steps" in evidence and "| 80%" in evidence and "| 20 (30.03 dB) |" in evidence


def test_of_runs_that_end_alike_the_one_of_most_seeds_is_told():
    short = table({0: 29.0, 5: 30.0}, seeds=(0, 1, 2)).assign(series="short")
    rows = pd.concat([table({0: 20.0, 5: 25.0, 20: 30.02}), short])
    head = fine_tuning.conclusion(rows, RUNS | {"short": {"steps": [5]}}, [5, 20], 5)[0]
    assert head == (
        "**5 steps are enough: the run that ends best, short, gains +1.00 dB in 5 steps (3 seeds), and nothing more after step 5; "
        "released needs 20.**"
    )


def test_what_harms_needs_no_step():
    rows = table({0: 30.0, 5: 29.9, 20: 29.0})
    told = fine_tuning.conclusion(rows, RUNS, [5, 20], 5)
    assert told[0].startswith(
        "**Fine-tuning gains hardly anything here: the run that ends best, released, changes PSNR by -1.00 dB"
    )
    assert told[2] == "*In practice:* leave fine-tuning out where time matters."
    tuned = fine_tuning.outcomes(rows, RUNS, [5, 20], 5)["released"]
    assert (tuned.enough, tuned.best, tuned.share) == (0, 0, pytest.approx(0.1))


@pytest.mark.parametrize("gain, seeds, helps", [(0.2, (0, 1), True), (0.07, (0, 1), False), (0.2, (0,), True)])
def test_a_small_gain_is_hardly_one(gain, seeds, helps):
    rows = table({0: 30.0, 5: 30.0 + gain}, seeds=seeds)
    assert fine_tuning.outcomes(rows, RUNS, [5], 5)["released"].helps is helps


def test_p_values_stand_in_the_table_alone():
    rows = table({0: 20.0, 5: 25.0}, seeds=(0, 1, 2))
    rows.loc[(rows["level"] == "5") & (rows["seed"] == 2), "psnr_y_db"] += 0.3
    *prose, evidence = fine_tuning.conclusion(rows, RUNS, [5], 5)
    assert "p (paired)" in evidence and not any(" p " in text or "p =" in text for text in prose)
    assert "(3 seeds)" in prose[0]


@pytest.mark.parametrize(
    "psnr, share",
    [
        ({0: 30.0, 5: 30.02, 10: 30.04}, None),  # next to nothing
        ({0: 30.0, 5: 29.0, 10: 31.0}, None),  # the other way
        ({0: 30.0, 5: 33.0, 10: 31.0}, None),  # far beyond
        ({0: 30.0, 4: 30.5, 10: 31.0}, None),  # not measured
        ({0: 30.0, 5: 31.1, 10: 31.0}, pytest.approx(1.1)),
        ({0: 30.0, 5: 30.25, 10: 31.0}, pytest.approx(0.25)),
    ],
)
def test_a_share_is_told_where_it_means_something(psnr, share):
    at = {step: pd.Series({0: value}) for step, value in psnr.items()}
    assert fine_tuning.share_of_first_round(at, 10, 5) == share


def test_the_spread_over_seeds_excuses_an_earlier_step():
    at = {0: pd.Series({0: 20.0, 1: 20.0}), 5: pd.Series({0: 29.5, 1: 30.1}), 10: pd.Series({0: 30.2, 1: 30.0})}
    assert fine_tuning.first_as_good(at, 10) == 5, "0.3 dB less in the mean, spread 0.57"
    at[5] = pd.Series({0: 29.7, 1: 29.5})
    assert fine_tuning.first_as_good(at, 10) == 10


def test_a_run_that_diverged_is_told():
    rows = table({0: 20.0, 5: 25.0}).to_dict("records")
    rows.append(
        not_run(question="fine_tuning", variable="step", level="10", series="released") | dict(status="diverged")
    )
    assert fine_tuning.conclusion(study_table(rows), RUNS, [5, 10], 5) == [
        "**No run came to its end: all diverged.**",
        "released diverged before step 10.",
    ]


def test_steps_of_its_own():
    runs = RUNS | {"short": {"preset": "adabm", "steps": [2]}}
    rows = [*table({0: 20.0, 10: 30.0}).to_dict("records"), *table({0: 20.0, 2: 25.0}, "short").to_dict("records")]
    assert "By run that takes 2 to 10 steps" in fine_tuning.conclusion(study_table(rows), runs, [10], 5)[1]
    found = fine_tuning.outcomes(study_table(rows), runs, [10], 5)
    assert {name: tuned.last for name, tuned in found.items()} == {"released": 10, "short": 2}


def test_gains_by_round_need_both_ends():
    rows = [
        *table({0: 20.0, 5: 25.0, 10: 26.0, 20: 27.0}).to_dict("records"),
        *table({0: 21.0, 3: 24.0}, "short").to_dict("records"),
    ]
    means = fine_tuning.mean_psnr(study_table(rows))
    assert list(means) == [0, 3, 5, 10, 20]
    gains = fine_tuning.gains_by_round(means, 5)
    assert gains.to_dict("list") == {"round 1, steps 1 to 5": [5.0], "round 2, steps 6 to 10": [1.0]}
    assert list(gains.index) == ["released"], "a run without a whole round is left out"


def test_figures_name_the_groups_in_turn():
    (figure,) = fine_tuning.figures(table({0: 20.0, 2: 25.0, 8: 26.0}), rounds=4, steps_per_round=2).values()
    assert [text.get_text() for text in figure.axes[0].texts] == ["w", "a", "m", "w"]


def test_a_misspelt_key_of_a_run_is_named():
    with pytest.raises(ConfigError, match="runs, x: unknown key 'chnges'"):
        fine_tuning.trials(None, "W4A4 FQ", 5, {"x": {"preset": "adabm", "chnges": {}}}, [1], [0])
