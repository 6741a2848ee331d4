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
    head, published, advice, evidence = evaluation.conclusion(table)
    assert head == "**On net at W4A4 FQ, Set5, AdaBM loses least, 0.60 ± 0.14 dB.**"
    assert advice == "*In practice:* quantize with AdaBM."
    assert published.startswith("AdaBM's loss is below the published one in 1 of 1 cases")
    (cells,) = evidence.splitlines()[2:]
    assert [cell.strip() for cell in cells.split("|")[1:-1]] == [
        "net", "Set5", "W4A4 FQ", "2", "0.60 (AdaBM)", "2.00 (MinMax)", "0.60 ± 0.14", "2", "4.05", "1.08"
    ]  # fmt: skip


def test_a_method_alone_is_compared_with_nothing():
    rows = [row("fp32", psnr=32.0, backbone="first"), row("minmax", psnr=31.5, backbone="first")]
    head, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert (
        head
        == "**On first at W4A4 FQ, Set5, MinMax loses 0.50 dB; no other method was measured beside it, so that nothing was compared.**"
    )
    assert advice == "*In practice:* measure several methods on the same network, set and setting before one is chosen."
    rows += [row("fp32", psnr=32.0), row("minmax", psnr=31.0), row("omse", psnr=31.4)]
    head, *_, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert head.startswith("**On net at W4A4 FQ, Set5, ") and "loses least, 0.60 dB" in head and "MinMax is" not in head
    assert "quantize with MinMax" not in advice


def test_what_diverged_is_told():
    """The leaderboard has no row of it, and the mean of the seeds that are left looks as good as any."""
    lost = [row("percentile", status="diverged"), row("omse", seed=1, status="diverged")]
    rows = [row("fp32", psnr=32.0), row("adabm", psnr=31.5), row("omse", psnr=31.0), *lost]
    _, _, diverged, part, *_ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, SAME_AS))
    assert diverged == "Diverged, and left out of all numbers: Percentile on net at W4A4 FQ, Set5."
    assert part.endswith(
        "as the others diverged or were not run, are the means of OMSE on net at W4A4 FQ, Set5 (1 of 2)."
    )
    nothing = evaluation.conclusion(with_published(summary(rows[0], *lost[:1]), PUBLISHED, {}))
    assert nothing == ["**No quantized network was measured.**", diverged]


def test_it_is_told_how_often_the_first_is_first():
    rows = [row("fp32", psnr=32.0), row("fp32", psnr=32.0, dataset="Set14")]
    rows += [row(method, psnr=value) for method, value in (("adabm", 31.0), ("minmax", 31.5), ("oaq-sr", 31.9))]
    rows += [row(method, psnr=value, dataset="Set14") for method, value in (("adabm", 31.0), ("minmax", 30.5))]
    head, released, *_ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert head == (
        "**On net at W4A4 FQ, Set5, MinMax loses least, 0.50 dB, AdaBM 1.00 dB. "
        "MinMax is first in 1 of the 2 comparisons that it is part of (with one seed of the first or the next in 1).**"
    ), "among recipes whose codes take no more bits, as on the leaderboard"
    assert released == "AdaBM as released takes part in 2 of MinMax's 2 comparisons."


def test_where_the_first_was_not_measured_others_are_told_with_what_they_lose():
    places = ("Set5", "Set14", "Urban100")
    rows = [row("fp32", psnr=32.0, dataset=name) for name in places] + [row("fp32", psnr=30.0, backbone="wide")]
    rows += [row("fast", psnr=31.9 + seed / 10, seed=seed) for seed in range(3)]
    rows += [row("minmax", psnr=31.8 + seed / 10, seed=seed) for seed in range(3)]
    rows += [row("fast", psnr=30.0, dataset="Set14"), row("percentile", psnr=31.0, dataset="Set14")]
    rows += [row("minmax", psnr=30.5, dataset="Urban100"), row("percentile", psnr=31.5, dataset="Urban100")]
    for setting, loss in (("W6A6 FQ", 1.0), ("W8A8 FQ", 0.5)):
        rows += [
            row("percentile", setting, 30.0 - loss, backbone="wide"),
            row("mse", setting, 29.0 - loss, backbone="wide"),
        ]
    head, _, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert head == (
        "**On net at W4A4 FQ, Set5, Fast loses least, 0.00 ± 0.10 dB (the seeds cannot tell it from MinMax). "
        "Fast is first in 1 of the 2 comparisons that it is part of, in 1 of them against Fast and MinMax alone.**"
    )
    assert advice == (
        "*In practice:* quantize with Fast or with MinMax (on net at W4A4 FQ the seeds cannot tell them apart): one of them is first in 1 of "
        "the 3 comparisons with either, on net. AdaBM takes part in none of these. Where neither was measured, others lose least (dB on Set5): "
        "wide at W6A6 FQ 1.00 (Percentile) and W8A8 FQ 0.50 (Percentile)."
    )


