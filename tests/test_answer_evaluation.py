"""The main results: pictures and conclusion of tables whose answer is known."""

import pandas as pd
from test_summary import PUBLISHED, SAME_AS, row, summary

from adabm.study import with_published
from adabm.study.answers import evaluation


def test_least_and_most_loss_and_adabm_beside_the_published_one():
    table = with_published(
        summary(
            row("fp32", psnr=32.0), row("adabm", psnr=31.5), row("adabm", psnr=31.3, seed=1), row("minmax", psnr=30.0), row("omse")
        ),
        PUBLISHED,
        SAME_AS,
    )  # fmt: skip
    assert evaluation.conclusion(table) == [
        "**net** on Set5, W4A4 FQ: least loss 0.60 dB (adabm), most 2.00 dB (minmax). "
        "AdaBM loses 0.60 dB ± 0.14 over 2 seeds, FAB 4.05; published 1.08 dB."
    ]


def test_patches_are_told_and_one_seed_without_a_published_number():
    table = with_published(
        summary(row("fp32", psnr=32.0, tile=96), row("adabm", psnr=31.5, tile=96)), PUBLISHED, SAME_AS
    )
    assert evaluation.conclusion(table) == [
        "**net** on Set5 in 96px patches, W4A4 FQ: least loss 0.50 dB (adabm), most 0.50 dB (adabm). "
        "AdaBM loses 0.50 dB, one seed, FAB 4.00."
    ]
    assert evaluation.conclusion(with_published(summary(row("fp32", psnr=32.0), row("adabm")), PUBLISHED, {})) == []


def pictures() -> pd.DataFrame:
    place = dict(backbone="net", tile=0)
    psnr = {
        ("FP32", "fp32", "a"): 32.0,
        ("FP32", "fp32", "b"): 30.0,
        ("W4A4 FQ", "adabm", "a"): 31.0,
        ("W4A4 FQ", "adabm", "b"): 29.5,
    }
    rows = [
        dict(place, dataset=d, setting=s, method=m, picture=p, psnr_y_db=value + seed, fab=4.0 + seed)
        for d in ("Set5", "Set14") for seed in (0, 1) for (s, m, p), value in psnr.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_single_pictures_are_of_the_first_set():
    first = evaluation.first_place(pictures())
    assert set(first["dataset"]) == {"Set5"} and len(first) == 8
    losses = evaluation.losses_by_picture(first)
    assert losses.loc[("W4A4 FQ", "adabm")].to_dict() == {"a": 1.0, "b": 0.5} and len(losses) == 1
    assert evaluation.bits_by_picture(first).loc[("W4A4 FQ", "adabm")].to_dict() == {"a": 4.5, "b": 4.5}
