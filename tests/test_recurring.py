"""One recipe on several pages: what each measured, and with which plan."""

import json

import pandas as pd

from adabm.study.pages.recurring import recurring
from adabm.study.tables.schema import study_table
from helpers.study_tables import row

OWN = {"method": "adabm-own-bits", "changes": {"tune": None}}
SIZE = [
    row(question="set_size", variable="pictures", level=level, series="plain", seed=seed, psnr_y_db=psnr, fab=fab,
        calibration_pictures=int(level))
    for level, seed, psnr, fab in (("20", 0, 30.0, 4.2), ("20", 1, 29.0, 4.0), ("5", 0, 20.0, 4.0))
]  # fmt: skip
SAMPLING = [
    row(question="sampling", variable="strategy", level=level, series="plain", psnr_y_db=psnr, fab=4.2, calibration_pictures=20)
    for level, psnr in (("random", 30.0), ("extremes", 25.0))
]  # fmt: skip
TUNED = [row(question="sampling", variable="strategy", level="random", series="tuned", psnr_y_db=31.0, seed=7)]


def shown(results, rows, **sides):
    for question, side in sides.items():
        folder = results / question
        folder.mkdir(parents=True)
        parameters = {"methods": {"plain": OWN, "tuned": {"method": "adabm-own-bits"}}, "effort": {"patch_size": side}}
        (folder / f"{question}.provenance.json").write_text(json.dumps({"parameters": parameters}))
    return recurring(results, study_table(rows))


def test_each_page_tells_its_plan_and_its_seeds(tmp_path):
    cells = shown(tmp_path, SIZE + SAMPLING + TUNED, set_size=96, sampling=48).cells
    assert list(cells["patch (pixels)"]) == ["96", "48"] and list(cells["calibration pictures"]) == ["20", "20"]
    assert list(cells["PSNR-Y (dB)"]) == ["29.50 ± 0.71", "30.00"]
    assert list(cells["by seed (FAB)"]) == ["30.00 (4.2), 29.00 (4.0)", "30.00 (4.2)"]


def test_one_page_alone_has_nothing_to_explain(tmp_path):
    assert shown(tmp_path, SIZE, set_size=96) is None


def test_without_provenance_no_plan_is_known(tmp_path):
    assert recurring(tmp_path, study_table(SIZE + SAMPLING)) is None


def test_another_network_is_no_page_of_the_same_model(tmp_path):
    other = [dict(r, backbone="another") for r in SAMPLING]
    table: pd.DataFrame = shown(tmp_path, SIZE + other, set_size=96, sampling=96)
    assert table is None
