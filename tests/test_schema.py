"""The schema of the study's tables: what it accepts, rounds, refuses and reads back; and the summary."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import TableError
from adabm.study import write_table
from adabm.study.tables.schema import KEY_COLUMNS, STUDY_COLUMNS, read_study_table, study_table
from adabm.study.tables.study_summary import SUMMARY_COLUMNS, summarize_study
from helpers.study_tables import not_run, row


def test_values_are_rounded_and_missing_ones_empty():
    table = study_table(
        [
            row(
                psnr_y_db=30.12345,
                loss_db=-0.0001,
                fab=np.float32(3.98765),
                seconds=123.456,
                peak_mib=512.34,
                ssim_y=None,
                relative_bitops=...,
            )
        ]
    )
    assert tuple(table.columns) == STUDY_COLUMNS and set(KEY_COLUMNS) < set(STUDY_COLUMNS)
    (found,) = table.to_dict("records")
    assert (found["psnr_y_db"], found["fab"], found["seconds"], found["peak_mib"]) == (30.123, 3.988, 123.5, 512.3)
    assert str(found["loss_db"]) == "0.0" and np.isnan(found["ssim_y"]) and np.isnan(found["relative_bitops"])


def test_what_is_written_is_read_again(tmp_path):
    rows = [
        row(level="020"),
        row(level="NA", seed=1),
        row(level="1e-3", seconds=0.00012345),
        not_run(level="nan", calibration_pictures=None),
    ]
    table = study_table(rows)
    write_table(table, tmp_path / "t.csv")
    again = read_study_table(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(again, table)
    assert list(again["level"]) == ["020", "NA", "1e-3", "nan"]


def test_an_empty_table_has_the_columns(tmp_path):
    write_table(study_table([]), tmp_path / "t.csv")
    assert len(read_study_table(tmp_path / "t.csv")) == 0 and len(summarize_study(study_table([]))) == 0


@pytest.mark.parametrize(
    "changes, told",
    [
        (dict(psnr=30.0), "row 2: unknown key psnr; known are"),
        (dict(level=...), "row 2: lacks the key level"),
        (dict(status=...), "row 2: lacks the key status"),
        (dict(level=20), "row 2, level: 20 (int) must be text"),
        (dict(series=""), "row 2, series: '' must be one line"),
        (dict(series="two\nlines"), "row 2, series"),
        (dict(seed=1.5), "row 2, seed: 1.5 (float) must be a whole number"),
        (dict(seed=True), "row 2, seed: True (bool)"),
        (dict(pictures=-1), "row 2, pictures: -1"),
        (dict(psnr_y_db="30"), "row 2, psnr_y_db: '30' (str) must be a number"),
        (dict(psnr_y_db=float("inf")), "row 2, psnr_y_db: is infinite"),
        (dict(fab=-1.0), "row 2, fab: -1.0 is less than 0"),
        (dict(status="done"), "row 2, status: 'done' is none of measured, not run, diverged"),
        (dict(status="diverged"), "row 2: has status 'diverged' and yet a value of psnr_y_db"),
        (dict(psnr_y_db=None, ssim_y=None, loss_db=None, fab=None), "row 2: has status 'measured' and no value"),
        (dict(seed=0), "row 2: has the same keys as row 1"),
    ],
)
def test_a_row_that_does_not_fit_is_named(changes, told):
    with pytest.raises(TableError) as caught:
        study_table([row(), dict(row(**{"seed": 1, **changes}).items())])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda text: text.replace("ssim_y,", "ssim,"), "lacks ssim_y; has unknown ssim"),
        (lambda text: text.replace("seed,sample", "sample,seed"), "wrong order"),
        (lambda text: text.replace("0.9", "high"), "row 1, ssim_y: 'high' is no number"),
        (lambda text: text.replace(",measured", ",maybe"), "row 1, status: 'maybe'"),
        (lambda text: text + text.splitlines()[1] + ",1,1,1\n", "is no CSV table"),
        (lambda text: text + "set_size,net\n", "row 2, dataset: ''"),
        (lambda text: "", "is no CSV table"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, change, told):
    path = tmp_path / "t.csv"
    write_table(study_table([row()]), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(TableError) as caught:
        read_study_table(path)
    assert str(caught.value).startswith(f"{path}: ") and told in str(caught.value)


def test_a_missing_file_and_bytes_are_named(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_study_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="no CSV table"):
        read_study_table(tmp_path / "t.csv")


def test_summary_merges_seeds():
    rows = [
        row(seed=s, psnr_y_db=p, loss_db=32 - p, fab=f) for s, p, f in ((0, 30.0, 3.8), (1, 30.2, 4.0), (2, 30.4, 4.2))
    ]
    summary = summarize_study(study_table([*rows, row(level="5"), not_run(level="5", seed=1)]))
    assert tuple(summary.columns) == SUMMARY_COLUMNS and list(summary["level"]) == ["20", "5"]
    merged, single = summary.to_dict("records")
    assert (merged["psnr_y_db"], merged["psnr_std_db"], merged["loss_db"], merged["fab"], merged["fab_std"]) == (
        30.2,
        0.2,
        1.8,
        4.0,
        0.2,
    )
    assert (merged["seeds"], merged["samples"], merged["calibration_pictures"]) == (3, 0, 20)
    assert (single["status"], single["seeds"]) == ("measured", 1) and np.isnan(single["psnr_std_db"])


def test_summary_takes_median_and_quartiles_of_all_times():
    empty = dict(psnr_y_db=None, ssim_y=None, loss_db=None, fab=None)
    times = [
        (seed, sample, seconds)
        for seed, of_seed in enumerate(((1.0, 2.0), (3.0, 4.0, 10.0)))
        for sample, seconds in enumerate(of_seed)
    ]
    (found,) = summarize_study(
        study_table([row(seed=a, sample=b, seconds=c, peak_mib=100 + c, **empty) for a, b, c in times])
    ).to_dict("records")
    assert (found["seconds_median"], found["seconds_iqr"], found["peak_mib"], found["samples"], found["seeds"]) == (
        3.0,
        2.0,
        110.0,
        5,
        2,
    )
    assert np.isnan(found["psnr_y_db"])


def test_repetitions_do_not_outweigh_seeds():
    rows = [row(seed=0, psnr_y_db=30.0), *(row(seed=1, sample=s, psnr_y_db=31.0) for s in range(3))]
    (found,) = summarize_study(study_table(rows)).to_dict("records")
    assert found["psnr_y_db"] == 30.5


@pytest.mark.parametrize(
    "statuses, expected",
    [
        (("not run", "diverged"), "diverged"),
        (("not run", "not run"), "not run"),
        (("diverged", "measured"), "measured"),
    ],
)
def test_summary_tells_the_best_status(statuses, expected):
    rows = [
        row(seed=s) if status == "measured" else {**not_run(seed=s), "status": status}
        for s, status in enumerate(statuses)
    ]
    assert list(summarize_study(study_table(rows))["status"]) == [expected]
