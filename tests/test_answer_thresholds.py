"""Where the first thresholds lie: which models are compared, and the sentences about tables whose answer is known."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from adabm.errors import ConfigError
from adabm.study.answers import thresholds
from adabm.study.tables.schema import study_table
from helpers.study_tables import row

METHODS = {"untuned": {"method": "adabm-own-bits", "changes": {"tune": None}, "seeds": [0, 1]}}
BENCH = SimpleNamespace(choose=lambda strategy, count, run: (Path("picture.png"),) * count)


def test_one_percentile_moves_and_the_other_stays():
    found = thresholds.trials(BENCH, "W4A4 FQ", [20], 3, METHODS)
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


def test_a_method_may_have_percentiles_of_its_own_but_no_other_key():
    own = {"a": {**METHODS["untuned"], "percentiles": [45]}}
    assert "45" in {t.level for t in thresholds.trials(BENCH, "W4A4 FQ", [20], 3, own)}
    with pytest.raises(ConfigError, match="levels"):
        thresholds.trials(BENCH, "W4A4 FQ", [20], 3, {"a": {**METHODS["untuned"], "levels": [45]}})


def test_the_released_percentile_is_compared_with_the_best_and_with_none():
    full = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    psnr = {"0": 29.0, "10": 29.5, "20": 30.0}
    rows = [
        row(series="images, untuned", variable="percentile", level=level, seed=seed, psnr_y_db=value + seed / 10, fab=4 + int(level) / 100)
        for level, value in psnr.items()
        for seed in (0, 1)
    ]  # fmt: skip
    (told,) = thresholds.conclusion(study_table([full, *rows]))
    assert told.startswith(
        "**Thresholds of images**, untuned, on Set5: the released percentile 10 has 29.55 dB at FAB 4.10, -0.50 dB"
    )
    assert "against the best, 20 (4.20 bits), and +0.50 dB" in told and "against the extremes, 0 (FAB 4.00)" in told
    assert told.endswith("PSNR spans 1.00 dB and FAB 4.00 to 4.20.")


def test_what_changes_nothing_is_called_the_same():
    full = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    rows = [
        row(series="images, untuned", variable="percentile", level=level, seed=seed, psnr_y_db=30.0, fab=4.2)
        for level in ("0", "10")
        for seed in (0, 1)
    ]
    (told,) = thresholds.conclusion(study_table([full, *rows]))
    assert "which is the best, and the same as the extremes, 0 (FAB 4.20)" in told
