"""How long quantizing took: what the leaderboard tells of the question ``timing``, and where its seconds come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..plan.effort import EFFORT
from ..running.timing import WHOLE, linear_fit
from .methods import label
from .wording import several

_CALIBRATION, _TUNING = "calibration", "fine-tuning"


@dataclass(frozen=True)
class Parts:
    """Medians in seconds of the parts of a recipe that fine-tunes.

    Attributes:
        pictures: that the calibration took.
        timed: numbers of steps that were timed; ``step`` is the slope of a line through them and nothing at no step.
    """

    pictures: int
    calibration: float
    clipping: float
    step: float
    timed: tuple[int, ...]

    def whole(self, steps: int) -> float:
        """Seconds of the recipe with so many steps, put together."""
        return self.calibration + self.clipping + steps * self.step


def parts(timing: pd.DataFrame) -> Parts | None:
    """Return the parts that a table of the question ``timing`` holds; None where one is missing."""
    timed = timing[timing["seconds"].notna()]
    medians = timed.groupby(["series", "level"])["seconds"].median()
    pictures = _counts(medians, _CALIBRATION)
    steps = _counts(medians, _TUNING)
    if not pictures or not steps or ("quantize", "clipping") not in medians:
        return None
    taken = [medians[_TUNING, str(n)] for n in steps]
    return Parts(
        max(pictures),
        medians[_CALIBRATION, str(max(pictures))],
        medians["quantize", "clipping"],
        linear_fit([0, *steps], [0.0, *taken])[1],
        tuple(steps),
    )


def _counts(medians: pd.Series, series: str) -> list[int]:
    return sorted(int(level) for name, level in medians.index if name == series)


def steps_of(evaluation: Mapping, backbone: str, setting: str, method: str) -> int | None:
    """Return how many steps of fine-tuning the evaluation gave a recipe on a network; None where it did not run it, or not alike.

    Args:
        evaluation: parameters of the table of main results, as its provenance has them: ``plan`` and ``effort``.
    """
    counts = set()
    for part in evaluation.get("plan", ()):
        effort = {**evaluation.get("effort", {}), **{name: part[name] for name in EFFORT if name in part}}
        if (
            Path(part["backbone"]).stem == backbone
            and setting in part["settings"]
            and method in part["methods"]
            and {"rounds", "steps_per_round"} <= set(effort)
        ):
            counts.add(effort["rounds"] * effort["steps_per_round"])
    return counts.pop() if len(counts) == 1 else None


def told_seconds(timing: pd.DataFrame, record: Mapping, steps: Mapping[str, int]) -> str:
    """Return two sentences on where the seconds of the leaderboard come from.

    Args:
        timing: table of the question ``timing``.
        record: its provenance.
        steps: as the leaderboard has them, of recipes whose time is put together from parts.
    """
    whole = timing[(timing["series"] == WHOLE) & timing["seconds"].notna()]
    if whole.empty:
        return ""
    found = parts(timing)
    pictures = f", with {found.pictures} calibration pictures" if found else ""
    machine = f" ({record['cpu']})" if record.get("cpu") else ""
    told = (
        f"Seconds are medians of {_repeats(whole)} on one thread, all timed in turn on one machine{machine}{pictures} and "
        f"{whole['dataset'].iloc[0]}."
    )
    if found:
        timed = several([str(n) for n in found.timed])
        told += "".join(
            f" Those of {label(name)} (≈) are put together from parts measured there: {found.calibration:.1f} s of calibration, "
            f"{found.clipping:.1f} s of clipping, and {count} steps of {found.step:.2f} s, the slope of a line from 0 through {timed} timed steps."
            for name, count in steps.items()
        )
    return f"{told} Where there are none, the recipe was not timed."


def _repeats(whole: pd.DataFrame) -> str:
    count = int(whole.groupby("level")["sample"].nunique().min())
    return f"{count} repeats" if count > 1 else "one measurement"


def timed_whole(timing: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return the median seconds of whole recipes by network, setting and recipe."""
    whole = timing[(timing["series"] == WHOLE) & timing["seconds"].notna()]
    return whole.groupby(["backbone", "setting", "level"])["seconds"].median().to_dict()


def places_timed(timing: pd.DataFrame) -> Sequence[tuple[str, str]]:
    """Networks with the settings that their parts were timed at."""
    rows = timing[(timing["series"] == _TUNING) & timing["seconds"].notna()]
    return list(rows[["backbone", "setting"]].drop_duplicates().itertuples(index=False, name=None))
