"""The leaderboard: order, times of the right recipe, and the sentence that the report opens with."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from test_summary import row, summary

from adabm.study import write_table
from adabm.study.pages.board_notes import amounts_note, own_bits_note, seconds_note, timed_pictures
from adabm.study.pages.front import advice
from adabm.study.pages.leaderboard import plot_loss_bits, plot_loss_seconds
from adabm.study.tables.leaderboard import best, first_board, leaderboard, readable_board
from adabm.study.tables.schema import study_table
from adabm.study.tables.times import parts, patches_of, steps_of, told_amounts, told_seconds
from adabm.study.tables.verdict import recommended, verdict
from helpers.study_tables import row as timed


@pytest.fixture
def measured() -> pd.DataFrame:
    return summary(
        row("fp32", psnr=32.0),
        row("minmax", psnr=30.0),
        row("adabm", psnr=31.0),
        row("adabm", psnr=31.2, seed=1),
        row("omse", psnr=31.5),
        row("minmax", "W8A8 FQ", psnr=31.9),
        row("omse", "W8A8 FQ", psnr=31.8),
        row("percentile"),
    )


@pytest.fixture
def timing() -> pd.DataFrame:
    shared = dict(question="timing", backbone="net", series="whole recipe", variable="recipe")
    seconds = {("omse", "W4A4 FQ"): (2.0, 4.0, 3.0), ("adabm", "W4A4 FQ"): (50.0,), ("minmax", "W2A2 FQ"): (1.0,)}
    return pd.DataFrame(
        timed(**shared, level=name, setting=setting, seconds=s)
        for (name, setting), samples in seconds.items()
        for s in samples
    )


def test_one_recipe_alone_is_neither_best_nor_advised():
    board = leaderboard(summary(row("fp32", psnr=32.0), row("minmax", psnr=30.0)))
    told = "On net at W4A4 FQ, Set5, MinMax loses 2.00 dB at FAB 4.00; no other recipe was measured there, so that nothing was compared."
    assert verdict(board) == told


def test_what_the_seeds_cannot_tell_from_the_first_is_named():
    rows = [row("fp32", psnr=32.0), row("minmax", psnr=30.0)]
    for seed, (omse, adabm) in enumerate(((31.5, 31.4), (31.7, 31.6), (31.6, 31.5))):
        rows += [row("omse", psnr=omse, seed=seed), row("adabm", psnr=adabm, seed=seed)]
    told = verdict(leaderboard(summary(*rows)))
    assert "; the seeds cannot tell it from AdaBM (0.50 dB at FAB 4.10). Use" in told and told.count("AdaBM") == 1
    low = leaderboard(summary(*rows))
    low.loc[low["method"] == "adabm", ["fab", "code_bits"]] = 3.7
    assert "(0.50 dB at FAB 3.70, its bit loss undershoots: page of the bit loss). Use" in verdict(low)
    apart = [row("omse", psnr=31.9 + seed / 100, seed=seed + 3) for seed in range(3)]
    assert "cannot tell" not in verdict(
        leaderboard(summary(*rows[:2], *[r for r in rows[2:] if r["method"] != "omse"], *apart))
    )


def test_of_what_the_seeds_cannot_tell_apart_the_quickest_is_advised(timing):
    rows = [row("fp32", psnr=32.0)]
    for seed, (omse, minmax) in enumerate(((31.5, 31.4), (31.7, 31.6), (31.6, 31.5))):
        rows += [row("omse", psnr=omse, seed=seed), row("minmax", psnr=minmax, seed=seed)]
    quick = timing[timing["level"] == "omse"].assign(level="minmax", seconds=1.5)
    text = verdict(leaderboard(summary(*rows), pd.concat([timing, quick])))
    assert text.endswith(" Use MinMax; OMSE takes 2.0 times as long, and the seeds do not tell a gain.")
    slow = quick.assign(seconds=9.0)
    assert verdict(leaderboard(summary(*rows), pd.concat([timing, slow]))).endswith(" Use OMSE, the quicker.")


def test_the_least_loss_comes_first_in_each_setting_and_full_precision_is_no_rival(measured, timing):
    board = leaderboard(measured, timing)
    assert list(zip(board["setting"], board["method"])) == [
        ("W4A4 FQ", "omse"),
        ("W4A4 FQ", "adabm"),
        ("W4A4 FQ", "minmax"),
        ("W8A8 FQ", "minmax"),
        ("W8A8 FQ", "omse"),
    ]


def test_times_are_medians_of_the_same_network_setting_and_recipe(measured, timing):
    board = leaderboard(measured, timing).set_index(["setting", "method"])["seconds"]
    assert board["W4A4 FQ", "omse"] == 3.0 and math.isnan(board["W4A4 FQ", "adabm"]), "the latter fine-tunes"
    assert math.isnan(board["W4A4 FQ", "minmax"]) and math.isnan(board["W8A8 FQ", "omse"])
    assert leaderboard(measured, timing.assign(backbone="other"))["seconds"].isna().all()


def test_the_sentence_names_the_best_and_the_released_recipe(measured, timing):
    text = verdict(leaderboard(measured, timing))
    assert text == (
        "On net at W4A4 FQ, Set5, OMSE loses least: 0.50 dB at FAB 4.00; AdaBM loses 0.90 dB at FAB 4.05. Use OMSE."
    )
    low = leaderboard(measured, timing)
    low.loc[low["method"] == "adabm", "fab"] = 3.7
    assert "AdaBM loses 0.90 dB at FAB 3.70 (its bit loss undershoots: page of the bit loss). Use" in verdict(low)
    low.loc[low["method"] == "adabm", "fab"] = 3.95
    assert "undershoots" not in verdict(low), "which rounding of a few layers' bits may do too"


def test_a_recipe_that_spends_more_codes_is_told_behind_the_best(measured):
    board = leaderboard(measured)
    board.loc[board["method"] == "omse", "code_bits"] += 1
    assert verdict(board) == (
        "On net at W4A4 FQ, Set5, AdaBM loses least: 0.90 dB at FAB 4.05; OMSE loses 0.50 dB, with codes of 5.00 bits. Use AdaBM."
    )


def test_the_table_shows_the_first_setting_alone(measured, timing):
    board = leaderboard(measured, timing)
    shown = readable_board(board)
    assert len(first_board(board)) == len(shown.cells) == 3 and shown.shared == "net, W4A4 FQ, Set5."
    assert list(shown.cells["loss (dB)"]) == ["0.50", "0.90 ± 0.14", "2.00"]
    assert list(shown.cells["time to quantize (s, measured)"]) == ["3.0", "", ""]
    assert "time to quantize (s, measured)" not in readable_board(leaderboard(measured)).cells


def test_figures_show_what_there_is(measured, timing):
    board = leaderboard(measured, timing)
    points = [line.get_xydata()[0].tolist() for line in plot_loss_seconds(board).axes[0].lines]
    assert points == [[3.0, 0.5]]
    assert plot_loss_seconds(leaderboard(measured)) is None
    lines = plot_loss_bits(board).axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [2, 2]
    assert plot_loss_bits(leaderboard(measured[measured["setting"] != "W8A8 FQ"])) is None


def test_of_recipes_that_lose_as_little_the_one_that_integers_run_is_first():
    rows = [row("fp32", psnr=32.0), row("gba-dan", psnr=31.872), row("omse", psnr=31.871), row("minmax", psnr=31.0)]
    board = leaderboard(summary(*rows))
    assert best(board)["method"] == "omse" and board["method"].iloc[0] == "gba-dan"
    assert "OMSE loses least: 0.13 dB at FAB 4.00; one seed cannot tell it from GBA + DAN (0.13 dB)." in verdict(board)
    assert best(leaderboard(summary(rows[0], rows[1], rows[3])))["method"] == "gba-dan"


# -- times put together from parts -----------------------------------------------------------------


@pytest.fixture
def parted(timing) -> pd.DataFrame:
    """With the parts of AdaBM: 4 s of calibration, 1 s of clipping, 2 s a step."""
    shared = dict(question="timing", backbone="net", setting="W4A4 FQ", dataset="patches of 8x8")
    seconds = {
        ("calibration", "5"): 1.0,
        ("calibration", "20"): 4.0,
        ("fine-tuning", "1"): 2.0,
        ("fine-tuning", "10"): 20.0,
        ("quantize", "clipping"): 1.0,
    }
    rows = [timed(**shared, series=series, level=level, seconds=s) for (series, level), s in seconds.items()]
    return pd.concat([timing.assign(dataset="patches of 8x8"), pd.DataFrame(rows)], ignore_index=True)


def test_the_time_of_what_fine_tunes_is_put_together_from_its_parts_and_told_apart(measured, parted):
    board = leaderboard(measured, parted, {"adabm": 100})
    row = board.set_index(["setting", "method"]).loc[("W4A4 FQ", "adabm")]
    assert row["seconds"] == pytest.approx(4 + 1 + 100 * 2) and row["seconds_from"] == "parts"
    assert list(board["seconds_from"]) == ["whole", "parts", "", "", ""]
    shown = readable_board(board, "From parts.")
    assert list(shown.cells["time to quantize (s, measured)"]) == ["3.0", "≈ 205", ""]
    assert shown.markdown().endswith("|\n\nFrom parts.\n")
    costs = dict(advice(board, study_table([]), {"adabm": 100}, "losses are another's"))["What it costs"]
    assert costs.startswith(
        "Seconds to quantize, on one thread: OMSE 3.0 and AdaBM about 205 (100 steps, put together from its measured parts); losses are "
        "another's. OMSE: the weights take "
    )
    untimed = dict(advice(leaderboard(measured, parted), study_table([])))["What it costs"]
    assert untimed.startswith("Seconds to quantize, on one thread: OMSE 3.0. ") and untimed.endswith(
        " AdaBM was not timed."
    )
    assert "Seconds" not in dict(advice(leaderboard(measured), study_table([])))["What it costs"]
    open_, filled = (plot_loss_seconds(board).axes[0].lines[place] for place in (1, 0))
    assert open_.get_markerfacecolor() == "white" != filled.get_markerfacecolor()


@pytest.mark.parametrize("missing", ["calibration", "fine-tuning", "quantize"])
def test_no_time_is_put_together_where_a_part_or_the_steps_are_missing(measured, parted, missing):
    for timing, steps in ((parted[parted["series"] != missing], {"adabm": 100}), (parted, None)):
        assert leaderboard(measured, timing, steps).set_index("method").loc["adabm", "seconds_from"] == ""


def test_the_steps_are_those_of_the_evaluation():
    part = dict(backbone="weights/net.safetensors", settings=["W4A4 FQ"], methods=["adabm", "minmax"])
    plan = dict(plan=[part], effort=dict(rounds=10, steps_per_round=50))
    assert steps_of(plan, "net", "W4A4 FQ", "adabm") == 500
    assert steps_of(plan, "net", "W8A6", "adabm") is None and steps_of(plan, "net", "W4A4 FQ", "fast") is None
    assert steps_of(dict(plan, plan=[part | dict(rounds=2)]), "net", "W4A4 FQ", "adabm") == 100
    assert steps_of(dict(plan, plan=[part, part | dict(rounds=2)]), "net", "W4A4 FQ", "adabm") is None, "not alike"
    assert steps_of({}, "net", "W4A4 FQ", "adabm") is None


def test_where_seconds_come_from(parted, timing):
    assert told_seconds(parted, {"cpu": "A processor"}, {"adabm": 100}) == (
        "Seconds are medians of one measurement on one thread, all timed in turn on one machine (A processor), with 20 "
        "calibration pictures and patches of 8x8. Those of AdaBM (≈) are put together from parts measured there: 4.0 s of "
        "calibration, 1.0 s of clipping, and 100 steps of about 2.00 s, extrapolated along a straight line fitted to 0, 1 and 10 steps. "
        "Where there are none, the recipe was not timed."
    )
    assert "put together" not in told_seconds(timing, {}, {})
    assert told_seconds(parted[parted["series"] != "whole recipe"], {}, {}) == ""


def test_losses_and_seconds_of_other_numbers_of_patches_are_told_apart(parted):
    told = told_seconds(parted, {}, {"adabm": 100}, (100, 8))
    assert " Losses are of models from 100 patches of 8x8, none of which was timed. " in told
    assert "4.0 s of calibration (with 100 pictures about 16 s more), 1.0 s of clipping" in told
    assert told_amounts(parted, (100, 8)) == "losses are of models from 100 patches, seconds with 20 pictures"
    assert "Losses" not in told_seconds(parted, {}, {"adabm": 100}, (20, 8)) and told_amounts(parted, (20, 8)) == ""
    assert told_amounts(parted, None) == told_amounts(parted[parted["series"] != "calibration"], (100, 8)) == ""
    larger = told_seconds(parted, {}, {"adabm": 100}, (20, 16))
    assert "from 20 patches of 16x16, none of which was timed" in larger and "more)" not in larger
    one_size = parted[~((parted["series"] == "calibration") & (parted["level"] == "5"))]
    assert "more)" not in told_seconds(one_size, {}, {"adabm": 100}, (100, 8)), "what one more takes is not known"
    assert parts(one_size).whole(10, 100) is None and parts(one_size).whole(10) == parts(parted).whole(10, 20) == 25


def test_the_patches_are_those_of_the_evaluation():
    part = dict(backbone="weights/net.safetensors", settings=["W4A4 FQ"], methods=["adabm"])
    plan = dict(plan=[part, part | dict(methods=[], patches=3)], effort=dict(patches=100, patch_size=96))
    assert patches_of(plan, "net", "W4A4 FQ") == (100, 96), "a part without methods makes no model"
    assert patches_of(plan, "net", "W8A6") is None and patches_of({}, "net", "W4A4 FQ") is None
    assert patches_of(dict(plan, plan=[part, part | dict(patches=50)]), "net", "W4A4 FQ") is None, "not alike"


def write_times(timing: pd.DataFrame, results: Path) -> None:
    rows = timing.assign(sample=range(len(timing))).to_dict("records")
    write_table(study_table(rows), results / "timing" / "timing.csv")


def test_the_notes_read_times_and_plans_from_the_results(tmp_path, parted):
    assert seconds_note(tmp_path) == amounts_note(tmp_path) == "" and timed_pictures(tmp_path) is None
    for name in ("timing", "evaluation"):
        (tmp_path / name).mkdir()
    write_times(parted, tmp_path)
    record = {"parameters": {"preset": "adabm", "effort": {"patch_size": 8}}}
    (tmp_path / "timing" / "timing.provenance.json").write_text(json.dumps(record))
    assert timed_pictures(tmp_path) == 20 and amounts_note(tmp_path) == "", "no plan of the evaluation"
    part = dict(backbone="net", settings=["W4A4 FQ"], methods=["adabm"])
    plan = dict(plan=[part], effort=dict(patches=50, patch_size=8, rounds=2, steps_per_round=5))
    path = tmp_path / "evaluation" / "evaluation_summary.provenance.json"
    path.write_text(json.dumps({"parameters": plan}))
    assert amounts_note(tmp_path) == "losses are of models from 50 patches, seconds with 20 pictures"
    assert "(with 50 pictures about 6 s more)" in seconds_note(
        tmp_path
    ) and "and 10 steps of about 2.00 s" in seconds_note(tmp_path)


# -- AdaBM at own bits, which the leaderboard does not have ----------------------------------------


def test_adabm_at_own_bits_is_told_where_a_question_measured_it_at_the_same_place(tmp_path, measured):
    name = "AdaBM at own bits, 15 steps"
    shared = dict(backbone="net", series=name)
    rows = [timed(**shared, level="100", loss_db=0.5 + seed / 10, fab=4.2, seed=seed) for seed in range(3)]
    rows += [timed(**shared, level="20", loss_db=5.0), timed(**shared, level="100", dataset="Set14", loss_db=9.0)]
    study, board = (
        study_table([*rows, timed(backbone="net", level="100", series="another", loss_db=7.0)]),
        leaderboard(measured),
    )
    assert own_bits_note(board, study, tmp_path) == "", "which series it is, provenance tells"
    (tmp_path / "set_size").mkdir()
    record = {"parameters": {"methods": {name: {"method": "adabm-own-bits"}, "another": {"method": "adabm"}}}}
    (tmp_path / "set_size" / "set_size.provenance.json").write_text(json.dumps(record))
    untimed = "with 100 calibration pictures, AdaBM at own bits, 15 steps, loses 0.60 ± 0.10 dB at FAB 4.20 (3 seeds)."
    assert own_bits_note(board, study, tmp_path).endswith(untimed)
    assert own_bits_note(board.assign(dataset="Urban100"), study, tmp_path) == ""
    assert own_bits_note(board.assign(method="adabm-own-bits"), study, tmp_path) == "", "it is a row"


def test_the_time_of_adabm_at_own_bits_is_put_together_from_the_parts_that_were_timed(tmp_path, measured, parted):
    for name in ("set_size", "timing"):
        (tmp_path / name).mkdir()
    changes = {"tuned": {"tune.rounds": 3, "tune.steps_per_round": 5}, "plain": {"tune": None}}
    methods = {name: {"method": "adabm-own-bits", "changes": of} for name, of in changes.items()}
    study = study_table([timed(backbone="net", level="100", series=name, loss_db=0.5, fab=4.2) for name in methods])
    write_times(parted, tmp_path)

    def told(side: int, timed_side: int = 8) -> str:
        effort = {"patch_size": side, "patches": None, "rounds": 2, "steps_per_round": 7}
        records = {"set_size": {"methods": methods, "effort": effort}, "timing": {"effort": {"patch_size": timed_side}}}
        for name, record in records.items():
            (tmp_path / name / f"{name}.provenance.json").write_text(json.dumps({"parameters": record}))
        return own_bits_note(leaderboard(measured), study, tmp_path)

    # 4 s of calibration on 20 pictures, 0.2 s for each of 80 more, 1 s of clipping, 2 s a step
    assert told(8).endswith(
        "tuned, loses 0.50 dB at FAB 4.20 (1 seed), in ≈ 51 s (≈ 35 s with 20) and plain, loses 0.50 dB at FAB 4.20 (1 seed), in ≈ 21 s "
        "(≈ 5 s with 20). Times are put together from the parts of AdaBM that were timed."
    )
    assert "≈" not in told(16) and "put together" not in told(16), "other patches take another time"


# -- where the best is worth its time --------------------------------------------------------------


def compared(setting: str, backbone: str, best_psnr: float, quick_psnr: float, seeds: int = 3) -> list[dict]:
    """OMSE, which takes 3 s, and MinMax, which takes 1 s, with seeds 0.02 dB apart."""
    rows = [row("fp32", psnr=32.0, backbone=backbone)]
    for seed in range(seeds):
        off = 0.02 * (seed - 1)
        for method, psnr in (("omse", best_psnr), ("minmax", quick_psnr)):
            rows.append(row(method, setting, psnr + off, backbone=backbone, seed=seed))
    return rows


def used(timing: pd.DataFrame, *rows: list[dict]) -> str:
    quick = timing[timing["level"] == "omse"].assign(level="minmax", seconds=1.0)
    board = leaderboard(summary(*[r for some in rows for r in some]), pd.concat([timing, quick]))
    assert recommended(board)["method"] == "minmax"
    return verdict(board).partition(" Use ")[2]


def test_settings_and_networks_where_the_seeds_tell_a_gain_are_named(timing):
    here = compared("W4A4 FQ", "net", 31.5, 31.49)
    assert used(timing, here) == "MinMax; OMSE takes 3.0 times as long, and the seeds do not tell a gain."
    three, wide = compared("W3A3 FQ", "net", 31.0, 30.8), compared("W3A3 FQ", "wide", 31.0, 30.5)
    assert used(timing, here, three, wide, compared("W4A4 FQ", "wide", 31.5, 31.1)) == (
        "MinMax; OMSE takes 3.0 times as long and gains 0.20 to 0.50 dB on Set5 where the seeds tell it: at W3A3 FQ on net and wide, at W4A4 FQ on "
        "wide."
    )
    one_seed = compared("W3A3 FQ", "net", 31.0, 30.0, seeds=1)
    assert used(timing, here, one_seed).endswith(
        "tell a gain; with one seed it gains 1.00 dB on Set5 at W3A3 FQ on net."
    )
    assert "gains" not in used(timing, here, compared("W3A3 FQ", "net", 30.0, 31.0)), "a loss is none"


def test_one_seed_tells_no_lead_of_a_twentieth_of_a_decibel_and_the_quicker_is_advised(timing):
    here, alike = compared("W4A4 FQ", "net", 31.5, 31.46, 1), compared("W3A3 FQ", "net", 31.0, 31.0, 1)
    assert used(timing, here, alike) == (
        "MinMax; OMSE takes 3.0 times as long, and one seed does not tell a gain; it equals MinMax at W3A3 FQ on net."
    )
    clear = leaderboard(summary(*compared("W4A4 FQ", "net", 31.5, 31.4, 1)), timing)
    assert recommended(clear)["method"] == "omse" and "cannot tell" not in verdict(clear)


def test_the_default_recipe_is_drawn_even_where_others_lose_less():
    place = dict(backbone="net", dataset="Set5", tile=0)
    rows = [
        place | dict(setting=f"W{bits}A{bits} FQ", method=method, label=method, loss_db=loss, fab=float(bits))
        for bits in (4, 3)
        for method, loss in (("gptq", 0.1), ("best", 0.2), ("qdrop", 0.3), ("fast", 0.4), ("minmax", 2.0))
    ]
    axis = plot_loss_bits(pd.DataFrame(rows)).axes[0]
    assert len(axis.lines) == 4 and {"Fast", "Best", "MinMax", "MSE + GPTQ"} == {text.get_text() for text in axis.texts}