def test_an_advised_recipe_that_loses_less_at_fewer_bits_is_advised_where_it_was_not_measured():
    rows = [row("fp32", psnr=32.0), row("fp32", psnr=32.0, dataset="Set14")]
    rows += [row(name, psnr=psnr) for name, psnr in (("fast", 31.5), ("minmax", 20.0))]
    rows += [row(name, "W3A3 FQ", psnr) for name, psnr in (("fast", 31.0), ("minmax", 15.0))]
    rows += [row(name, "W6A6 FQ", psnr) for name, psnr in (("minmax", 30.0), ("mse", 29.0))]
    rows += [row(name, "W8A8 FQ", psnr) for name, psnr in (("minmax", 31.9), ("mse", 29.0))]
    *_, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert advice.endswith(
        " Where it was not measured, others lose least (dB on Set5): net at W8A8 FQ 0.10 (MinMax). On net at W6A6 FQ use Fast, though it was not "
        "measured there: at W4A4 FQ it already loses less (0.50 dB on Set5) than the best at W6A6 FQ (MinMax, 2.00)."
    )


def test_one_recipe_that_is_first_wherever_it_was_measured():
    rows = [row("fp32", psnr=32.0), row("fp32", psnr=32.0, dataset="Set14")]
    rows += [row("percentile", psnr=31.0, dataset=name) for name in ("Set5", "Set14")]
    rows += [row("mse", psnr=30.0, dataset=name) for name in ("Set5", "Set14")]
    rows += [row("minmax", "W8A8 FQ", 31.9), row("mse", "W8A8 FQ", 31.5)]
    head, released, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert head.endswith(
        "Percentile is first in all 2 comparisons that it is part of (with one seed of the first or the next in 2).**"
    )
    assert released == "AdaBM as released takes part in none of Percentile's 2 comparisons."
    assert advice == (
        "*In practice:* quantize with Percentile: it is first in all 2 comparisons that it is part of (with one seed of the first or the next in 2), on net. "
        "AdaBM takes part in none of these. Where it was not measured, others lose least (dB on Set5): net at W8A8 FQ 0.10 (MinMax)."
    )


def test_what_tables_tell_as_equal_is_tied():
    rows = [row("fp32", psnr=32.0), row("fp32", psnr=32.0, dataset="Set14")]
    rows += [row("minmax", psnr=31.0, dataset=name) for name in ("Set5", "Set14")]
    rows += [row("percentile", psnr=30.0), row("percentile", psnr=31.001, dataset="Set14")]
    head = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))[0]
    assert head.endswith(
        "MinMax is first in all 2 comparisons that it is part of (tied with another in 1, with one seed of the first or the next in 2).**"
    )
    near = [
        row("percentile", psnr=30.97, dataset="Set14") if r["method"] == "percentile" and r["dataset"] == "Set14" else r
        for r in rows
    ]
    more = [row("minmax", psnr=31.0, dataset="Set14", seed=1), row("percentile", psnr=30.97, dataset="Set14", seed=1)]
    head = evaluation.conclusion(with_published(summary(*near, *more), PUBLISHED, {}))[0]
    assert head.endswith(
        "that it is part of (ahead by 0.05 dB or less in 1, with one seed of the first or the next in 1).**"
    )


def test_where_adabm_takes_fewer_bits_they_are_told():
    rows = [row("fp32", psnr=32.0), row("adabm", psnr=31.5), row("fp32", psnr=32.0, dataset="Set14")]
    table = summary(*rows, row("adabm", psnr=31.0, dataset="Set14"), row("minmax", psnr=30.0, dataset="Set14"))
    table.loc[(table["method"] == "adabm") & (table["dataset"] == "Set14"), "fab"] = 2.88
    *_, bits, _, evidence = evaluation.conclusion(with_published(table, PUBLISHED, {}))
    assert bits == "AdaBM's FAB is below the setting's bits in 1 of its 2 cases, most on Set14 at W4A4 FQ: 2.88."
    assert [cell.strip() for cell in evidence.splitlines()[3].split("|")[5:7]] == [
        "1.00 (AdaBM, FAB 2.88)",
        "2.00 (MinMax)",
    ]
    assert [cell.strip() for cell in evidence.splitlines()[2].split("|")[5:7]] == ["0.50 (AdaBM)", ""], (
        "one method alone"
    )


def test_recipes_that_lose_the_same_are_told():
    rows = [row("fp32", psnr=32.0), row("omse", psnr=31.5), row("minmax", psnr=31.5)]
    *_, equal, advice, _ = evaluation.conclusion(with_published(summary(*rows), PUBLISHED, {}))
    assert equal == "OMSE equals MinMax at W4A4 FQ on net."
    assert (
        advice
        == "*In practice:* quantize with OMSE or with MinMax (on net at W4A4 FQ one seed cannot tell them apart)."
    )


def test_patches_are_told_and_one_seed_without_a_published_number():
    table = with_published(
        summary(row("fp32", psnr=32.0, tile=96), row("adabm", psnr=31.5, tile=96)), PUBLISHED, SAME_AS
    )
    _, _, evidence = evaluation.conclusion(table)
    assert "| Set5 in 96px patches |" in evidence and "published" not in evidence and "±" not in evidence
    nothing = evaluation.conclusion(with_published(summary(row("fp32", psnr=32.0), row("adabm")), PUBLISHED, {}))
    assert nothing == ["**No quantized network was measured.**"]


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
