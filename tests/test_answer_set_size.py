"""How many pictures: the conclusion of tables whose answer is known."""

import pytest

from adabm.errors import ConfigError
from adabm.study.answers import set_size
from adabm.study.answers.significance import Difference
from adabm.study.tables.schema import study_table
from adabm.study.tables.study_summary import summarize_study
from helpers.study_tables import not_run, row

PSNR = {"1": (25.0, 27.0), "5": (29.95, 30.05), "20": (30.0, 30.1)}  # two seeds
METHODS = {"adabm": {"method": "adabm", "seeds": [0, 1]}}


def table(psnr=PSNR, **changes):
    full = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    return study_table([
        full,
        *(
            row(level=level, seed=seed, psnr_y_db=value, loss_db=31 - value, fab=4 + seed, **changes)
            for level, values in psnr.items()
            for seed, value in enumerate(values)
        ),
    ])  # fmt: skip


def test_enough_is_the_first_size_from_which_nothing_changes():
    head, first, second, advice, evidence = set_size.conclusion(table(), [20, 1, 5], METHODS, pool=40)
    assert head == "**5 pictures are enough: more of them, up to 20, change PSNR no more than chance does (2 seeds).**"
    assert first == (
        "**adabm** on Set5: 5 pictures give the PSNR of 20 (30.05 ± 0.07 dB). "
        "The pool has 40 pictures; the same is what differs by no more than 0.05 dB or the spread over seeds."
    )
    assert second == (
        "With one picture PSNR of adabm changes by -4.05 ± 1.00 dB, not clearly; "
        "FAB is 4.50 ± 0.71 instead of 4.50 ± 0.71, and the worst of 2 seeds loses 6.00 dB against full precision."
    )
    assert advice == "*In practice:* use 5 pictures or more; fewer lose up to 4.05 dB in the mean."
    assert "| adabm    | 5          | 20        | -0.05             |" in evidence and "p (Welch)" in evidence


def test_a_size_that_falls_back_puts_it_off():
    psnr = {"1": (30.0, 30.1), "5": (27.0, 27.1), "20": (30.0, 30.1)}
    told = set_size.conclusion(table(psnr), [1, 5, 20], METHODS, 40)
    assert told[0] == "**The most that was tried, 20 pictures, is needed: no fewer do as well.**"
    assert told[3] == "*In practice:* use 20 pictures or more."
    psnr = {"1": (30.0, 30.1), "5": (30.0, 30.1)}
    told = set_size.conclusion(table(psnr), [1, 5], METHODS, 40)
    assert told[0].startswith("**One picture is enough") and "a few pictures do" in told[3]


def test_smaller_than_one_picture_is_told_as_a_number():
    told = set_size.conclusion(table({"2": (29.0, 29.2), "5": (30.0, 30.2)}), [2, 5], METHODS, 40)
    assert "5 pictures give" in told[1] and told[2].startswith("With 2 pictures PSNR of adabm changes by -1.00")


def test_the_method_that_needs_most_decides():
    others = table({"1": (30.0, 30.1), "20": (30.0, 30.1)}, series="b")
    rows = table().to_dict("records") + others[others["setting"] != "FP32"].to_dict("records")
    methods = METHODS | {"b": {"method": "adabm", "seeds": [0, 1], "sizes": [1, 20]}}
    told = set_size.conclusion(study_table(rows), [1, 5, 20], methods, 40)
    assert told[0].startswith("**5 pictures are enough") and "**b** on Set5: one picture gives" in told[1]


def test_a_single_size_has_nothing_to_compare():
    told = set_size.conclusion(table({"5": (30.0, 30.2)}), [5], METHODS, 40)
    assert told[0].startswith("**The most that was tried") and len(told) == 3


def test_own_sizes_and_methods_not_run():
    methods = {
        "adabm": METHODS["adabm"] | {"sizes": [5, 20]},
        "later": {"method": "adabm", "seeds": [0], "run": False},
    }
    told = "".join(set_size.conclusion(table(), [1, 5, 20], methods, 40))
    assert "With 5 pictures" in told and "later" not in told


def test_the_spread_excuses_a_gap():
    gaps = {1: Difference(-0.3, 0.1, 0.01), 2: Difference(-0.3, 0.4, 0.5), 5: Difference(0.05, 0.0, 0.5)}
    assert set_size.saturated(gaps, [1, 2, 5, 9]) == 2


def test_views_of_the_table():
    rows = study_table([*table().to_dict("records"), not_run(level="50")])
    ends = set_size.fewest_and_most(rows)
    assert list(ends.columns) == [("fab", 1), ("fab", 20), ("psnr_y_db", 1), ("psnr_y_db", 20)]
    assert ends["psnr_y_db"].to_numpy().tolist() == [[25.0, 30.0], [27.0, 30.1]]
    spread = set_size.spread_over_seeds(summarize_study(rows[rows["status"] == "measured"]))
    assert spread.loc[("Set5", "adabm"), "1"] == pytest.approx(1.414)


def test_figures_with_and_without_times():
    times = study_table([
        row(question="timing", series="calibration", variable="calibration pictures", level=n, sample=s, seconds=1.0 + s,
            psnr_y_db=None, ssim_y=None, loss_db=None, fab=None)
        for n in ("1", "5") for s in (0, 1)
    ])  # fmt: skip
    assert list(set_size.figures(table())) == [""] and list(set_size.figures(table(), times)) == ["", "time"]


def test_a_misspelt_key_of_a_method_is_named():
    with pytest.raises(ConfigError, match=r"methods, AdaBM: unknown key 'seed'"):
        set_size.trials(None, "W4A4 FQ", [1], {"AdaBM": {"method": "adabm", "seed": [0]}})
