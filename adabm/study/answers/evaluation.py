"""The main results: full precision, uniform quantization, AdaBM and its parts on the evaluation sets."""

import pandas as pd

from ..running.runs import MEASURED

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
    """Tell, of each network, set and setting, the least and the most loss, and AdaBM's beside the published one.

    Args:
        summary: a row a cell, with the columns of ``adabm.study.with_published``.
    """
    rows = summary[(summary["status"] == MEASURED) & (summary["method"] != "fp32")]
    return [_told(keys, here) for keys, here in rows.groupby([*PLACE, "setting"], sort=False)]


def _told(keys: tuple, rows: pd.DataFrame) -> str:
    backbone, dataset, tile, setting = keys
    best, worst = (rows.loc[rows["loss_db"].agg(end)] for end in ("idxmin", "idxmax"))
    text = (
        f"**{backbone}** on {dataset}{f' in {tile}px patches' if tile else ''}, {setting}: "
        f"least loss {best['loss_db']:.2f} dB ({best['method']}), most {worst['loss_db']:.2f} dB ({worst['method']})."
    )
    for _, row in rows[rows["method"] == "adabm"].iterrows():
        spread = f" ± {row['psnr_std_db']:.2f} over {row['seeds']} seeds" if row["seeds"] > 1 else ", one seed"
        known = pd.notna(row["published_loss_db"])
        against = f"; published {row['published_loss_db']:.2f} dB" if known else ""
        text += f" AdaBM loses {row['loss_db']:.2f} dB{spread}, FAB {row['fab']:.2f}{against}."
    return text
