"""Models whose fine-tuning diverged: numbers of an answer are of the others alone, so that each answer tells of them."""

import pandas as pd

from ...errors import StudyError
from ..running.runs import DIVERGED, MEASURED
from ..tables.networks import network
from ..tables.summary import label_of
from ..tables.wording import several

_PLACE = ["backbone", "series", "variable"]


def check_measured(table: pd.DataFrame) -> None:
    """Refuse a question's table in which no quantized model was measured: there is nothing to tell or to draw.

    Raises:
        StudyError: naming how many models diverged, and how many were not run.
    """
    models = table[table["variable"] != "none"]  # full precision varies nothing
    if (models["status"] == MEASURED).any():
        return
    keys = [*_PLACE, "level", "setting", "seed", "status"]
    counts = models[keys].drop_duplicates()["status"].value_counts(sort=False)
    told = several([f"{count} models with status {status!r}" for status, count in counts.items()] or ["no model"])
    raise StudyError(
        f"the table has full precision and {told}: no quantized model was measured, so there is nothing to compare; lower the learning "
        "rates (tune.lr_weight, tune.lr_activation) of models that diverged, and run those that were not run"
    )


def tell_diverged(table: pd.DataFrame) -> list[str]:
    """Return a sentence on which series diverged, on which network, with how many seeds; none where none did.

    Levels are told where they differ in that.

    Args:
        table: of a question, with the names of networks that people read.
    """
    return told_of(divergences(table))


def divergences(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network, series, variable and level: of how many ``seeds`` it ``diverged`` with how many; sets share models."""
    models = table[table["variable"] != "none"]
    by_seed = models.assign(diverged=models["status"] == DIVERGED).groupby([*_PLACE, "level", "seed"], sort=False)
    counts = by_seed["diverged"].any().groupby([*_PLACE, "level"], sort=False).agg(["sum", "count"])
    return counts.rename(columns={"sum": "diverged", "count": "seeds"}).reset_index()


def told_of(counts: pd.DataFrame) -> list[str]:
    """Return the sentence of :func:`tell_diverged` from what :func:`divergences` returned."""
    where = " on {}" if counts["backbone"].nunique() > 1 else ""
    texts = []
    for (backbone, series, _), rows in counts.groupby(_PLACE, sort=False):
        levels: dict[str, list[str]] = {}
        for row in rows.itertuples():
            levels.setdefault(_share(row.diverged, row.seeds), []).append(row.level)
        alike = len(levels) == 1
        told = [f"{share}{'' if alike else f' at {several(of)}'}" for share, of in levels.items() if share]
        if told:
            texts.append(f'"{series}"{where.format(backbone)} ({"; ".join(told)})')
    return [f"Diverged, and left out of all numbers: {several(texts)}."] if texts else []


def tell_lacking_seeds(summary: pd.DataFrame) -> list[str]:
    """Return sentences on the cells of the evaluation's summary that diverged with all their seeds, and whose mean is of some seeds alone."""
    lost = summary[summary["status"] == DIVERGED]
    part = summary[(summary["status"] == MEASURED) & (summary["seeds"] < summary["planned"])]
    cells = [_cell(row) for _, row in lost.iterrows()]
    shares = [f"{_cell(row)} ({row['seeds']} of {row['planned']})" for _, row in part.iterrows()]
    told = [f"Diverged, and left out of all numbers: {several(cells)}."] if cells else []
    if shares:
        told.append(f"Of some seeds alone, as the others diverged or were not run, are the means of {several(shares)}.")
    return told


def _cell(row: pd.Series) -> str:
    return f"{label_of(row)} on {network(row['backbone'])} at {row['setting']}, {row['dataset']}"


def _share(count: int, of: int) -> str:
    if not count:
        return ""
    return "its only seed" if of == 1 else f"all {of} seeds" if count == of else f"{count} of {of} seeds"
