"""What the report opens with: which recipe to use, what it costs, and what it is worth that bits follow the image."""

from collections.abc import Mapping

import pandas as pd

from ..answers import complexity, components
from ..tables.leaderboard import best, by_parts, first_board, seconds_text, verdict
from ..tables.schema import STUDY_COLUMNS


def advice(board: pd.DataFrame, study: pd.DataFrame) -> list[tuple[str, str]]:
    """Return short headings, each with a sentence or two.

    Args:
        board: what :func:`adabm.study.tables.leaderboard.leaderboard` returned, at least one row.
        study: the tables of all questions.
    """
    told = [("Which recipe", verdict(board)), ("What it costs", _costs(board))]
    asked = dict(list(study.groupby("question", sort=False)))
    parts = [
        answer.image_worth(asked[answer.QUESTION.id])
        for answer in (components, complexity)
        if answer.QUESTION.id in asked
    ]
    worth = _nothing(asked) + " ".join(part for part in parts if part)
    return told + ([("What it is worth that bits follow the image", worth)] if worth else [])


def _nothing(asked: Mapping[str, pd.DataFrame]) -> str:
    """A verdict in front, where bits that follow the image neither gain clearly nor, with any seed, at equal FAB."""
    found = components.image_difference(asked.get(components.QUESTION.id, pd.DataFrame(columns=STUDY_COLUMNS)))
    gain = complexity.image_gain(asked.get(complexity.QUESTION.id, pd.DataFrame(columns=STUDY_COLUMNS)))
    gains = found is not None and found[1].sure and found[1].mean > 0
    return "" if gains or gain is None or not (gain.mean(axis=1) < 0).all() else "Nothing, or a loss. "


def _costs(board: pd.DataFrame) -> str:
    rows = first_board(board)
    row, plain = best(board), rows[rows["method"] == "minmax"]
    beside = lambda column, form: f" (MinMax {plain.iloc[0][column]:{form}})" if _told(plain, column) else ""
    told = []
    if pd.notna(row["seconds"]):
        told.append(f"quantizing takes {seconds_text(row)} s on one thread{beside('seconds', '.1f')}")
    told.append(f"the weights take {row['size_kib']:.0f} KiB{beside('size_kib', '.0f')}")
    told.append(f"{row['relative_bitops']:.1%} of the BitOPs of full precision{beside('relative_bitops', '.1%')}")
    text = f"{row['label']}: {', '.join(told)}, both theoretical."
    if row["integer"] == "yes":
        text += " Engines that compute in 8-bit integers run it."
    elif row["integer"] == "no":
        text += " Engines that compute in 8-bit integers do not run it."
    released = rows[rows["method"] == "adabm"]
    if pd.notna(row["seconds"]) and len(released) and row["method"] != "adabm":
        text += f" {_released(released.iloc[0])}"
    return text


def _released(row: pd.Series) -> str:
    if pd.isna(row["seconds"]):
        return f"{row['label']} was not timed."
    parts = ", put together from its measured parts" if by_parts(row) else ""
    return f"{row['label']} takes {seconds_text(row).replace('≈', 'about')} s{parts}."


def _told(rows: pd.DataFrame, column: str) -> bool:
    return len(rows) > 0 and pd.notna(rows.iloc[0][column])
