"""Which pictures: strategies against random ones, told from tables whose answer is known, of one network and of several."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from adabm.errors import ConfigError
from adabm.study.answers import sampling
from adabm.study.answers.asked import Asked
from adabm.study.tables.schema import study_table
from helpers.study_tables import not_run, row

PSNR = {"random": (30.0, 30.1, 30.2), "worse": (28.0, 28.1, 28.2), "alike": (30.05, 30.15, 30.25)}
ALIKE = {"random": (30.0, 30.1, 30.2), "alike": (30.05, 30.15, 30.25)}
BETTER = {"random": (30.0, 30.1, 30.2), "better": (32.0, 32.1, 32.2)}
ONE_SEED = {"random": (30.0,), "worse": (28.0,)}


def rows(psnr=PSNR, **changes) -> list[dict]:
    return [
        row(question="sampling", variable="strategy", level=level, seed=seed, psnr_y_db=value, **changes)
        for level, values in psnr.items()
        for seed, value in enumerate(values)
    ]


def table(*parts: list[dict]):
    return study_table([row for part in parts or [rows()] for row in part])


def told(*networks: dict, more: list[dict] = ()) -> list[str]:
    """The conclusion of networks called a, b and so on, or of one alone."""
    names = "abcdef" if len(networks) > 1 else ["net_x4"]
    parts = [rows(psnr, backbone=name) for psnr, name in zip(networks, names)]
    return sampling.conclusion(sampling.compared(table(*parts, list(more))))


def test_best_comes_first_and_random_is_compared_with_nothing():
    found = sampling.compared(table())
    assert list(found["strategy"]) == ["alike", "random", "worse"]
    by_strategy = found.set_index("strategy")
    assert by_strategy["against random"].round(3).to_dict() == pytest.approx(
        {"alike": 0.05, "random": float("nan"), "worse": -2.0}, nan_ok=True
    )
    assert bool(by_strategy.loc["alike", "within the spread"]) and not by_strategy.loc["worse", "within the spread"]
    assert by_strategy.loc["worse", "p adjusted"] == pytest.approx(2 * by_strategy.loc["worse", "p"]), (
        "the less of two p values, twice"
    )


@pytest.mark.parametrize("other", [{"dataset": "Set14"}, {"backbone": "other"}, {"series": "b"}])
def test_each_network_series_and_set_is_compared_with_its_own_random_pictures(other):
    found = sampling.compared(table(rows(), rows({"random": (20.0,), "worse": (19.0,)}, **other)))
    (name, value) = next(iter(other.items()))
    assert list(found[name] == value) == [False] * 3 + [True] * 2
    assert found.iloc[-1]["against random"] == -1.0


def test_the_answer_is_whether_any_choice_beats_chance():
    assert told(PSNR)[0] == "**No way of choosing is clearly better than random pictures; clearly worse: worse.**"
    assert told(ALIKE)[0] == "**No way of choosing is clearly better than random pictures, and none is clearly worse.**"
    assert told(BETTER)[0] == "**Clearly better than random pictures is better, and none is clearly worse.**"
    assert told(BETTER)[-2] == "*In practice:* choose by better."
    assert told(PSNR)[-2] == "*In practice:* draw pictures at random; avoid worse."
    assert told(ONE_SEED)[0] == "**One seed cannot tell whether any choice beats random pictures.**"


def test_seeds_that_give_the_same_are_not_called_one():
    head, span, *_ = told({"random": (30.0,) * 3, "alike": (30.0,) * 3, "other": (29.5,) * 3})
    assert head == "**No way of choosing is clearly better than random pictures; clearly worse: other.**"
    assert "from -0.50 dB (other, the same with every seed) to +0.00 dB (alike, the same with every seed)" in span


def test_random_pictures_alone_are_compared_with_nothing():
    assert told({"random": (30.0, 30.1)})[0] == (
        "**Random pictures alone were measured: no choice was compared with them.**"
    )


def test_what_is_always_above_though_never_clearly_is_told():
    always = told(ALIKE, ALIKE, ALIKE, ALIKE)[-2]
    assert always == (
        "*In practice:* draw pictures at random, or by alike (+0.05 dB in the mean), above them in all 4 comparisons "
        "(not independent: they share seeds), clearly in none."
    )
    other_set = [row for part in (rows(ALIKE, backbone=name, dataset="Set14") for name in "ab") for row in part]
    assert (
        "(not independent: they share seeds, some models too), clearly in none."
        in told(ALIKE, ALIKE, more=other_set)[-2]
    )
    below = {"random": (30.0, 30.1, 30.2), "alike": (29.95, 30.05, 30.15)}
    assert told(ALIKE, ALIKE, ALIKE, below)[-2] == "*In practice:* draw pictures at random."
    assert told(ALIKE, ALIKE, ALIKE)[-2] == "*In practice:* draw pictures at random."


def test_networks_that_agree_are_told_together():
    assert told(PSNR, PSNR)[0] == (
        "**No way of choosing is clearly better than random pictures on any of 2 networks; clearly worse: worse.**"
    )
    assert told(BETTER, BETTER, BETTER)[0].startswith("**Clearly better than random pictures is better, and none")


def test_networks_that_differ_are_told_apart():
    assert told(PSNR, ALIKE, PSNR)[0] == (
        "**No way of choosing is clearly better than random pictures on any of 3 networks; "
        "clearly worse: worse (on a and on c).**"
    )
    found = told(BETTER, PSNR)
    assert found[0] == "**Clearly better than random pictures is better (on a); clearly worse: worse (on b).**"
    assert found[-2] == "*In practice:* choose by better (on a); avoid worse."
    assert told(PSNR, ONE_SEED)[0].endswith("clearly worse: worse (on a); on b one seed cannot tell.**")


def test_many_places_are_told_below_the_verdict():
    found = told(
        {"random": (30.0, 30.1, 30.2), "one": (28.0, 28.1, 28.2)},
        {"random": (30.0, 30.1, 30.2), "two": (28.0, 28.1, 28.2)},
    )
    assert found[0].endswith("clearly worse: one and two (not everywhere).**")
    assert found[2] == "Clearly worse: one (on a) and two (on b)."
    assert "*In practice:* draw pictures at random; avoid one and two." in found


def test_what_is_worse_in_some_comparisons_tells_in_how_many():
    found = told(PSNR, ALIKE | {"worse": (29.95, 30.1, 30.2)}, {**ALIKE, "worse": (30.05, 30.15, 30.25)})
    assert found[-2] == (
        "*In practice:* draw pictures at random; worse is below them in 2 of 3 comparisons, clearly in 1."
    )


def test_what_is_worse_in_few_of_many_comparisons_says_so_in_the_answer():
    flat = ALIKE | {"worse": (30.0, 30.1, 30.2)}
    assert told(PSNR, flat, flat, flat)[0].endswith("clearly worse: worse (on a), in 1 of 4 comparisons on Set5.**")
    both = [PSNR | {"bad": PSNR["worse"]}, *[flat | {"bad": flat["worse"]}] * 3]
    assert told(*both)[0].endswith("clearly worse: worse and bad (on a), each in 1 of 4 comparisons on Set5.**")
    assert told(PSNR, PSNR, flat, flat)[0].endswith("clearly worse: worse (on a and on b).**")
    second = [row for name in "abcd" for row in rows(flat, backbone=name, dataset="Set14")]
    first, *_, advice, _ = told(PSNR, flat, flat, flat, more=second)
    assert first.endswith("in 1 of 4 comparisons on Set5.**")
    assert "above them in all 8 comparisons on Set5 and Set14 (not" in advice
    assert advice.endswith("worse is below them in 1 of 8 comparisons, clearly in 1.")


def test_what_is_so_in_one_series_alone_says_so():
    other = {"random": (20.0, 20.4), "worse": (20.1, 20.5)}
    first = told(PSNR, more=rows(other, series="b"))[0]
    assert first == "**No way of choosing is clearly better than random pictures; clearly worse: worse (adabm).**"
    first = told(PSNR, PSNR, more=rows(other, backbone="a", series="b"))[0]
    assert first.endswith("clearly worse: worse (on a with adabm and on b).**")


def test_conclusion_names_best_and_worst_and_leaves_p_values_to_the_table():
    _, prose, _, evidence = told(PSNR)
    assert prose == (
        "Against random pictures PSNR on Set5 changes from -2.00 dB (worse, clearly) to +0.05 dB (alike, within the spread "
        "over seeds). FAB is the same for all."
    )
    (line,) = [line for line in evidence.splitlines() if "| worse" in line]
    found = sampling.compared(table()).set_index("strategy").loc["worse"]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        "net_x4", "adabm", "worse", "3", "20", "28.10", "0.10", "3.90", "-2.00", f"{found['p']:.2g}", f"{found['p adjusted']:.2g}"
    ]  # fmt: skip
    assert told(ALIKE, ONE_SEED)[1] == (
        "Against random pictures PSNR on Set5 changes by +0.05 dB (alike, within the spread over seeds) on a; "
        "by -2.00 dB (worse, one seed) on b. FAB is the same for all. Not tried: worse on a and alike on b."
    )
    assert told({"random": (30.0, 30.2)})[1] == "Random pictures alone were tried on Set5."


def test_bits_that_are_the_same_are_told_by_series():
    other = [one | {"fab": 4.0 + 0.1 * (one["level"] == "worse")} for one in rows(PSNR, series="b")]
    assert "FAB is the same for all. " in told(PSNR)[1] + " "
    assert "FAB is the same for all strategies with adabm; otherwise it is not, see below." in told(PSNR, more=other)[1]


def test_a_clear_difference_that_is_not_significant():
    psnr = {"random": (30.0, 30.4), "worse": (29.3, 29.7)}
    assert "worse, not clearly)" in told(psnr)[1] and "none is clearly worse" in told(psnr)[0]


def test_the_adaptive_strategy_tells_where_it_stops():
    stops = [
        row(question="sampling", variable="strategy", level="adaptive", backbone=name, seed=seed, series=series,
            calibration_pictures=count + seed, psnr_y_db=30 + seed / 5)
        for name, series, count in (("a", "adabm", 10), ("a", "b", 20), ("b", "adabm", 30)) for seed in (0, 1)
    ]  # fmt: skip
    random = {"random": (30.0, 30.1)}
    found = told(random, random, more=[*rows(random, backbone="a", series="b"), *stops])
    assert found[2] == (
        "The adaptive strategy stops, in the mean over seeds, at 10 to 20 pictures on a (+0.05 dB against random) and "
        "30 pictures on b (+0.05 dB against random)."
    )


def test_the_first_set_of_each_network_tells_and_what_was_not_run_does_not():
    more = [
        not_run(question="sampling", variable="strategy", series="later", level="random"),
        *rows(BETTER, dataset="Set14"),
    ]
    parts = told(PSNR, more=more)
    assert "later" not in "".join(parts) and "better |" not in "".join(parts) and parts[0] == told(PSNR)[0]


def test_other_sets_are_told_behind():
    assert told(PSNR, more=rows(BETTER, dataset="Set14"))[2] == "On Set14 clearly better: better."
    assert told(PSNR, more=rows(ALIKE, dataset="Set14"))[2] == "On Set14 none differs clearly."


def test_a_panel_of_the_figure_tells_every_difference():
    drawn = sampling.figures(table(rows(), rows(ALIKE, backbone="other")))[""]
    one, other = drawn.axes[:2]
    assert [one.get_title(), other.get_title()] == ["net_x4, Set5\nadabm", "other, Set5\nadabm"]
    assert [text.get_text() for text in one.texts] == ["reference", "-2.00", "+0.05"]
    assert [text.get_text() for text in other.texts] == ["reference", "not tried", "+0.05"]
    assert [text.get_weight() for text in one.texts] == ["normal", "bold", "normal"]


def test_a_network_has_its_own_strategies_and_a_method_fewer():
    bench = SimpleNamespace(
        backbone=Path("b.safetensors"), choose=lambda strategy, count, run: (Path(strategy),) * count
    )
    network = Asked(bench, "W4A4 FQ", (0, 1), {"strategies": ["random", "diverse"]})
    methods = {"one": {"method": "minmax", "seeds": [1], "strategies": ["random"]}, "two": {"method": "minmax"}}
    found = sampling.trials(network, ["random", "hardest"], 3, {"diverse": 5}, methods)
    assert [(t.series, t.level, t.run.seed, len(t.calibration)) for t in found] == [
        ("one", "random", 1, 3),
        *(("two", name, seed, count) for name, count in (("random", 3), ("diverse", 5)) for seed in (0, 1)),
    ]
    with pytest.raises(ConfigError, match="the reference: unknown 'random'"):
        sampling.trials(network, ["random"], 3, {}, {"one": {"method": "minmax", "strategies": ["diverse"]}})
    fewer = {"one": {"method": "minmax", "strategies": ["random", "kmeans"]}}
    with pytest.raises(ConfigError, match="methods, one: strategies: 'kmeans' is not asked for"):
        sampling.trials(network, ["random"], 3, {}, fewer)
    with pytest.raises(ConfigError, match="counts: 'kmeans' is not asked for"):
        sampling.trials(network, ["random"], 3, {"kmeans": 5}, methods)
    with pytest.raises(ConfigError, match="counts: unknown 'adaptiv'"):
        sampling.trials(network, ["random"], 3, {"adaptiv": 100}, methods)


def test_strategies_are_checked():
    assert list(sampling.check_strategies(["diverse", "random"])["strategy"]) == ["diverse", "random"]
    with pytest.raises(ConfigError, match="strategies: unknown 'randon'"):
        sampling.check_strategies(["randon"])
    with pytest.raises(ConfigError, match="the reference: unknown 'random'"):
        sampling.check_strategies(["diverse"])
