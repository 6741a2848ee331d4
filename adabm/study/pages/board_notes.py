"""What stands below the leaderboard: where its seconds come from, and where AdaBM at own bits was measured."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..answers import set_size
from ..running.runs import MEASURED
from ..tables.leaderboard import first_board
from ..tables.methods import OWN_BITS_RECIPE
from ..tables.schema import read_study_table
from ..tables.times import places_timed, steps_of, told_seconds
from ..tables.wording import several, told_count
from .sections import provenance

TIMING = "timing"  # the question that times recipes


def _timed(results: Path) -> tuple[pd.DataFrame | None, Mapping]:
    """The table of times and its provenance."""
    path = results / TIMING / f"{TIMING}.csv"
    return (read_study_table(path) if path.is_file() else None), provenance(path)


def evaluated_steps(results: Path) -> dict[str, int]:
    """Return how many steps of fine-tuning the evaluation gave the recipe whose parts were timed; empty where it is not told."""
    timing, record = _timed(results)
    name = record.get("parameters", {}).get("preset")
    evaluation = provenance(results / "evaluation" / "evaluation_summary.csv").get("parameters", {})
    if timing is None or not isinstance(name, str):
        return {}
    counts = [steps_of(evaluation, *place, name) for place in places_timed(timing)]
    return {name: counts[0]} if len(counts) == 1 and counts[0] is not None else {}


def seconds_note(results: Path) -> str:
    """Return where the seconds of the leaderboard come from; empty without a table of times."""
    timing, record = _timed(results)
    return told_seconds(timing, record, evaluated_steps(results)) if timing is not None else ""


def own_bits_note(board: pd.DataFrame, study: pd.DataFrame, results: Path) -> str:
    """Return what AdaBM at own bits, of which most questions ask, loses at the place of the first board, and who measured it.

    Empty where it is a row of the board, or where the question on the size of the calibration set did not measure it there.
    """
    rows = first_board(board)
    place = rows.iloc[0][["backbone", "dataset", "setting"]]
    methods = provenance(set_size.QUESTION.table(results)).get("parameters", {}).get("methods", {})
    own = [name for name, given in methods.items() if given.get("method") == OWN_BITS_RECIPE]
    found = study[
        (study["question"] == set_size.QUESTION.id) & (study["status"] == MEASURED) & study["series"].isin(own)
    ]
    found = found[(found[list(place.index)] == place).all(axis=1)]
    if (rows["method"] == OWN_BITS_RECIPE).any() or found.empty:
        return ""
    sizes = pd.to_numeric(found["level"])
    found = found[sizes == sizes.max()]
    told = [_lost(name, here) for name, here in found.groupby("series", sort=False)]
    return (
        f"AdaBM at own bits, of which most questions ask, is no row here: the evaluation did not run it. On this network, set and "
        f"setting, with {sizes.max():.0f} calibration pictures, {several(told)}."
    )


def _lost(name: str, here: pd.DataFrame) -> str:
    losses = here.groupby("seed")["loss_db"].mean()
    spread = f" ± {losses.std():.2f}" if len(losses) > 1 else ""
    return f"{name}, loses {losses.mean():.2f}{spread} dB at FAB {here['fab'].mean():.2f} ({told_count(len(losses), 'seed')})"
