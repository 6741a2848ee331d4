"""From rows a cell to the tables people read: seeds merged, losses, published numbers, Markdown."""

import math
from pathlib import Path

import pandas as pd
import pytest

from adabm.errors import ConfigError, TableError
from adabm.recipes import PRESETS
from adabm.study import evaluation_markdown, summarize, with_published
from adabm.study.answers import evaluation
from adabm.study.plan.cells import Run
from adabm.study.tables.leaderboard import leaderboard
from adabm.study.tables.methods import in_order, label
from adabm.study.tables.network_board import network_board
from adabm.study.tables.summary import read_summary
from adabm.study.tables.writing import KEYS

PUBLISHED = pd.read_csv(Path(__file__).parents[1] / "data" / "published.csv")
SAME_AS = {"net": "EDSR-baseline"}


def row(method: str, setting: str = "W4A4 FQ", psnr: float | None = None, seed: int = 0, **changes) -> dict:
    """A row of the table of means; without PSNR a cell that was not run."""
    run = Run("fp32") if method == "fp32" else Run.at(method, setting, seed)
    keys = dict(zip(KEYS[:4], ("net", 4, "Set5", 0))) | {name: getattr(run, name) for name in KEYS[4:]}
    values = dict.fromkeys(("psnr_y_db", "ssim_y", "fab", "bitops_g", "relative_bitops", "size_kib"), math.nan)
    if psnr is not None:
        values = dict(
            psnr_y_db=psnr,
            ssim_y=0.8,
            fab=run.activation_bits + 0.1 * seed,
            bitops_g=500.04,
            relative_bitops=0.04,
            size_kib=150.0,
        )
    return {**keys, "status": "not run" if psnr is None else "measured", "pictures": 5, **values, **changes}


def summary(*rows: dict) -> pd.DataFrame:
    return summarize(pd.DataFrame(rows))


# -- seeds and losses ------------------------------------------------------------------------------


def test_means_and_spread_over_seeds():
    table = summary(
        row("fp32", psnr=32.0),
        row("adabm", psnr=31.0),
        row("adabm", psnr=31.1, seed=1),
        row("adabm", psnr=31.3, seed=2),
    )
    full, adabm = table.to_dict("records")
    assert (adabm["psnr_y_db"], adabm["seeds"], adabm["planned"], adabm["status"], adabm["pictures"]) == (
        31.133,
        3,
        3,
        "measured",
        5,
    )
    assert adabm["psnr_std_db"] == pytest.approx(
        0.153, abs=1e-9
    )  # n - 1: the root of (0.1333² + 0.0333² + 0.1667²) / 2
    assert adabm["fab"] == 4.1 and adabm["fab_std"] == 0.1
    assert adabm["loss_db"] == 0.867 and full["loss_db"] == 0
    assert full["seeds"] == 1 and math.isnan(full["psnr_std_db"])


def test_seeds_that_were_not_run_do_not_count():
    table = summary(
        row("fp32", psnr=32.0), row("adabm"), row("adabm", psnr=31.5, seed=1), row("minmax"), row("minmax", seed=1)
    )
    assert table[["seeds", "planned", "status"]].values.tolist() == [
        [1, 1, "measured"],
        [1, 2, "measured"],
        [0, 2, "not run"],
    ]
    assert table["psnr_y_db"].tolist()[:2] == [32.0, 31.5] and table["loss_db"].tolist()[1] == 0.5
    assert table.loc[2, ["psnr_y_db", "loss_db", "psnr_std_db"]].isna().all()


def test_divergence_is_not_hidden_by_seeds_that_were_not_run():
    table = summary(row("fp32", psnr=32.0), row("adabm"), row("adabm", seed=1, status="diverged"))
    assert table["status"].tolist() == ["measured", "diverged"]


