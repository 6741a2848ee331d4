"""Which pictures: strategies against random ones, told from tables whose answer is known."""

import pytest

from adabm.errors import ConfigError
from adabm.study.answers import sampling
from adabm.study.tables.schema import study_table
from helpers.study_tables import not_run, row

METHODS = {"adabm": {"method": "adabm", "seeds": [0, 1, 2]}}
PSNR = {"random": (30.0, 30.1, 30.2), "worse": (28.0, 28.1, 28.2), "alike": (30.05, 30.15, 30.25)}


def table(psnr=PSNR, **changes):
    return study_table(
        row(question="sampling", variable="strategy", level=level, seed=seed, psnr_y_db=value, **changes)
        for level, values in psnr.items()
        for seed, value in enumerate(values)
    )


def test_best_comes_first_and_random_is_compared_with_nothing():
    found = sampling.compared(table())
    assert list(found["strategy"]) == ["alike", "random", "worse"]
    rows = found.set_index("strategy")
    assert rows["against random"].round(3).to_dict() == pytest.approx(
        {"alike": 0.05, "random": float("nan"), "worse": -2.0}, nan_ok=True
    )
    assert bool(rows.loc["alike", "within the spread"]) and not rows.loc["worse", "within the spread"]
    assert rows.loc["worse", "p adjusted"] == pytest.approx(2 * rows.loc["worse", "p"]), (
        "the less of two p values, twice"
    )


def test_each_series_and_set_is_compared_with_its_own_random_pictures():
    other = table({"random": (20.0,), "worse": (19.0,)}, dataset="Set14")
    found = sampling.compared(study_table([*table().to_dict("records"), *other.to_dict("records")]))
    assert list(found["dataset"]) == ["Set5"] * 3 + ["Set14"] * 2
    assert found.iloc[-1]["against random"] == -1.0


def told(psnr=PSNR, methods=METHODS) -> list[str]:
    return sampling.conclusion(sampling.compared(table(psnr)), methods)


def test_the_answer_is_whether_any_choice_beats_chance():
    assert told()[0] == "**No way of choosing is clearly better than random pictures; clearly worse: worse.**"
    alike = {"random": (30.0, 30.1, 30.2), "alike": (30.05, 30.15, 30.25)}
    assert told(alike)[0] == "**No way of choosing is clearly better than random pictures, and none is clearly worse.**"
    better = {"random": (30.0, 30.1, 30.2), "better": (32.0, 32.1, 32.2)}
    assert told(better)[0] == "**Clearly better than random pictures is better, and none is clearly worse.**"
    assert told(better)[-2] == "*In practice:* choose by better."
    assert told()[-2] == "*In practice:* draw pictures at random; avoid worse."
    assert told({"random": (30.0,), "worse": (28.0,)})[0].startswith("**One seed cannot tell")


def test_what_is_so_in_one_series_alone_says_so():
    rows = table().to_dict("records") + table({"random": (20.0, 20.4), "worse": (20.1, 20.5)}, series="b").to_dict(
        "records"
    )
    methods = METHODS | {"b": {"method": "adabm", "seeds": [0, 1]}}
    first = sampling.conclusion(sampling.compared(study_table(rows)), methods)[0]
    assert first == "**No way of choosing is clearly better than random pictures; clearly worse: worse (adabm).**"


def test_conclusion_names_best_and_worst_and_leaves_p_values_to_the_table():
    _, prose, _, evidence = told()
    assert prose == (
        "**adabm** on Set5: random has 30.10 dB at FAB 3.90; best is alike with 30.15 dB at FAB 3.90 "
        "(+0.05 dB against random, within the spread over seeds), worst worse with 28.10 dB at FAB 3.90 "
        "(-2.00 dB against random, clearly)."
    )
    (row,) = [line for line in evidence.splitlines() if line.startswith("| adabm    | worse")]
    found = sampling.compared(table()).set_index("strategy").loc["worse"]
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [
        "3", "28.10", "0.10", "3.90", "-2.00", f"{found['p']:.2g}", f"{found['p adjusted']:.2g}"
    ]  # fmt: skip


def test_one_seed_tells_so_and_random_may_be_best():
    prose = told({"random": (30.0,), "worse": (28.0,)})[1]
    assert "best is random with 30.00 dB at FAB 3.90, worst" in prose and "(-2.00 dB against random, one seed)" in prose


def test_a_clear_difference_that_is_not_significant():
    psnr = {"random": (30.0, 30.4), "worse": (29.3, 29.7)}
    assert "not clearly)" in told(psnr)[1] and "none is clearly worse" in told(psnr)[0]


def test_the_adaptive_strategy_tells_where_it_stops():
    rows = table({"random": (30.0, 30.1)}).to_dict("records")
    rows += [
        row(
            question="sampling",
            variable="strategy",
            level="adaptive",
            seed=seed,
            calibration_pictures=count,
            psnr_y_db=30 + seed / 5,
        )
        for seed, count in enumerate((10, 13))
    ]
    told = sampling.conclusion(sampling.compared(study_table(rows)), METHODS)
    assert told[2].startswith("The adaptive strategy stops at 12 pictures in the mean (adabm): 30.10 dB at FAB 3.90 (")


def test_what_was_not_run_is_not_told():
    rows = [
        *table().to_dict("records"),
        not_run(question="sampling", variable="strategy", series="later", level="random"),
    ]
    methods = METHODS | {"later": {"method": "adabm", "seeds": [0], "run": False}}
    assert "later" not in "".join(sampling.conclusion(sampling.compared(study_table(rows)), methods))


def test_strategies_are_checked():
    assert list(sampling.check_strategies(["diverse", "random"])["strategy"]) == ["diverse", "random"]
    with pytest.raises(ConfigError, match="strategies: unknown 'randon'"):
        sampling.check_strategies(["randon"])
    with pytest.raises(ConfigError, match="the reference: unknown 'random'"):
        sampling.check_strategies(["diverse"])
    with pytest.raises(ConfigError, match="methods, AdaBM: 'seeds' is missing"):
        sampling.trials(None, "W4A4 FQ", ["random"], 5, {}, {"AdaBM": {"method": "adabm"}})
