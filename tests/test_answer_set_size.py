"""How many pictures: the conclusion of tables whose answer is known, for one network and for several."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from adabm.study.answers import set_size
from adabm.study.answers.asked import Asked
from adabm.study.answers.significance import Difference
from adabm.study.answers.size_gaps import compared, saturated
from adabm.study.tables.schema import study_table
from adabm.study.tables.study_summary import summarize_study
from helpers.study_tables import not_run, row

PSNR = {"1": (25.0, 27.0), "5": (29.95, 30.05), "20": (30.0, 30.1)}  # two seeds
ONE = {"1": (30.0, 30.1), "20": (30.0, 30.1)}  # one picture is enough
CLEAR = {
    "1": (25.0, 25.1),
    "5": (30.0, 30.1),
    "20": (30.0, 30.1),
}  # the mean tells one picture from more, and the spread does not
ALL = {"1": (27.0, 27.1), "20": (30.0, 30.1)}  # the most is needed


def rows(psnr=PSNR, **changes) -> list[dict]:
    full = dict(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    return [
        row(**{**changes, **full}),
        *(
            row(level=level, seed=seed, psnr_y_db=value, loss_db=31 - value, fab=4 + seed, **changes)
            for level, values in psnr.items()
            for seed, value in enumerate(values)
        ),
    ]


def told(*networks: dict, more: list[dict] = ()) -> list[str]:
    """The conclusion of networks called a, b and so on, or of one alone."""
    names = ["net_x4"] if len(networks) == 1 else "abcdef"
    whole = [row for psnr, name in zip(networks, names) for row in rows(psnr, backbone=name)]
    return set_size.conclusion(study_table([*whole, *more]), pool=40)


def test_seeds_that_give_the_same_are_not_called_one():
    few = told({"1": (29.0, 29.0), "20": (30.0, 30.0)})[1]
    assert "changes by -1.00 dB, the same with every seed, with one picture instead of 20" in few


def test_needed_is_the_first_size_from_which_nothing_changes():
    head, few, rule, advice, evidence = told(PSNR)
    assert head == (
        "**It takes 5 pictures to keep the spread over draws within 0.5 dB (standard deviation, 2 seeds).**"
    ), "2 seeds of one picture, 2 dB apart, cannot be told from the most"
    assert few == (
        "What remains is -0.05 ± 0.07 dB (5 against 20). PSNR on Set5 changes by -4.05 ± 1.00 dB, not clearly, with one picture instead of 20. "
        "With so few the worst seed loses 6.00 dB against full precision. "
        "With as many as are needed the standard deviation over seeds is 0.07 dB (5 pictures)."
    )
    assert rule.startswith(
        "The pool has 40 pictures; tried were 1, 5 and 20. Needed is the least number from which on two things hold. First, PSNR is below that of the most"
    )
    assert advice == (
        "*In practice:* use 5 pictures or more: with one picture the worst seed loses 6.00 dB against full precision, with 5 1.05 dB; the "
        "standard deviation over seeds is then at most 0.07 dB."
    ), "what is not clear is not told as what is lost"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in evidence.splitlines()]
    assert cells[3][:9] == ["net_x4", "adabm", "5", "30.00", "4.50", "1.05", "2", "20", "-0.05"]
    assert "p (Welch, adjusted)" in cells[0] and cells[4][7:] == [""] * 4, "the most is compared with nothing"


def test_pools_that_differ_are_told_by_network():
    table = study_table([*rows(), *rows(ONE, backbone="edsr_f32b8_x4")])
    same, other = (set_size.conclusion(table, {"net_x4": 40, "edsr_f32b8_x4": size}) for size in (40, 30))
    assert same == set_size.conclusion(table, 40) and "The pool has 40 pictures; tried" in "".join(same)
    assert "The pools have 40 pictures for net_x4 and 30 pictures for EDSR-small; tried" in "".join(other)


def test_a_size_that_falls_back_puts_it_off():
    first, *_, advice, _ = told({"1": (30.0, 30.1), "5": (27.0, 27.1), "20": (30.0, 30.1)})
    assert first == "**The most that was tried, 20 pictures, is needed: fewer do not always do as well.**"
    assert advice == "*In practice:* use 20 pictures or more; 5 pictures lose 3.00 ± 0.07 dB against 20."
    first, *_, advice, _ = told(ONE)
    assert (
        first == "**It takes one picture to do as well as 20, as far as 2 seeds tell.**"
        and "a few pictures do" in advice
    )


def test_more_pictures_that_cost_quality_are_said_to():
    psnr = {"1": (28.0, 28.1, 28.05), "5": (26.0, 26.1, 25.95), "20": (25.0, 25.04, 25.1)}
    first, few, rule, advice, _ = told(psnr)
    cost = "20 lose 3.00 ± 0.05 dB against one picture"
    assert first == f"**It takes one picture to do as well as 20, as far as 3 seeds tell; {cost}.**"
    assert few.startswith("PSNR on Set5 changes by +3.00 ± 0.05 dB, clearly, with one picture instead of 20"), (
        "nothing remains"
    )
    assert "First, PSNR is below that of the most pictures by at most 0.05 dB, or not clearly." in rule
    assert advice == f"*In practice:* use few pictures: {cost}."
    *_, advice, _ = told({"1": (20.0, 20.1, 20.05)} | {size: psnr[size] for size in ("5", "20")})
    assert advice == (
        "*In practice:* use 5 pictures; one picture loses 5.00 ± 0.05 dB against 20; 20 lose 0.97 ± 0.06 dB against 5 pictures."
    )
    (axis, *_) = set_size.figures(study_table(rows(psnr)))[""].axes
    assert axis.texts[0].get_text() == "20 lose 3.00 dB\nagainst 1"


def test_methods_with_other_sizes_are_compared_with_their_own_most():
    few, many = {"1": (20.0, 20.1), "5": (25.0, 25.1)}, {"1": (27.0, 27.1), "20": (27.0, 27.1)}
    both = lambda one: told(one, more=rows(many, backbone="net_x4", series="b")[1:])
    first, *_, advice, _ = both(few)
    assert first == "**The most that was tried of adabm, 5 pictures, is needed: no fewer do as well.**"
    assert advice == "*In practice:* use 5 pictures or more; one picture loses 5.00 ± 0.07 dB against 5."
    assert both({"1": (25.0, 25.1), "5": (25.0, 25.1)})[0] == (
        "**It takes one picture to do as well as 5 or 20, the most of each method, as far as 2 seeds tell.**"
    )
    assert both({"5": (25.0, 25.1)})[0] == "**It takes one picture to do as well as 20, as far as 2 seeds tell.**"


def test_what_more_may_gain_is_of_the_method_that_is_below():
    better = rows({"1": (30.2, 30.6), "20": (30.0, 30.1)}, backbone="net_x4", series="b")[1:]
    first, few, *_ = told({"1": (29.6, 30.0), "20": (30.0, 30.1)}, more=better)
    assert "; 20 gain 0.25 ± 0.21 dB more in the mean, not clearly" in first
    assert few.startswith("What remains is -0.25 ± 0.21 dB (1 against 20, adabm).")


def test_networks_that_need_as_many_are_told_together():
    both = told(PSNR, PSNR)
    assert both[0].startswith("**It takes 5 pictures on both networks to keep the spread over draws within 0.5 dB")
    assert "tried were 1, 5 and 20, on b 1 and 20." in told(PSNR, ONE)[2]
    assert told(ONE, ONE, ONE)[0].startswith("**It takes one picture on all 3 networks to do as well as 20, as far as")
    assert both[1].count("with one picture instead of 20 (") == 2 and (
        "the worst seed loses 6.00 dB on a and 6.00 dB on b against full precision. With as many as are needed "
        "the standard deviation over seeds is 0.07 dB on a (5 pictures) and 0.07 dB on b (5 pictures)." in both[1]
    )


def test_networks_that_differ_are_told_apart():
    """What decides is told: the mean on a, the spread over seeds on b; c needs no more than the least that was tried."""
    first, *_, advice, _ = told(CLEAR, PSNR, ONE)
    assert first == (
        "**It takes 5 pictures on b to keep the spread over draws within 0.5 dB (standard deviation, 2 seeds); "
        "one picture on c and 5 on a to do as well as 20, as far as 2 seeds tell.**"
    )
    assert advice == "*In practice:* use 5 pictures or more; one picture loses 5.00 ± 0.07 dB against 20 on a."
    assert told(CLEAR, ALL)[0] == (
        "**It takes 5 pictures on a to do as well as 20, as far as 2 seeds tell; "
        "on b the most that was tried, 20 pictures, is needed.**"
    )
    assert told(ALL, {"2": (27.0, 27.1), "10": (30.0, 30.1)})[0] == (
        "**On a the most that was tried, 20 pictures, is needed and on b the most that was tried, 10 pictures, is needed: "
        "no fewer do as well.**"
    )


def test_sizes_that_one_network_leaves_out_are_not_said_to_be_too_few():
    first = told(PSNR | {"2": (28.0, 29.0)}, PSNR, PSNR | {"50": (30.0, 30.1)})[0]
    assert first.startswith(
        "**It takes 5 pictures on a and more than 1 on b and c (next tried: 5) to keep the spread over draws within 0.5 dB"
    )


def test_a_single_size_has_nothing_to_compare():
    first, rule, advice, _ = told({"5": (30.0, 30.2)})
    assert first == "**5 pictures alone were tried, so that fewer may do.**" and rule.startswith("The pool")
    assert advice == "*In practice:* use 5 pictures; fewer were not tried."
    first = told(PSNR, {"1": (30.0, 30.2)})[0]
    assert first.endswith("; on b one picture alone was tried, so that fewer may do.**")


def test_one_seed_tells_no_chance():
    first, few, *_ = told({"1": (29.0,), "5": (30.02,), "20": (30.0,)})
    assert first == "**It takes 5 pictures to do as well as 20, to within 0.05 dB (one seed).**"
    assert (
        few.startswith("What remains is +0.02 dB (5 against 20). PSNR on Set5 changes by -1.00 dB, one seed, with one")
        and "deviation" not in few
    )


def test_the_method_that_needs_most_decides():
    more = rows(ONE, backbone="net_x4", series="b")[1:]
    first, few, *_ = told(PSNR, more=more)
    assert first.startswith("**It takes 5 pictures to keep") and "instead of 20 (adabm)" in few


def test_the_first_set_of_each_network_tells_and_what_was_not_run_does_not():
    more = [*rows(ONE, backbone="net_x4", dataset="Set14"), not_run(series="later", level="1")]
    text = "".join(told(PSNR, more=more))
    assert "Set14" not in text and "later" not in text and "It takes 5 pictures" in text


def test_the_spread_excuses_a_gap_but_no_luck():
    gaps = {1: Difference(-0.3, 0.1, 0.01), 2: Difference(-0.3, 0.4, 0.5), 5: Difference(0.05, 0.0, 0.5)}
    near = dict.fromkeys((1, 2, 5, 9), 0.1)
    assert saturated(gaps, [1, 2, 5, 9], near) == 2
    assert saturated(gaps, [1, 2, 5, 9], near | {2: 0.54}) == 5, "the seeds of that size alone count, not those of both"


def test_views_of_the_table():
    table = study_table([*rows(), *rows(ONE, backbone="other"), not_run(level="50")])
    ends = set_size.fewest_and_most(table)
    assert list(ends.columns) == [(v, n) for v in ("fab", "psnr_y_db") for n in ("fewest", "most")]
    assert ends["psnr_y_db"].loc["net_x4"].to_numpy().tolist() == [[25.0, 30.0], [27.0, 30.1]]
    spread = set_size.spread_over_seeds(summarize_study(table[table["status"] == "measured"]))
    assert spread.loc[("net_x4", "Set5", "adabm"), "1"] == pytest.approx(1.414)


def test_a_panel_of_the_figure_tells_how_many_are_needed_and_why():
    table = study_table([
        *rows(), *rows(ONE, series="b")[1:], *rows(ALL, backbone="other"), *rows({"5": (30.0, 30.2)}, backbone="third"),
        *rows(CLEAR, backbone="fourth"),
    ])  # fmt: skip
    drawn = set_size.figures(table)[""]
    above = drawn.axes[:4]
    assert [axis.get_title() for axis in above] == ["net_x4\nSet5", "other\nSet5", "third\nSet5", "fourth\nSet5"]
    texts = [[text.get_text() for text in axis.texts] for axis in above]
    assert texts == [
        ["spread within 0.5 dB\nfrom 5 on", "adabm", "b"],
        ["20, the most\ntried, are needed"],
        [],
        ["no clear gain\nbeyond 5"],
    ]
    assert max(one.enough for one in compared(table) if one.network == "net_x4") == 5


def test_figures_with_and_without_times():
    times = study_table([
        row(question="timing", series="calibration", variable="calibration pictures", level=n, sample=s, seconds=1.0 + s,
            psnr_y_db=None, ssim_y=None, loss_db=None, fab=None)
        for n in ("1", "5") for s in (0, 1)
    ])  # fmt: skip
    table = study_table(rows())
    assert list(set_size.figures(table)) == [""] and list(set_size.figures(table, times)) == ["", "time"]


def test_a_network_has_its_own_sizes_and_a_method_fewer():
    bench = SimpleNamespace(
        backbone=Path("b.safetensors"), choose=lambda strategy, count, run: (Path("picture.png"),) * count
    )
    methods = {"one": {"method": "minmax", "sizes": [5]}, "later": {"method": "minmax", "run": False}}
    found = set_size.trials(Asked(bench, "W6A6 FQ", (3,), {"sizes": [1, 5]}), [1, 2, 5, 20], methods)
    told = [(t.series, t.level, t.run.seed, t.run.setting, t.wanted, len(t.calibration)) for t in found]
    assert told == [
        ("one", "5", 3, "W6A6 FQ", True, 5),
        ("later", "1", 3, "W6A6 FQ", False, 1),
        ("later", "5", 3, "W6A6 FQ", False, 5),
    ]


def test_what_the_seeds_do_not_tell_apart_is_the_same_unless_luck_decides():
    calm = {1: 0.2, 20: 0.1, 100: 0.1}
    near, far = (
        saturated({1: Difference(-0.3, spread, p), 20: Difference(-0.2, 0.1, 0.2)}, [1, 20, 100], calm)
        for spread, p in ((0.2, 0.09), (0.2, 0.01))
    )
    assert (near, far) == (1, 20)
    gaps = {1: Difference(-0.3, 0.4, 0.5), 20: Difference(-0.2, 0.1, 0.2)}
    assert saturated(gaps, [1, 20, 100], calm | {1: 0.6}) == 20
    assert saturated({1: Difference(-0.3, 0.0, float("nan"))}, [1, 20], {1: 0.0, 20: 0.0}) == 20, "one seed"


def test_what_remains_is_of_the_method_farthest_below_and_the_spread_of_the_one_whose_seeds_are_farthest_apart():
    more = rows({"1": (25.0, 27.0), "5": (29.75, 29.95), "20": (30.0, 30.5)}, backbone="net_x4", series="b")[1:]
    first, few, *_ = told({"1": (25.0, 27.0), "5": (29.8, 30.2), "20": (30.0, 30.1)}, more=more)
    assert few.startswith("What remains is -0.40 ± 0.27 dB (5 against 20, b).")
    assert few.endswith("standard deviation over seeds is 0.28 dB (5 pictures, adabm).")
    assert first.endswith("; 20 gain 0.40 ± 0.27 dB more in the mean, not clearly.**")


def test_what_the_drawn_picture_moves_is_told_of_the_method_that_it_moves_most():
    more = rows({"1": (29.8, 30.3), "20": (30.0, 30.1)}, backbone="net_x4", series="b")[1:]
    assert told(ONE, more=more)[0] == (
        "**It takes one picture to do as well as 20, as far as 2 seeds tell; which one is drawn moves PSNR by 0.35 dB and FAB by 0.71 "
        "(standard deviation, b).**"
    )


def test_the_worst_of_few_is_told_over_networks():
    advice = told(PSNR, {"1": (20.0, 29.0), "5": (29.0, 29.1), "20": (30.0, 30.9)})[-2]
    assert advice == (
        "*In practice:* use 5 pictures or more: with one picture the worst seed loses 6.00 to 11.00 dB against full precision, with 5 1.05 to "
        "2.00 dB, by network; the standard deviation over seeds is then at most 0.07 dB."
    )


def test_what_more_pictures_may_still_gain_is_told_where_it_is_noticeable():
    near = {"5": (29.9, 30.2), "20": (30.0, 30.3)}
    assert told(near)[0] == (
        "**It takes 5 pictures to do as well as 20, as far as 2 seeds tell; 20 gain 0.10 ± 0.21 dB more in the mean, not clearly; "
        "which ones are drawn moves PSNR by 0.21 dB and FAB by 0.71 (standard deviation).**"
    )
    less = {"5": (29.7, 30.1), "10": (30.0, 30.3)}
    assert "; 20 (10 on b) gain 0.10 to 0.25 dB more in the mean, not clearly; which" in told(near, less)[0]
    assert "; 10 gain 0.25 ± 0.25 dB more in the mean on b, not clearly; which" in told(ONE, less)[0]