def test_the_loss_is_against_the_same_network_and_set():
    places = [dict(), dict(dataset="Set14"), dict(tile=96), dict(backbone="other")]
    rows = [
        row(method, psnr=30.0 + i + (method == "fp32") * (i + 1), **place)
        for i, place in enumerate(places)
        for method in ("fp32", "omse")
    ]
    table = summary(*rows)
    assert table.loc[table["method"] == "omse", "loss_db"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert len(table) == 8  # nothing is merged but seeds


def test_order_stays_and_a_table_read_from_csv_is_the_same(tmp_path):
    rows = [
        row("fp32", psnr=32.0),
        row("omse", psnr=30.0),
        row("adabm", psnr=31.0),
        row("adabm", "W8A6", psnr=31.5),
        row("minmax"),
    ]
    table = summary(*rows)
    assert table["method"].tolist() == ["fp32", "omse", "adabm", "adabm", "minmax"]
    pd.DataFrame(rows).to_csv(tmp_path / "means.csv", index=False)
    pd.testing.assert_frame_equal(summarize(pd.read_csv(tmp_path / "means.csv")), table)


# -- published numbers -----------------------------------------------------------------------------


def published(*rows: dict, numbers: pd.DataFrame = PUBLISHED, same_as: dict = SAME_AS) -> list[tuple]:
    table = with_published(summary(row("fp32", psnr=32.0), *rows), numbers, same_as)
    chosen = table[["published_psnr_y_db", "published_loss_db", "published_source"]].astype(object)
    return list(chosen.where(chosen.notna(), None).itertuples(index=False, name=None))


def test_every_published_number_says_where_it_stands():
    assert PUBLISHED["source_url"].str.fullmatch(r"https://[^\s,]+").all()
    assert (
        PUBLISHED.groupby("source")["source_url"].nunique().eq(1).all()
        and PUBLISHED["source_url"].nunique() == PUBLISHED["source"].nunique()
    )


def test_published_numbers_stand_beside_the_same_method_and_setting():
    source = "OAQ-SR (ICCV 2025) project page"
    full, adabm, minmax, six = published(row("adabm", psnr=31.0), row("minmax"), row("adabm", "W6A6 FQ", psnr=31.9))
    assert full == (32.10, 0.0, source) and adabm == (31.02, 1.08, source) and six == (31.92, 0.18, source)
    assert minmax[2] == source


@pytest.mark.parametrize("case", [
    row("adabm", "W8A8", psnr=31.0), row("adabm", "W8A8 FQ", psnr=31.0), row("adabm", "W4A6 FQ", psnr=31.0), row("adabm", "W8A4 FQ", psnr=31.0),
    row("adabm", "W4A4", psnr=31.0), row("omse", psnr=31.0), row("adabm-notune", psnr=31.0), row("adabm", "W3A3 FQ", psnr=31.0),
], ids=lambda r: f"{r['method']} {r['setting']}")  # fmt: skip
def test_none_beside_other_settings_and_methods(case):
    assert published(case)[1] == (None, None, None)


@pytest.mark.parametrize(
    "place", [dict(tile=96), dict(backbone="other"), dict(dataset="CLIC2025"), dict(scale=2)], ids=str
)
def test_none_beside_other_places(place):
    assert published(row("fp32", psnr=32.0, **place), row("adabm", psnr=31.0, **place))[1:] == [(None, None, None)] * 2


def test_none_without_a_published_model():
    assert published(row("adabm", psnr=31.0), same_as={}) == [(None, None, None)] * 2


def number(method: str, psnr: float, bits: int, source: str, full: str = "yes") -> dict:
    return dict(
        model="EDSR-baseline",
        scale=4,
        method=method,
        w_bits=bits,
        a_bits=bits,
        fully_quantized=full,
        dataset="Set5",
        psnr_y_db=psnr,
        source=source,
    )


def test_the_first_source_counts_and_its_full_precision():
    numbers = [
        number("FP32", 32.1, 32, "a", "no"),
        number("AdaBM", 31.1, 4, "a"),
        number("FP32", 33.0, 32, "b", "no"),
        number("AdaBM", 30.0, 4, "b"),
    ]
    assert published(row("adabm", psnr=31.0), numbers=pd.DataFrame(numbers))[1] == (31.1, 1.0, "a")
    assert published(row("adabm", psnr=31.0), numbers=pd.DataFrame(numbers[1:2])) == [
        (None, None, None),
        (31.1, None, "a"),
    ]


def test_numbers_whose_setting_is_not_stated_stand_beside_nothing():
    numbers = [number("FP32", 32.1, 32, "a", "no"), number("AdaBM", 31.1, 4, "a", "not stated")]
    for setting in ("W4A4", "W4A4 FQ"):
        assert published(row("adabm", setting, psnr=31.0), numbers=pd.DataFrame(numbers))[1] == (None, None, None)


# -- Markdown --------------------------------------------------------------------------------------


def lines(table: pd.DataFrame) -> list[list[str]]:
    """The cells of the rows of all tables, and headings as they are."""
    text = [line for line in evaluation_markdown(table).splitlines() if line and not line.startswith("|:")]
    return [[c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else [line] for line in text]


ONE_SET = (
    row("fp32", psnr=32.0),
    row("adabm", psnr=31.0),
    row("minmax", psnr=30.0),
    row("minmax", psnr=30.2, seed=1),
    row("omse"),
)


def test_one_set_has_no_headings():
    header, *rows = lines(summary(*ONE_SET, row("percentile", status="diverged")))
    assert header[:4] == ["setting", "method", "PSNR-Y (dB)", "SSIM-Y"] and len(header) == 8
    assert [r[:4] for r in rows] == [
        ["FP32", "Full precision", "32.00", "0.8000"],
        ["W4A4 FQ", "MinMax", "30.10 ± 0.14", "0.8000"],  # ± with several seeds alone
        ["W4A4 FQ", "Percentile", "diverged", ""],
        ["W4A4 FQ", "OMSE", "not run", ""],
        ["W4A4 FQ", "AdaBM", "31.00", "0.8000"],
    ]
    assert rows[1][4:] == ["4.05", "500", "0.040", "150"]


def test_seeds_that_are_missing_are_told():
    rows = [
        row("fp32", psnr=32.0),
        row("adabm", psnr=31.0),
        row("adabm", psnr=31.2, seed=1),
        row("adabm", seed=2, status="diverged"),
    ]
    assert lines(summary(*rows))[-1][2] == "31.10 ± 0.14 (2 of 3 seeds)"


def test_several_sets_begin_with_an_overview():
    second = [row("fp32", psnr=29.0, dataset="Set14"), row("adabm", psnr=28.0, dataset="Set14")]
    tiles = [row("fp32", psnr=28.5, tile=96)]
    table = lines(summary(*ONE_SET, *second, *tiles))
    assert table[:4] == [
        ["## net: PSNR-Y (dB)"],
        ["setting", "method", "Set5", "Set14", "Set5 (96px patches)"],
        ["FP32", "Full precision", "32.00", "29.00", "28.50"],
        ["W4A4 FQ", "MinMax", "30.10 ± 0.14", "", ""],
    ]
    assert table[-1] == ["Planned for net and not run: W4A4 FQ: OMSE."]
    assert not any("OMSE" in cell for line in table[:-1] for cell in line)
    assert [line[0] for line in table if line[0].startswith("#")] == [
        "## net: PSNR-Y (dB)",
        "### net, Set5",
        "### net, Set14",
        "### net, Set5, patches of 96x96 LR pixels",
    ]


def test_several_networks():
    headings = [
        line[0] for line in lines(summary(*ONE_SET, row("fp32", psnr=1.0, backbone="other"))) if line[0].startswith("#")
    ]
    assert headings == ["### net, Set5", "### other, Set5"]


def test_published_columns_where_there_are_numbers():
    header, full, minmax, omse, adabm = lines(with_published(summary(*ONE_SET), PUBLISHED, SAME_AS))
    assert header[-3:] == ["loss (dB)", "published PSNR-Y", "published loss"]
    assert full[-3:] == ["0.00", "32.10", "0.00"] and adabm[-3:] == ["1.00", "31.02", "1.08"]
    assert omse[-3:] == ["", "", ""] and minmax[-3] == "1.90"
    assert len(lines(with_published(summary(*ONE_SET), PUBLISHED, {}))[0]) == 8


def test_every_preset_has_a_label():
    assert [label(name) for name in ("fp32", "minmax", "adabm-notune")] == [
        "Full precision",
        "MinMax",
        "AdaBM, not fine-tuned",
    ]
    assert in_order(["mine/none.yaml", *reversed(PRESETS), "fp32"]) == ["fp32", *PRESETS, "mine/none.yaml"]
    assert label("mine/none.yaml") == "none"  # a recipe file that is not there any more


@pytest.mark.parametrize("same_as", [{"nett": "EDSR-baseline"}, {"net": "EDSR-basline"}])
def test_a_published_model_that_is_misspelt_is_told(same_as):
    with pytest.raises(ConfigError, match="same_as: unknown .*; did you mean"):
        with_published(summary(row("fp32", psnr=32.0), row("adabm", psnr=31.5)), PUBLISHED, same_as)


# -- reading ---------------------------------------------------------------------------------------


def test_names_stay_text(tmp_path):
    table = summary(row("fp32", psnr=32.0, dataset="0100", backbone="64"), row("fp32", psnr=32.0, dataset="null"))
    table.to_csv(tmp_path / "s.csv", index=False)
    read = read_summary(tmp_path / "s.csv")
    assert list(read["dataset"]) == ["0100", "null"] and read["backbone"].iloc[0] == "64"
    assert read["psnr_y_db"].tolist() == [32.0, 32.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[:0], "has no rows"),
        (lambda table: table.drop(columns="fab"), "lacks the column fab"),
        (lambda table: pd.concat([table, table]), "has fp32 at FP32 on net, Set5, twice"),
        (lambda table: pd.DataFrame(), "is no CSV table"),
    ],
)
def test_what_is_no_summary_is_refused(tmp_path, change, message):
    change(summary(row("fp32", psnr=32.0))).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(TableError, match=f"s.csv: {message}.*question@evaluation"):
        read_summary(tmp_path / "s.csv")


