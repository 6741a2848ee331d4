"""One picture of a set that decides how much methods lose in the mean."""

from pathlib import Path

import pandas as pd

from ...full_precision import FULL_PRECISION
from ..tables.leaderboard import best, first_board
from ..tables.methods import RELEASED_RECIPE
from ..tables.verdict import recommended
from ..tables.wording import several
from .sections import read_table

_SHARE, _NOTICED = 1 / 3, 0.1  # of a method's mean loss that the picture makes, and dB of it, to be told
_BITS = 0.05  # of FAB, to be told


def one_picture_note(board: pd.DataFrame, results: Path) -> str:
    """Return what the first board's methods lose without the picture that weighs most; empty where none makes a third of a loss.

    Told of the recommended recipe, the best, the released one and MinMax.

    Args:
        results: of a profile, whose evaluation measured picture by picture.
    """
    pictures = read_table(results / "evaluation" / "evaluation_pictures.csv", "question@evaluation")
    rows, first = first_board(board), recommended(board)
    if pictures is None or rows["method"].duplicated().any():  # by several engines
        return ""
    losses, fab = _losses(pictures, rows.iloc[0])
    names = dict.fromkeys([first["method"], best(board)["method"], RELEASED_RECIPE, "minmax"])
    losses = losses[[name for name in names if name in losses]].dropna(how="any", axis=1)
    if len(losses) < 3 or losses.empty:  # of two pictures each weighs much
        return ""
    means = losses.mean()
    without = pd.DataFrame({picture: losses.drop(picture).mean() for picture in losses.index})
    weight = without.rsub(means, axis=0)
    weighs = weight[(weight.gt(_NOTICED)) & (weight.ge(_SHARE * means, axis=0))].max()
    if weighs.isna().all():
        return ""
    picture = weighs.idxmax()
    labels = rows.set_index("method")["label"]
    bits = pd.concat([fab.drop(picture).mean(), fab.mean()], axis=1)
    told = [
        f"{labels[name]} {without.at[name, picture]:.2f} instead of {means[name]:.2f}{_at(*bits.loc[name])}"
        for name in losses
    ]
    return f"One of the {len(losses)} pictures weighs much: without {picture} the losses are {several(told)} dB."


def _at(without: float, fab: float) -> str:
    """FAB without the picture, where that is another one."""
    return f" (FAB {without:.2f} instead of {fab:.2f})" if abs(without - fab) > _BITS else ""


def _losses(pictures: pd.DataFrame, place: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """PSNR below full precision in dB, and FAB, at a place of the board: a row a picture, a column a method; means over seeds."""
    of_set = ["backbone", "dataset", "tile"]
    here = pictures[(pictures[of_set] == place[of_set]).all(axis=1)]
    full = here[here["method"] == FULL_PRECISION].set_index("picture")["psnr_y_db"]
    of = here[here["setting"] == place["setting"]]
    psnr, fab = (
        of.pivot_table(index="picture", columns="method", values=name, sort=False) for name in ("psnr_y_db", "fab")
    )
    return -psnr.sub(full, axis=0), fab
