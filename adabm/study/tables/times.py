"""How long quantizing took: what the leaderboard tells of the question ``timing``, and where its seconds come from."""

from collections.abc import Iterator, Mapping, Sequence
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
        picture: seconds that one more adds, the slope of a straight line fitted to all numbers timed; None where one was.
        timed: numbers of steps that were timed; ``step`` is the slope of a straight line fitted to them and nothing at no step.
    """

    pictures: int
    calibration: float
    picture: float | None
    clipping: float
    step: float
    timed: tuple[int, ...]

    def whole(self, steps: int, pictures: int | None = None) -> float | None:
        """Seconds of the recipe with so many steps, put together; None where it is not known what another number of pictures takes."""
        more = 0 if pictures is None else pictures - self.pictures
        if more and self.picture is None:
            return None
        return self.calibration + (more * self.picture if more else 0.0) + self.clipping + steps * self.step

    @property
    def fitted_to(self) -> str:
        """The numbers of steps that the line of :attr:`step` is fitted to, as a sentence lists them."""
        return f"{several([str(count) for count in (0, *self.timed)])} steps"


def parts(timing: pd.DataFrame) -> Parts | None:
    """Return the parts that a table of the question ``timing`` holds; None where one is missing."""
    timed = timing[timing["seconds"].notna()]
    medians = timed.groupby(["series", "level"])["seconds"].median()
    pictures = _counts(medians, _CALIBRATION)
    steps = _counts(medians, _TUNING)
    if not pictures or not steps or ("quantize", "clipping") not in medians:
        return None
    taken = [medians[_TUNING, str(n)] for n in steps]
    calibrated = [medians[_CALIBRATION, str(n)] for n in pictures]
    return Parts(
        max(pictures),
        calibrated[-1],
        linear_fit(pictures, calibrated)[1] if len(pictures) > 1 else None,
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
    counts = {
        effort["rounds"] * effort["steps_per_round"]
        for effort in _efforts(evaluation, backbone, setting, method)
        if {"rounds", "steps_per_round"} <= set(effort)
    }
    return counts.pop() if len(counts) == 1 else None


def patches_of(evaluation: Mapping, backbone: str, setting: str) -> tuple[int, int] | None:
    """Return from how many patches the evaluation made the models of a network, and their side in LR pixels; None where not alike.

    Args:
        evaluation: as for :func:`steps_of`.
    """
    found = {(effort.get("patches"), effort.get("patch_size")) for effort in _efforts(evaluation, backbone, setting)}
    known = found.pop() if len(found) == 1 else (None, None)
    return known if None not in known else None


def _efforts(evaluation: Mapping, backbone: str, setting: str, method: str | None = None) -> Iterator[dict]:
    """The effort of each part of the plan that has the network at the setting and, if one is named, the method."""
    for part in evaluation.get("plan", ()):
        if (
            Path(part["backbone"]).stem == backbone
            and setting in part["settings"]
            and (method in part["methods"] if method else part["methods"])
        ):
            yield {**evaluation.get("effort", {}), **{name: part[name] for name in EFFORT if name in part}}


def told_amounts(timing: pd.DataFrame, patches: tuple[int, int] | None) -> str:
    """Return from how many patches losses and seconds come, in a few words; empty where from as many, or where it is not known.

    Args:
        patches: what :func:`patches_of` returned.
    """
    found = parts(timing)
    if found is None or patches is None or (found.pictures == patches[0] and _sides_alike(timing, patches)):
        return ""
    return f"losses are of models from {patches[0]} patches, seconds with {found.pictures} pictures"


def _sides_alike(timing: pd.DataFrame, patches: tuple[int, int]) -> bool:
    return set(timing.loc[timing["series"] == _CALIBRATION, "dataset"]) == {f"patches of {patches[1]}x{patches[1]}"}


def told_seconds(
    timing: pd.DataFrame, record: Mapping, steps: Mapping[str, int], patches: tuple[int, int] | None = None
) -> str:
    """Return a few sentences on where the seconds of the leaderboard come from, and its losses where from other patches.

    Args:
        timing: table of the question ``timing``.
        record: its provenance.
        steps: as the leaderboard has them, of recipes whose time is put together from parts.
        patches: of the evaluated models, as :func:`patches_of` returned them.
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
    if told_amounts(timing, patches):
        told += (
            f" Losses are of models from {patches[0]} patches of {patches[1]}x{patches[1]}, none of which was timed."
        )
    if found:
        told += "".join(
            f" Those of {label(name)} (≈) are put together from parts measured there: {found.calibration:.1f} s of calibration"
            f"{_of_more(timing, found, patches)}, {found.clipping:.1f} s of clipping, and {count} steps of about {found.step:.2f} s, "
            f"extrapolated along a straight line fitted to {found.fitted_to}."
            for name, count in steps.items()
        )
    return f"{told} Where there are none, the recipe was not timed."


def _of_more(timing: pd.DataFrame, found: Parts, patches: tuple[int, int] | None) -> str:
    """What calibration on as many pictures as the evaluated models had would take more or less, where patches are of one size."""
    if patches is None or found.picture is None or not _sides_alike(timing, patches) or patches[0] == found.pictures:
        return ""
    more = (patches[0] - found.pictures) * found.picture
    return f" (with {patches[0]} pictures about {abs(more):.0f} s {'more' if more > 0 else 'less'})"


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