# -- engines ---------------------------------------------------------------------------------------


def test_of_several_engines_the_simulation_is_compared():
    both = [row("minmax", psnr=30.0), row("omse", psnr=31.0)]
    rows = [
        row("fp32", psnr=32.0),
        *both,
        row("fp32", psnr=32.0, backbone="other"),
        row("omse", psnr=29.5, backbone="other"),
    ]
    rows = [r | {"engine": "simulated"} for r in rows]
    rows += [r | {"engine": "onnx", "psnr_y_db": r["psnr_y_db"] + 0.5} for r in both]
    rows += [row("minmax", psnr=29.0, backbone="other") | {"engine": "onnx"}]  # measured by this one alone
    table = with_published(summary(*rows), PUBLISHED, SAME_AS)
    board = leaderboard(table)
    told = list(zip(board["backbone"], board["label"], board["loss_db"]))
    assert told == [
        ("net", "OMSE", 1.0), ("net", "MinMax", 2.0), ("other", "OMSE", 2.5), ("other", "MinMax (onnx)", 3.0)
    ]  # fmt: skip
    cells = network_board(board).cells
    assert list(cells["MinMax"]) == ["2.00", "3.00 (onnx)"] and list(cells["OMSE"]) == ["1.00", "2.50"]
    text = "\n".join(evaluation.conclusion(table))
    assert "MinMax (onnx)" in text and "OMSE loses least, 1.00 dB" in text and "0.50" not in text
