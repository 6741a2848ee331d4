"""Answers of tables with hardly anything to compare: runs of no step, misses to either side, seeds that diverged apart."""

import pandas as pd
import pytest

from adabm.errors import StudyError
from adabm.study.answers import bit_loss, bit_loss_advice, pool, stopping, thresholds
from adabm.study.answers.bit_loss_measures import CALIBRATION
from adabm.study.answers.bit_loss_methods import MULTIPLIER, RELEASED, loss_of
from adabm.study.tables.schema import study_table
from helpers.study_tables import row


def test_runs_that_diverged_at_once_save_no_steps():
    looks = dict(
        round=0, step=0, group="", training=float("nan"), held_out=3.0, to_fp_db=35.0, truth_fp_db=33.0, fab=4.0
    )
    of = dict(backbone="net", dataset="Set5", setting="W4A4 FQ", series="the released weight ranges", method="adabm")
    traces = pd.DataFrame(
        of | looks | dict(seed=seed, truth_db=28.0 + seed, diverged=True, pictures=10) for seed in (0, 1)
    )
    told, _, advice, *_ = stopping.conclusion(traces, 3)
    assert "saves 0% of the steps in 2 runs" in told and "The loss never falls." in told
    assert "the kept state is step 0 with every seed" in advice and "nan%" not in told + advice


# -- the bit loss ----------------------------------------------------------------------------------


def ending(**off: tuple) -> pd.DataFrame:
    """Where runs end on the calibration pictures, by how many bits they miss four."""
    methods = dict(light=loss_of(5), released=RELEASED, multiplier=MULTIPLIER)
    return pd.DataFrame(
        dict(method=methods[name], target=4.0, where=CALIBRATION, fab=4.0 + missed, backbone="net", seed=seed)
        for name, of in off.items()
        for seed, missed in enumerate(of)
    )


def test_misses_to_either_side_do_not_cancel():
    bits = ending(light=(-0.5, 0.5), released=(-0.1, -0.2), multiplier=(-0.3, 0.3))
    assert bit_loss_advice.nearest_weight(bits) == RELEASED
    assert bit_loss._verdict(bits, "4 bits").endswith("misses by 0.30.")


# -- seeds that diverged apart ----------------------------------------------------------------------


def test_a_pool_without_a_seed_of_photographs_alone_is_not_compared():
    of = lambda level, seeds, psnr: [
        row(question="pool", variable="pool", level=level, seed=seed, psnr_y_db=psnr + seed / 10) for seed in seeds
    ]
    rows = [*of("photographs", [0], 30.0), *of("noise", [1], 28.0), *of("text", [0], 29.0)]
    told = pool.conclusion(study_table(rows), 0.25)
    assert "loses at worst 1.00 dB with outliers (text on net_x4)" in told[1] and "noise" not in " ".join(told)


def swept(level: str, seeds: list[int], psnr: float, name: str = "plain", variable: str = "percentile") -> list[dict]:
    series = f"images, {name}"
    return [
        row(
            question="thresholds", variable=variable, level=level, series=series, seed=seed, psnr_y_db=psnr + seed / 100
        )
        for seed in seeds
    ]


def test_percentiles_and_starts_without_a_common_seed_are_not_compared():
    rows = [*swept("0", [0, 1, 2], 30.0), *swept("10", [0, 1], 30.2), *swept("random", [2], 20.0, variable="start")]
    rows += [*swept("20", [2], 35.0), *swept("30", [0], 31.0), *swept("45", [1], 28.0)]
    told, _, evidence = thresholds.conclusion(study_table(rows))
    assert told.startswith("**It matters for images (0 loses 0.20 dB against the released 10).**")
    assert "the best, 30" in evidence and "the worst but 0, 45" in evidence and "random" not in told + evidence
    apart = [*swept("0", [0], 30.0), *swept("10", [1], 30.2)]
    with pytest.raises(StudyError, match="no method has both the released start and percentile 0"):
        thresholds.conclusion(study_table(apart))


def test_methods_without_a_common_seed_are_not_compared_at_the_released_start():
    first = [*swept("0", [0, 1], 30.0), *swept("10", [0, 1], 30.2)]
    same, other = (
        thresholds.conclusion(
            study_table([*first, *swept("0", seeds, 31.0, "tuned"), *swept("10", seeds, 31.1, "tuned")])
        )[0]
        for seeds in ([0, 1], [2])
    )
    assert "less in every case; at the released start it changes PSNR by +0.90 dB." in same
    assert other.endswith("less in every case.") and 'With the method "tuned" the same starts span 0.10 dB' in other
