"""Where the first thresholds lie: which models are compared, and the sentences about tables whose answer is known."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from adabm.errors import ConfigError
from adabm.study import Effort
from adabm.study.answers import thresholds
from adabm.study.answers.asked import Asked, open_asked
from adabm.study.answers.threshold_gains import at_equal_fab
from adabm.study.answers.threshold_starts import ALIKE, CONSTANT, RANDOM, STARTS
from adabm.study.tables.schema import study_table
from helpers.study_files import enter_study_of_two
from helpers.study_tables import not_run, row

METHODS = {"untuned": {"method": "adabm-own-bits", "changes": {"tune": None}}}
BENCH = SimpleNamespace(
    choose=lambda strategy, count, run: (Path("picture.png"),) * count, backbone=Path("net_x4.safetensors")
)


def planned(percentiles=(), starts=(), methods=METHODS, seeds=(0, 1), own=None):
    return thresholds.trials(
        Asked(BENCH, "W4A4 FQ", tuple(seeds), own or {}), list(percentiles), list(starts), 3, methods
    )


def test_one_percentile_moves_and_the_other_stays():
    found = planned([20])
    assert {(t.series, t.level) for t in found} == {
        *(("images, untuned", level) for level in ("0", "10", "20")),
        *(("layers, untuned", level) for level in ("0", "20", "30")),
    }
    steps = {(t.series, t.level): t.run.config().step("map_bits") for t in found}
    assert (steps["images, untuned", "20"].image_percentile, steps["images, untuned", "20"].layer_percentile) == (
        20,
        30,
    )
    assert (steps["layers, untuned", "20"].image_percentile, steps["layers, untuned", "20"].layer_percentile) == (
        10,
        20,
    )
    assert all(len(t.calibration) == 3 and t.run.config().step("tune") is None for t in found)


def test_starts_that_follow_no_percentile():
    found = {(t.series, t.level): t for t in planned(starts=STARTS, seeds=[0]) if t.variable == "start"}
    assert [key for key in found if key[0].startswith("layers")] == [("layers, untuned", "random")]
    assert [level for series, level in found if series.startswith("images")] == STARTS
    names = lambda trial: [step.name for step in trial.run.config().recipe.steps]
    random = found["images, untuned", "random"]
    assert names(random) == ["calibrate", "map_bits", "start_thresholds", "clip"]  # clipping sees where images start
    assert random.run.config().step("map_bits").image_percentile == 0
    assert random.run.config().step("start_thresholds").at is None
    assert found["images, untuned", "constant 15 to 50"].run.config().step("start_thresholds").at == (15, 50)
    assert names(found["layers, untuned", "random"]) == ["calibrate", "map_bits", "deal_factors", "clip"]
    with pytest.raises(ConfigError, match="starts: unknown 'rondom'"):
        planned(starts=["rondom"])


def test_a_network_may_have_levels_of_its_own_to_which_a_method_is_limited():
    fewer = {"a": {**METHODS["untuned"], "percentiles": [45], "starts": [], "seeds": [1]}}
    found = planned([20, 45], ["random"], fewer)
    assert {t.level for t in found} == {"0", "10", "30", "45"} and {t.run.seed for t in found} == {1}
    with pytest.raises(ConfigError, match=r"methods, a: percentiles: 45 is not asked for \(but 20, 0, 10, 30\)"):
        planned([20, 45], [], fewer, own={"percentiles": [20]})
    with pytest.raises(ConfigError, match="methods, a: starts: 'random' is not asked for"):
        planned([20], [CONSTANT], {"a": {**METHODS["untuned"], "starts": [RANDOM]}})
    always = {"a": {**METHODS["untuned"], "percentiles": [0, 30]}}
    assert {t.level for t in planned([20], methods=always)} == {"0", "10", "30"}
    elsewhere = {"a": {**METHODS["untuned"], "backbones": ["other"]}}
    assert planned([20], methods=elsewhere) == []


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ({"levels": [45]}, "unknown key 'levels'|levels"),
        ({"seeds": [7]}, "seed 7"),
        ({"percentiles": ["a"]}, "percentiles"),
        ({"starts": "random"}, "starts"),
        ({"backbones": ["other"]}, "backbones: unknown 'other'"),
    ],
)
def test_methods_are_checked_before_anything_is_measured(tmp_path, monkeypatch, method, named):
    enter_study_of_two(tmp_path, monkeypatch)
    opened = lambda methods: open_asked(
        {"net.safetensors": {"seeds": [0, 1], "percentiles": [5], "starts": ["random"]}}, "data", ["First"], "data/pool",
        Effort(12, None, 3, 1), "W4A4 FQ", methods, ["percentiles", "starts"], 1,
    )  # fmt: skip
    assert opened({"a": {**METHODS["untuned"], "percentiles": [5], "starts": ["random"]}})[0].own["starts"] == [
        "random"
    ]
    with pytest.raises(ConfigError, match=named):
        opened({"a": {**METHODS["untuned"], **method}})


def rows(psnr: dict[str, tuple], which="images", fab=lambda level: 4 + int(level) / 100) -> list[dict]:
    return [
        row(series=f"{which}, untuned", variable="percentile", level=level, seed=seed, psnr_y_db=value, fab=fab(level))
        for level, values in psnr.items()
        for seed, value in enumerate(values)
    ]


LOOKED_AT = ' Percentiles were compared on Set5 itself, with the method "untuned".'
FULL = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)


def test_the_released_percentile_is_compared_with_the_best_and_with_none():
    psnr = {"0": (29.0, 29.1, 29.2), "10": (29.5, 29.61, 29.69), "20": (30.0, 30.1, 30.21)}
    head, advice, evidence = thresholds.conclusion(study_table([FULL, *rows(psnr)]))
    assert head == (
        "**It matters for images (0 loses 0.50 ± 0.01 dB against the released 10 and 20 gains 0.50 ± 0.02 dB).** "
        "For images 20 is clearly better than the released 10 (+0.50 ± 0.02 dB)."
    )
    assert advice == f"*In practice:* try 20 instead of 10 for images.{LOOKED_AT}"
    best, extremes = evidence.splitlines()[2:]
    assert "the best, 20" in best and "| -0.50" in best and "the extremes, 0" in extremes and "| +0.50" in extremes


def test_networks_that_one_percentile_suits_are_told_together():
    psnr = {"0": (29.0, 29.1, 29.2), "10": (29.5, 29.61, 29.69), "20": (30.0, 30.1, 30.21)}
    better = [{**each, "backbone": name} for name in ("a", "b") for each in [FULL, *rows(psnr)]]
    head, advice, evidence = thresholds.conclusion(study_table(better))
    assert head.endswith(
        " For images 20 is clearly better than the released 10 on a (+0.50 ± 0.02 dB) and b (+0.50 ± 0.02 dB)."
    )
    assert advice == f"*In practice:* try 20 instead of 10 for images on a and b.{LOOKED_AT}"
    assert "released minus it (dB)" in evidence.splitlines()[0]


def test_percentile_0_is_called_the_extremes():
    psnr = {"0": (30.0, 30.1, 30.21), "10": (29.5, 29.61, 29.69), "20": (29.0, 29.1, 29.2)}
    head, advice, _ = thresholds.conclusion(study_table([FULL, *rows(psnr)]))
    assert head.endswith(" For images 0 (the extremes) is clearly better than the released 10 (+0.50 ± 0.02 dB).")
    assert advice == f"*In practice:* try 0 (the extremes) instead of 10 for images.{LOOKED_AT}"
    layers = {"0": psnr["0"], "30": psnr["10"]}
    head, advice, _ = thresholds.conclusion(study_table([FULL, *rows(layers, "layers")]))
    assert advice.endswith(f"try 0 (the same bits for all layers) instead of 30 for layers.{LOOKED_AT}")
    assert "For layers 0 (the extremes), which gives all layers the same bits, is clearly better" in head


def test_where_the_extremes_are_not_told_from_the_best_percentile_they_are_advised():
    near = {"0": (30.0, 30.1, 30.21), "5": (30.1, 30.05, 30.21), "30": (29.5, 29.61, 29.69)}
    far = {"0": (30.0, 30.1, 30.2), "30": (29.5, 29.61, 29.69)}
    other = [each | dict(backbone="other") for each in [FULL, *rows(far, "layers")]]
    head, advice, evidence = thresholds.conclusion(study_table([FULL, *rows(near, "layers"), *other]))
    assert advice == (
        "*In practice:* try 0 (the same bits for all layers) instead of 30 for layers on net_x4 and other (or 5 on net_x4, which cannot be told "
        f"from it).{LOOKED_AT}"
    )
    assert "5 is clearly better than the released 30 on net_x4" in head and "| p (paired, not adjusted)" in evidence
    worse = near | {"5": (30.3, 30.4, 30.51)}
    told = thresholds.conclusion(study_table([FULL, *rows(worse, "layers")]))[1]
    assert told == f"*In practice:* try 5 instead of 30 for layers.{LOOKED_AT}"


def test_what_the_seeds_cannot_tell_is_not_called_better():
    psnr = {"0": (29.0, 30.0), "10": (29.4, 29.8), "20": (30.0, 29.9)}
    head, advice, _ = thresholds.conclusion(study_table([FULL, *rows(psnr)]))
    assert head.endswith(
        " For images no other percentile is clearly better than the released 10, which the seeds cannot tell from 0 (the extremes)."
    )
    one = thresholds.conclusion(study_table([FULL, *rows({level: values[:1] for level, values in psnr.items()})]))[0]
    assert "which one seed cannot tell from 0 (the extremes)" in one
    assert (
        advice
        == f"*In practice:* keep the released 10 for images (whether to map images at all: page of complexity).{LOOKED_AT}"
    )


def test_images_and_layers_are_told_apart():
    layers = {"0": (28.0, 28.1, 28.21), "30": (29.0, 29.11, 29.2)}
    images = {"0": (29.5, 29.6, 29.7), "10": (29.0, 29.11, 29.2)}
    head = thresholds.conclusion(study_table([FULL, *rows(images), *rows(layers, "layers")]))[0]
    assert head.endswith(
        " For images 0 (the extremes) is clearly better than the released 10 (+0.50 ± 0.01 dB). For layers no other "
        "percentile is clearly better than the released 30; 30 is clearly better than 0, the extremes, (+1.00 ± 0.01 dB)."
    )


def test_what_changes_nothing_is_the_best_itself():
    same = rows({"0": (30.0, 30.0), "10": (30.0, 30.0)}, fab=EVEN)
    evidence = thresholds.conclusion(study_table([FULL, *same]))[-1]
    assert "the best, itself, 10" in evidence and "| the extremes, 0      | 4.20      | +0.00" in evidence


def test_what_helps_on_one_network_alone_names_it():
    near, far = (
        {"0": (29.0, 29.1, 29.2), "10": (29.5, 29.61, 29.69)},
        {"0": (29.0, 30.0, 29.5), "10": (29.4, 29.8, 29.6)},
    )
    other = [row | dict(backbone="other") for row in [FULL, *rows(far)]]
    table = study_table([FULL, *rows(near), *other])
    head, *_, evidence = thresholds.conclusion(table)
    assert head.endswith(f"10 is clearly better than 0, the extremes, on {FULL['backbone']} (+0.50 ± 0.01 dB).")
    assert "other" in evidence and len(evidence.splitlines()) == 6
    drawn = thresholds.figures(table)[""]
    assert [axis.get_title() for axis in drawn.axes[:2]] == [f"{FULL['backbone']}, Set5", "other, Set5"]


def test_what_helps_on_one_network_and_harms_on_another_names_both():
    up, down = (
        {"0": (29.0, 29.1, 29.2), "10": (29.5, 29.61, 29.69)},
        {"0": (29.5, 29.61, 29.69), "10": (29.0, 29.1, 29.2)},
    )
    other = [row | dict(backbone="other") for row in [FULL, *rows(down)]]
    head, advice, _ = thresholds.conclusion(study_table([FULL, *rows(up), *other]))
    assert head.endswith(
        " For images 0 (the extremes) is clearly better than the released 10 on other (+0.50 ± 0.01 dB); "
        f"10 is clearly better than 0 on {FULL['backbone']} (+0.50 ± 0.01 dB)."
    )
    assert advice == (
        f"*In practice:* try 0 (the extremes) instead of 10 for images on other; keep the released 10 for images on {FULL['backbone']} "
        f"(whether to map images at all: page of complexity).{LOOKED_AT}"
    )


def test_the_percentile_that_loses_most_is_told_where_it_is_noticeable():
    psnr = {"0": (30.0, 30.1), "10": (30.0, 30.1), "20": (29.5, 29.6), "45": (29.0, 29.3)}
    head = thresholds.conclusion(study_table([FULL, *rows(psnr)]))[0]
    assert head.endswith("from 0 (the extremes); of the others tried 45 loses most, 0.90 ± 0.14 dB (not clearly).")


def test_whether_it_matters_is_told_first():
    flat = rows({"0": (30.0, 30.2), "10": (30.05, 30.25), "45": (30.0, 30.1)})
    steep = rows({"0": (30.0, 30.2), "10": (30.05, 30.25), "20": (30.02, 30.21), "45": (29.0, 29.2)})
    layers = rows({"0": (30.0, 30.2), "30": (29.0, 29.2)}, "layers")
    told = lambda *parts: thresholds.conclusion(study_table([FULL, *(row for part in parts for row in part)]))[0]
    assert told(flat).startswith("**It hardly matters for images (at most 0.10 dB between percentiles).** For")
    assert told(layers).startswith("**It matters for layers (0 gains 1.00 dB against the released 30).** For")
    assert told(steep, layers).startswith(
        "**It matters for images (45 loses 1.05 dB against the released 10) and for layers (0 gains 1.00 dB against the released 30).** For"
    )
    assert told(flat, layers).startswith(
        "**It matters for layers (0 gains 1.00 dB against the released 30), hardly matters for images (at most 0.10 dB between percentiles).**"
    )
    one = [each for each in steep if each["seed"] == 0]
    assert told(one).startswith("**It matters for images (up to 1.05 dB between percentiles, with one seed).** For")


def test_where_no_percentile_is_noticeably_and_clearly_worse_that_is_told():
    """One loses 0.05 dB with every seed, another 1.15 dB in the mean of two that differ."""
    wide = rows({"0": (30.0, 30.2), "10": (30.05, 30.25), "45": (30.0, 28.0)})
    head = thresholds.conclusion(study_table([FULL, *wide]))[0]
    assert head.startswith(
        "**It does not clearly matter for images (up to 1.15 dB between percentiles, which the seeds cannot tell from nothing).**"
    )


def begun(which: str, start: str, values: tuple, fab: float = 4.2, method="untuned", **changes) -> list[dict]:
    """Rows of a start that follows no percentile, by seed."""
    return [
        row(series=f"{which}, {method}", variable="start", level=start, seed=seed, psnr_y_db=value, fab=fab, **changes)
        for seed, value in enumerate(values)
    ]


BASE = {"0": (30.0, 30.1, 30.2), "10": (30.0, 30.1, 30.2)}
EVEN = lambda level: 4.2
LAYERS = {"0": (29.0, 29.1, 29.2), "30": (30.0, 30.1, 30.2)}


def test_what_starts_that_follow_no_percentile_lose():
    random = begun("images", RANDOM, (29.5, 29.61, 29.69))
    constant = begun("images", CONSTANT, (30.2, 30.0, 30.3))
    dealt = begun("layers", RANDOM, (29.0, 29.11, 29.2))
    head, _, table, *_ = thresholds.conclusion(
        study_table([FULL, *rows(BASE, fab=EVEN), *random, *constant, *rows(LAYERS, "layers", EVEN), *dealt])
    )
    assert (
        "Against the released start thresholds of images at random lose 0.50 dB (clearly lost), the same constants for all change PSNR "
        "by +0.07 dB (not clearly) and factors of layers dealt at random lose 1.00 dB (clearly lost)."
    ) in head
    assert "| random" in table and "| constant 15 to 50" in table


def test_thresholds_are_compared_at_equal_fab_by_hand():
    alike = [
        each
        for factor, name in ALIKE.items()
        for each in begun("images", name, tuple(30.0 + factor * 2 + seed / 10 for seed in range(3)), 4.0 + factor)
    ]
    found = at_equal_fab(study_table([FULL, *rows(BASE, fab=EVEN), *alike]))
    assert [(dealt.start, dealt.fab) for dealt in found] == [("0", pytest.approx(4.2)), ("10", pytest.approx(4.2))]
    assert found[0].gain.mean == pytest.approx(-0.4)  # a fifth of the pictures with a bit more, which is worth 2 dB
    head = thresholds.conclusion(study_table([FULL, *rows(BASE, fab=EVEN), *alike]))[0]
    assert head.endswith(
        "Against the same FAB dealt to pictures blindly the released thresholds give -0.40 dB on net_x4."
    )
    assert at_equal_fab(study_table([FULL, *rows(BASE), *alike[:3]])) == []


def test_a_start_that_gains_is_told_and_advised():
    constant = begun("images", CONSTANT, (30.5, 30.61, 30.69), fab=4.5)
    head, advice, *_ = thresholds.conclusion(study_table([FULL, *rows(BASE, fab=EVEN), *constant]))
    assert (
        "the same constants for all change PSNR by +0.50 dB (clearly gained; with 0.30 bits more in the mean)." in head
    )
    assert advice.endswith(f"constants do better.{LOOKED_AT}")


def test_seeds_that_a_model_lacks_are_left_out_at_equal_fab():
    """One of the models whose pictures are alike diverged at a seed; one start has more bits than any of them."""
    alike = [
        each
        for factor, name in ALIKE.items()
        for each in begun("images", name, tuple(30.0 + factor * 2 for _ in range(3 if factor else 2)), 4.0 + factor)
    ]
    far = begun("images", RANDOM, (30.0, 30.0, 30.0), 5.5)
    found = at_equal_fab(study_table([FULL, *rows(BASE, fab=EVEN), *alike, *far]))
    assert [(dealt.start, dealt.seeds) for dealt in found] == [("0", 2), ("10", 2)]


def test_each_network_is_told_on_its_own_first_set():
    other = [{**each, "backbone": "other", "dataset": "Set14"} for each in [FULL, *rows(BASE)]]
    *_, evidence = thresholds.conclusion(study_table([FULL, *rows(BASE), *other]))
    assert "net_x4 (Set5)" in evidence and "other (Set14)" in evidence


def test_a_method_that_is_not_run_is_left_out():
    kept = ("question", "variable", "level", "seed")
    later = [not_run(**{key: each[key] for key in kept}, series="images, later") for each in rows(BASE)]
    assert "later" not in " ".join(thresholds.conclusion(study_table([FULL, *rows(BASE), *later])))


def test_starts_stand_apart_in_the_figure():
    alike = begun("images", ALIKE[0], (30.0, 30.0, 30.0))
    random = begun("images", RANDOM, (29.5, 29.61, 29.69))
    drawn = thresholds.figures(study_table([FULL, *rows(BASE), *random, *alike]))[""]
    assert [tick.get_text() for tick in drawn.axes[-1].get_xticklabels()] == ["0", "10", "random"]
