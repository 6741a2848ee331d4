"""All networks in one table: the first set of each, recipes that two of them share, seeds where more than one."""

import pandas as pd
from test_summary import row, summary

from adabm.study.tables.leaderboard import leaderboard
from adabm.study.tables.network_board import network_board


def board(*networks: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(pd.concat(networks, ignore_index=True))


def of(network: str, *rows: dict) -> pd.DataFrame:
    return summary(row("fp32", psnr=32.0), *rows).assign(backbone=network)


ONE = of(
    "one",
    row("minmax", psnr=30.0),
    row("fast", psnr=31.5),
    row("fast", psnr=31.7, seed=1),
    row("omse", psnr=31.0),
    row("minmax", "W8A8 FQ", psnr=31.9),
)
OTHER = of("other", row("fast", psnr=31.0), row("minmax", psnr=29.0))


def test_a_row_for_each_network_and_setting():
    table = network_board(board(ONE, OTHER))
    assert list(table.cells.columns) == ["network", "setting", "Fast", "MinMax"], "one network alone has omse"
    assert list(zip(table.cells["network"], table.cells["setting"])) == [
        ("one", "W8A8 FQ"),
        ("one", "W4A4 FQ"),
        ("other", "W4A4 FQ"),
    ]
    first = table.cells.iloc[1]
    assert first["MinMax"] == "2.00" and first["Fast"] == "0.40 ± 0.14 (2)"
    assert table.cells.iloc[0]["Fast"] == "" and "in brackets the seeds" in table.caption
    assert "Without FQ" not in table.caption
    partly = of("one", row("minmax", "W8A6", psnr=31.9), row("fast", psnr=31.0))
    assert network_board(board(partly, OTHER)).caption.endswith(
        " Without FQ, first, upsampling and last layers stay in full precision."
    )


def test_the_first_set_of_each_network_is_shown():
    more = pd.concat([ONE, ONE.assign(dataset="Set14", loss_db=9.0)])
    assert "9.00" not in network_board(board(more, OTHER)).markdown()
    own = network_board(board(ONE, OTHER.assign(dataset="Crops")))
    assert list(own.cells["set"])[-1] == "Crops" and own.words == 3


def test_none_where_no_recipe_was_measured_on_two():
    assert network_board(board(ONE)) is None


def test_bits_that_are_not_those_of_the_setting_are_told():
    bits = {("minmax", "W8A8 FQ"): 8.0, ("fast", "W4A4 FQ"): 3.96, ("minmax", "W4A4 FQ"): 3.94}
    table = board(ONE, OTHER)
    table["fab"] = [bits.get((row.method, row.setting), 4.0) for row in table.itertuples()]
    told = network_board(table)
    assert list(told.cells["MinMax"]) == ["0.10", "2.00 @ 3.9", "3.00 @ 3.9"] and "@" not in "".join(told.cells["Fast"])
    assert "Behind @ FAB, where it is not the bits of the setting." in told.caption
    assert "@" not in network_board(table.assign(fab=[8.0 if "8" in s else 4.0 for s in table["setting"]])).caption
