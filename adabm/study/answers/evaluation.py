"""The main results: full precision, uniform quantization, AdaBM and its parts on the evaluation sets."""

import pandas as pd

from ..running.runs import MEASURED
from ..tables.conclusion import answer, evidence, practice
from ..tables.leaderboard import best, first_board, leaderboard, loss_text, not_told_apart
from ..tables.methods import label
from ..tables.networks import network
from ..tables.wording import several

PLACE = ("backbone", "dataset", "tile")


def first_place(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first network and set of the plan, which figures and single pictures are shown of."""
    return table[(table[list(PLACE)] == table[list(PLACE)].iloc[0]).all(axis=1)]


def losses_by_picture(pictures: pd.DataFrame) -> pd.DataFrame:
    """Return the loss against full precision in dB, mean over seeds: a row a setting and method, a column a picture.

    Args:
        pictures: of one network and set.
    """
    rows = pictures.pivot_table(index=["setting", "method"], columns="picture", values="psnr_y_db", sort=False)
    return rows.loc[("FP32", "fp32")] - rows.drop("FP32")


def bits_by_picture(pictures: pd.DataFrame) -> pd.DataFrame:
    """Return AdaBM's feature average bits, mean over seeds: a row a setting and method, a column a picture."""
    adaptive = pictures[pictures["method"].str.startswith("adabm")]
    return adaptive.pivot_table(index=["setting", "method"], columns="picture", values="fab", sort=False)


def conclusion(summary: pd.DataFrame) -> list[str]:
    """Tell which method loses least and how often, and, of each network, set and setting, the ends and AdaBM beside the published loss.

    Args:
        summary: a row a cell, with the columns of ``adabm.study.with_published``.
    """
    rows = summary[(summary["status"] == MEASURED) & (summary["method"] != "fp32")]
    groups = [(keys, here) for keys, here in rows.groupby([*PLACE, "setting"], sort=False)]
    if not groups:
        return [answer("No quantized network was measured.")]
    board = leaderboard(summary)
    return [
        answer(_verdict(board)),
        *_told_of_published(rows),
        practice(_advice(board)),
        *evidence([_row(keys, here) for keys, here in groups]),
    ]


def _verdict(board: pd.DataFrame) -> str:
    """The recipe of least loss on the first board, and how often it is the first, where it was measured with others.

    Recipes whose codes take more bits are no rivals.
    """
    first = best(board)
    places = [here for here in _places(board) if first["method"] in set(here["method"])]
    text = f"On {network(first['backbone'])} at {first['setting']}, {first['dataset']}, {first['label']} loses least, {loss_text(first)} dB"
    near = not_told_apart(board)
    text += f" (the seeds cannot tell it from {several([row['label'] for row in near])})" if near else ""
    released = first_board(board)
    for _, row in released[(released["method"] == "adabm") & (first["method"] != "adabm")].iterrows():
        text += f", AdaBM {loss_text(row)} dB"
    leads = [(best(here), here.set_index("method").loc[first["method"], "loss_db"]) for here in places]
    won = [lead for lead, own in leads if round(own, 2) <= round(lead["loss_db"], 2)]  # as tables tell it
    tied = sum(lead["method"] != first["method"] for lead in won)
    if len(places) > 1:
        text += f"; {first['label']} is first in {len(won)} of the {len(places)} comparisons of network, set and setting that it is part of"
        text += f", tied with another in {tied}" if tied else ""
        text += f"; {_competing(places, first['method'])}"
    return f"{text}."


def _competing(places: list[pd.DataFrame], first: str) -> str:
    """How often AdaBM as released takes part in comparisons, and how often none but the simplest rivals do."""
    others = [set(here["method"]) - {first} for here in places]
    simple = sum(rivals <= {"minmax", "fast"} for rivals in others)
    told = f"AdaBM as released takes part in {sum('adabm' in rivals for rivals in others) or 'none'} of these"
    return told + (f", in {simple} the only rivals are {label('fast')} and {label('minmax')}" if simple else "")


def _places(board: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each network, set and setting at which there is anything to compare."""
    return [here for _, here in board.groupby([*PLACE, "setting"], sort=False) if len(here) > 1]


def _advice(board: pd.DataFrame) -> str:
    """The best recipe, those that the seeds cannot tell from it, and, where it was not measured, the one that is first most often."""
    first = best(board)
    told = f"quantize with {first['label']}"
    near = [row["label"] for row in not_told_apart(board)]
    told += f" or with {several(near)}, which the seeds cannot tell from it there" if near else ""
    others = [here for here in _places(board) if first["method"] not in set(here["method"])]
    if not others:
        return f"{told}."
    counts = pd.Series([best(here)["label"] for here in others]).value_counts()
    alone = sum(set(here["method"]) == {"minmax", "fast"} for here in others)
    return (
        f"{told}; of the {len(others)} comparisons that {first['label']} is no part of, {counts.index[0]} is first in {counts.iloc[0]}"
        + (f" ({alone} of them compare {label('fast')} and {label('minmax')} alone)." if alone else ".")
    )


def _told_of_published(rows: pd.DataFrame) -> list[str]:
    known = rows[(rows["method"] == "adabm") & rows["published_loss_db"].notna()]
    if known.empty:
        return []
    less = int((known["loss_db"] < known["published_loss_db"]).sum())
    return [
        f"AdaBM's loss is below the published one in {less} of {len(known)} cases for which one is known, "
        "each against its own full precision and on weights of other quality."
    ]


def _row(keys: tuple, rows: pd.DataFrame) -> dict[str, str]:
    backbone, dataset, tile, setting = keys
    least, most = (rows.loc[rows["loss_db"].agg(end)] for end in ("idxmin", "idxmax"))
    cells = {
        "network": network(backbone),
        "set": f"{dataset} in {tile}px patches" if tile else dataset,
        "setting": setting,
        "methods": str(rows["method"].nunique()),
        "least loss (dB)": f"{least['loss_db']:.2f} ({label(least['method'])})",
        "most loss (dB)": f"{most['loss_db']:.2f} ({label(most['method'])})",
    }
    for _, row in rows[rows["method"] == "adabm"].iterrows():
        spread = f" ± {row['psnr_std_db']:.2f}" if row["seeds"] > 1 else ""
        known = pd.notna(row["published_loss_db"])
        cells |= {
            "AdaBM's loss (dB)": f"{row['loss_db']:.2f}{spread}",
            "seeds": str(row["seeds"]),
            "FAB": f"{row['fab']:.2f}",
        }
        cells |= {"published loss (dB)": f"{row['published_loss_db']:.2f}"} if known else {}
    return cells
