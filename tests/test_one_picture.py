"""Below the first board: the one picture that decides how much methods lose in the mean."""

import pandas as pd
import pytest
from test_summary import row, summary

from adabm.study.pages.one_picture import one_picture_note
from adabm.study.tables.leaderboard import leaderboard

LOSSES = {"fp32": (0.0,) * 3, "minmax": (0.8, 0.7, 0.9), "adabm": (0.2, 0.1, 2.1), "omse": (0.4, 0.4, 0.4)}


@pytest.fixture
def told(tmp_path):
    """The note about these losses of pictures a, b and c, in dB, with two seeds that say the same."""

    def tell(losses=LOSSES, engines: int = 1, **elsewhere) -> str:
        rows = [
            dict(backbone="net", dataset="Set5", tile=0, method=method, seed=seed, picture=name, psnr_y_db=32.0 - lost)
            | dict(fab=3.0 if (method, name) == ("adabm", "c") else 4.0)
            | dict(setting="FP32" if method == "fp32" else "W4A4 FQ")
            | elsewhere
            for method, of in losses.items()
            for seed in (0, 1)
            for name, lost in zip("abc", of)
            if seed == 0 or method != "fp32"
        ]
        (tmp_path / "evaluation").mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(tmp_path / "evaluation" / "evaluation_pictures.csv", index=False)
        board = leaderboard(summary(*[row(method, psnr=32.0 - sum(of) / len(of)) for method, of in losses.items()]))
        return one_picture_note(pd.concat([board] * engines), tmp_path)

    return tell


def test_what_methods_lose_without_the_picture_that_weighs_most(told):
    assert told() == (
        "One of the 3 pictures weighs much: without c the losses are OMSE 0.40 instead of 0.40, "
        "AdaBM 0.15 instead of 0.80 (FAB 4.00 instead of 3.67) and MinMax 0.75 instead of 0.80 dB."
    )


def test_nothing_where_no_picture_weighs_much(told):
    assert told(LOSSES | {"adabm": (0.7, 0.8, 0.9)}) == ""
    assert told(LOSSES | {"adabm": (0.02, 0.02, 0.2)}) == ""  # hundredths of a decibel
    assert told({name: of[1:] for name, of in LOSSES.items()}) == ""  # of two each does
    assert told(LOSSES | {"adabm": (float("nan"),) * 3}) == ""  # it diverged on the pictures


def test_nothing_without_pictures_of_that_place(told, tmp_path):
    assert told(dataset="Set14") == told(tile=96) == told(setting="W2A2 FQ") == told(engines=2) == ""
    (tmp_path / "evaluation" / "evaluation_pictures.csv").unlink()
    board = leaderboard(summary(row("fp32", psnr=32.0), row("minmax", psnr=30.0)))
    assert one_picture_note(board, tmp_path) == ""
