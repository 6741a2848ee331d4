"""What stands below the leaderboard: where its seconds come from, and where AdaBM at own bits was measured."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..answers import set_size
from ..plan.cells import Run
from ..plan.effort import Effort
from ..running.runs import MEASURED
from ..tables.leaderboard import first_board
from ..tables.methods import OWN_BITS_RECIPE
from ..tables.schema import read_study_table
from ..tables.times import parts, patches_of, places_timed, steps_of, told_amounts, told_seconds
from ..tables.wording import several, told_count
from .sections import LOOKED_AT, provenance

TIMING = "timing"  # the question that times recipes


def _timed(results: Path) -> tuple[pd.DataFrame | None, Mapping]:
    """The table of times and its provenance."""
    path = results / TIMING / f"{TIMING}.csv"
    return (read_study_table(path) if path.is_file() else None), provenance(path)


def _evaluation(results: Path) -> Mapping:
    """Parameters of the table of main results."""
    return provenance(results / "evaluation" / "evaluation_summary.csv").get("parameters", {})


def evaluated_steps(results: Path) -> dict[str, int]:
    """Return how many steps of fine-tuning the evaluation gave the recipe whose parts were timed; empty where it is not told."""
    timing, record = _timed(results)
    name = record.get("parameters", {}).get("preset")
    if timing is None or not isinstance(name, str):
        return {}
    counts = [steps_of(_evaluation(results), *place, name) for place in places_timed(timing)]
    return {name: counts[0]} if len(counts) == 1 and counts[0] is not None else {}


def _evaluated_patches(results: Path, timing: pd.DataFrame) -> tuple[int, int] | None:
    """From how many patches of which side the evaluation made the models of the network that was timed, where it is told."""
    counts = [patches_of(_evaluation(results), *place) for place in places_timed(timing)]
    return counts[0] if len(counts) == 1 else None


def seconds_note(results: Path) -> str:
    """Return where the seconds of the leaderboard come from; empty without a table of times."""
    timing, record = _timed(results)
    if timing is None:
        return ""
    return told_seconds(timing, record, evaluated_steps(results), _evaluated_patches(results, timing))


def looked_at_note(board: pd.DataFrame) -> str:
    """Return on which pictures this project's recipes were found; empty where none of them is on the board."""
    return LOOKED_AT if board["method"].isin(["fast", "best"]).any() else ""


def amounts_note(results: Path) -> str:
    """Return in a few words from how many patches the leaderboard's losses and seconds come; empty where from the same, or not known."""
    timing, _ = _timed(results)
    return told_amounts(timing, _evaluated_patches(results, timing)) if timing is not None else ""


def timed_pictures(results: Path) -> int | None:
    """Return how many calibration pictures the leaderboard's seconds were measured with; None where it is not known."""
    timing, _ = _timed(results)
    found = parts(timing) if timing is not None else None
    return found.pictures if found else None


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
    pictures = int(sizes.max())
    found = found[sizes == pictures]
    told = [
        _lost(name, here) + _takes(results, methods[name], place, pictures)
        for name, here in found.groupby("series", sort=False)
    ]
    times = (
        " Times are put together from the parts of AdaBM that were timed." if any("≈" in text for text in told) else ""
    )
    return (
        f"AdaBM at own bits, of which most questions ask, is no row here: the evaluation did not run it. On this network, set and "
        f"setting, with {pictures} calibration pictures, {several(told)}.{times}"
    )


def _takes(results: Path, given: Mapping, place: pd.Series, pictures: int) -> str:
    """How long a method takes, with so many pictures and with those of the leaderboard's seconds, where that can be put together."""
    timing, record = _timed(results)
    effort = provenance(set_size.QUESTION.table(results)).get("parameters", {}).get("effort")
    timed_at = (place["backbone"], place["setting"])
    if timing is None or effort is None or list(places_timed(timing)) != [timed_at]:
        return ""
    found, timed_effort = parts(timing), record.get("parameters", {}).get("effort", {})
    if found is None or timed_effort.get("patch_size") != effort["patch_size"] or effort.get("patches"):
        return ""
    tuning = Run.at(given["method"], place["setting"], 0, given.get("changes")).config(Effort(**effort)).step("tune")
    steps = tuning.total_steps if tuning is not None else 0
    seconds = found.whole(steps, pictures)
    if seconds is None:
        return ""
    timed = f" (≈ {found.whole(steps):.0f} s with {found.pictures})" if pictures != found.pictures else ""
    return f", in ≈ {seconds:.0f} s{timed}"


def _lost(name: str, here: pd.DataFrame) -> str:
    losses = here.groupby("seed")["loss_db"].mean()
    spread = f" ± {losses.std():.2f}" if len(losses) > 1 else ""
    return f"{name}, loses {losses.mean():.2f}{spread} dB at FAB {here['fab'].mean():.2f} ({told_count(len(losses), 'seed')})"
