"""The loss of each recipe on each network: does what is best on one hold on the others?"""

import pandas as pd

from .leaderboard import bits_of, loss_text
from .methods import in_order, label
from .networks import network as network_name
from .presentation import ReadableTable, by_bits

_NETWORKS = 2  # on which a recipe was measured to be shown


def network_board(board: pd.DataFrame) -> ReadableTable | None:
    """Return a row for each network and setting, with the loss of every recipe that two or more networks were quantized with.

    Of each network its first set is shown, each recipe against the network's own full precision; a number of seeds stands
    behind what was measured with more than one.

    Args:
        board: what :func:`adabm.study.tables.leaderboard.leaderboard` returned.

    Returns:
        None where no recipe was measured on two networks.
    """
    first = board.groupby("backbone", sort=False)[["dataset", "tile"]].first()
    places = pd.MultiIndex.from_frame(board[["backbone", "dataset", "tile"]])
    rows = board[places.isin(list(first.itertuples(name=None)))]
    networks = rows.groupby("method")["backbone"].nunique()
    # this project's come last in the order of tables, and are what most readers look for
    recipes = in_order(name for name in rows["method"] if networks[name] >= _NETWORKS)[::-1]
    rows = rows[rows["method"].isin(recipes)]
    if rows.empty:
        return None
    cells = []
    for network in dict.fromkeys(rows["backbone"]):
        of_network = rows[rows["backbone"] == network]
        for setting in sorted(dict.fromkeys(of_network["setting"]), key=by_bits, reverse=True):
            own = of_network[of_network["setting"] == setting]
            losses = {row["method"]: _cell(row) for _, row in own.iterrows()}
            place = {"network": network_name(network), "set": own["dataset"].iloc[0], "setting": setting}
            cells.append(place | {label(name): losses.get(name, "") for name in recipes})
    table = pd.DataFrame(cells)
    shared = "Loss in dB against the network's own full precision; in brackets the seeds, where more than one."
    if rows.apply(_other_bits, axis=1).any():
        shared += " Behind @ FAB, where it is not the bits of the setting."
    if table["setting"].str.endswith("FQ").nunique() > 1:
        shared += " Without FQ, first, upsampling and last layers stay in full precision."
    if table["set"].nunique() == 1:
        shared = f"{table['set'].iloc[0]}. {shared}"
        table = table.drop(columns="set")
    return ReadableTable(table, "All networks.", table.shape[1] - len(recipes), shared)


def _cell(row: pd.Series) -> str:
    """The loss, behind it the seeds, FAB where it is not that of the setting, and the engine where it is another than the simulation."""
    engine = row["label"].removeprefix(label(row["method"]))
    seeds = f" ({row['seeds']:.0f})" if row["seeds"] > 1 else ""
    return loss_text(row) + seeds + (f" @ {row['fab']:.1f}" if _other_bits(row) else "") + engine


def _other_bits(row: pd.Series) -> bool:
    """Whether a recipe has other bits in the mean than the setting names, to a tenth."""
    return f"{row['fab']:.1f}" != f"{bits_of(row['setting']):.1f}"
