"""What the report opens with: which recipe to use, what it costs, and what it is worth that bits follow the image."""

from collections.abc import Mapping

import pandas as pd

from ..answers import complexity, complexity_gains, components
from ..tables.leaderboard import best, by_parts, first_board, seconds_text
from ..tables.methods import RELEASED_RECIPE
from ..tables.schema import STUDY_COLUMNS
from ..tables.verdict import recommended, verdict
from ..tables.wording import several


def advice(
    board: pd.DataFrame, study: pd.DataFrame, steps: Mapping[str, int] | None = None, amounts: str = ""
) -> list[tuple[str, str]]:
    """Return short headings, each with a sentence or two.

    Args:
        board: what :func:`adabm.study.tables.leaderboard.leaderboard` returned, at least one row.
        study: the tables of all questions.
        steps: of recipes whose time is put together from parts.
        amounts: from how many patches losses and seconds come, as :func:`.board_notes.amounts_note` tells it.
    """
    told = [("Which recipe", verdict(board)), ("What it costs", _costs(board, steps or {}, amounts))]
    asked = dict(list(study.groupby("question", sort=False)))
    tell = {components.QUESTION.id: components.image_worth, complexity.QUESTION.id: complexity_gains.image_worth}
    parts = [told_of(asked[question]) for question, told_of in tell.items() if question in asked]
    worth = _nothing(asked) + " ".join(part for part in parts if part)
    return told + ([("What it is worth that bits follow the image", worth)] if worth else [])


def _nothing(asked: Mapping[str, pd.DataFrame]) -> str:
    """A verdict in front, where bits that follow the image neither gain clearly nor, with any seed, at equal FAB."""
    found = components.image_difference(asked.get(components.QUESTION.id, pd.DataFrame(columns=STUDY_COLUMNS)))
    gain = complexity_gains.image_gain(asked.get(complexity.QUESTION.id, pd.DataFrame(columns=STUDY_COLUMNS)))
    gains = found is not None and found[1].sure and found[1].mean > 0
    return (
        ""
        if gains or gain is None or not (gain.mean(axis=1) < 0).all()
        else "As AdaBM chooses them, nothing clear or a loss. "
    )


def _costs(board: pd.DataFrame, steps: Mapping[str, int], amounts: str) -> str:
    """Times of the recommended recipe, of the best and of what they are compared with; then size and operations of the first."""
    rows, first = first_board(board), recommended(board)
    names = dict.fromkeys([first["method"], best(board)["method"], "minmax", RELEASED_RECIPE])
    shown = [row for name in names for _, row in rows[rows["method"] == name].iterrows()]
    told = [_time(row, steps) for row in shown if pd.notna(row["seconds"])]
    text = f"Seconds to quantize, on one thread: {several(told)}{f'; {amounts}' if amounts else ''}. " if told else ""
    plain = rows[rows["method"] == "minmax"]
    beside = lambda column, form: f" (MinMax {plain.iloc[0][column]:{form}})" if _told(plain, column) else ""
    text += (
        f"{first['label']}: the weights take {first['size_kib']:.0f} KiB{beside('size_kib', '.0f')}, "
        f"{first['relative_bitops']:.1%} of the BitOPs of full precision{beside('relative_bitops', '.1%')}, both theoretical."
    )
    if first["integer"] == "yes":
        text += " Engines that compute in 8-bit integers run it."
    elif first["integer"] == "no":
        text += " Engines that compute in 8-bit integers do not run it."
    untimed = [row["label"] for row in shown if row["method"] == RELEASED_RECIPE and pd.isna(row["seconds"])]
    return text + (f" {untimed[0]} was not timed." if told and untimed else "")


def _time(row: pd.Series, steps: Mapping[str, int]) -> str:
    """``Fast 49.3``, and of what is put together from parts how many steps it has."""
    of = (
        f" ({steps[row['method']]} steps, put together from its measured parts)"
        if by_parts(row) and row["method"] in steps
        else ""
    )
    return f"{row['label']} {seconds_text(row).replace('≈', 'about')}{of}"


def _told(rows: pd.DataFrame, column: str) -> bool:
    return len(rows) > 0 and pd.notna(rows.iloc[0][column])
