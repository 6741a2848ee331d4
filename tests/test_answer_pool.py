"""What the pool holds: outliers made by code, the pictures of each pool, and conclusions whose answer is known."""

import numpy as np
import pytest
from PIL import Image

from adabm.errors import ConfigError
from adabm.pictures.reading import read_rgb
from adabm.study import Run
from adabm.study.answers import pool
from adabm.study.answers.pool_outliers import OUTLIERS
from adabm.study.tables.schema import study_table
from helpers.probed import probed
from helpers.study_tables import row

PHOTOGRAPH = np.full((40, 48, 3), 120, dtype=np.uint8)
METHODS = {"AdaBM": {"method": "adabm", "changes": {"tune": None}, "seeds": [0]}}


@pytest.mark.parametrize("kind", OUTLIERS)
def test_outliers_have_the_size_of_the_photograph_and_come_from_the_seed_alone(kind):
    one, same, other = (OUTLIERS[kind](PHOTOGRAPH, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == PHOTOGRAPH.shape and one.dtype == np.uint8
    assert (one == same).all() and (one != other).any() and one.std() > 0


def test_text_is_black_on_white_and_night_is_dark():
    rng = np.random.default_rng(0)
    assert OUTLIERS["text"](PHOTOGRAPH, rng).max() == 255 and OUTLIERS["text"](PHOTOGRAPH, rng).min() < 50
    assert OUTLIERS["night"](PHOTOGRAPH, rng).mean() < 10


def table(losses: dict[str, float], seeds=(0, 1, 2), jitter=0.0):
    full = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    rows = [
        row(series=series, variable="pool", level=level, seed=seed, psnr_y_db=30 - loss + seed / 5 + jitter * seed * (level != pool.CLEAN))
        for series in ("AdaBM", "Fast")
        for level, loss in {pool.CLEAN: 0.0, **losses}.items()
        for seed in seeds
    ]  # fmt: skip
    return study_table(
        [full, *(r | ({"psnr_y_db": 30.0 + r["seed"] / 5} if r["series"] == "Fast" else {}) for r in rows)]
    )


def test_losses_are_paired_by_seed():
    found = pool.losses(table({"noise": 2.0, "text": -0.5})).set_index(["series", "pool"])
    assert found.loc[("AdaBM", "noise"), "loss"] == pytest.approx(2)
    assert found.loc[("AdaBM", "noise"), "spread"] == pytest.approx(0, abs=1e-9)
    assert found.loc[("AdaBM", "text"), "loss"] == pytest.approx(-0.5)
    assert found.loc[("AdaBM", pool.CLEAN), "std"] == pytest.approx(0.2)


def test_what_hurts_is_named_worst_first_and_what_bears_it_too():
    told = pool.conclusion(table({"text": 0.5, "noise": 2.0}), 0.25)
    assert "AdaBM is hurt by noise (2.00 dB) and text (0.50 dB); Fast by none." in told[0]
    assert "AdaBM has 30.20 dB at FAB 3.90 (standard deviation over 3 seeds 0.20)" in told[0]
    assert "noise +2.00 dB (spread 0.00" in told[1] and told[2].startswith("Outliers are 25%")


@pytest.mark.parametrize("losses, jitter", [({"noise": 0.05}, 0), ({"noise": 0.3}, 1), ({"noise": -1.0}, 0)])
def test_little_spread_and_gain_are_no_harm(losses, jitter):
    assert "hardly matters" in pool.conclusion(table(losses, jitter=jitter), 0.25)[0]


def test_the_figure_has_a_panel_a_method():
    assert [axis.get_title() for axis in pool.figures(table({"noise": 1.0}))[""].axes] == ["AdaBM", "Fast"]


def test_a_tiny_study(tmp_path):
    _, bench = probed(tmp_path)
    run, folder = Run.at("adabm", "W4A4 FQ", 0, {"tune": None}), tmp_path / "outliers"
    folder.mkdir()
    clean = pool.calibration(bench, run, pool.CLEAN, 2, 0.5, folder)
    mixed = pool.calibration(bench, run, "noise", 2, 0.5, folder)
    assert mixed[1:] == clean[1:] and read_rgb(mixed[0]).shape == read_rgb(clean[0]).shape
    assert len(pool.calibration(bench, run, pool.FOREIGN, 2, 0.5, folder)) == 2 and len(list(folder.iterdir())) == 3
    assert Image.open(mixed[0]).format == "PNG"
    found = pool.measure(bench, "W4A4 FQ", ["noise"], METHODS, 2, 0.5, 12, 2, folder)
    assert list(found["level"]) == ["none", pool.CLEAN, "noise"] and found["psnr_y_db"].notna().all()
    with pytest.raises(ConfigError, match="nois"):
        pool.measure(bench, "W4A4 FQ", ["nois"], METHODS, 2, 0.5, 12, 2, folder)
