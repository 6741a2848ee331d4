"""Models that were planned and not run, and how long they would take, from measured times of their parts."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..plan.effort import Effort
from ..running.bench import Trial
from ..running.runs import NOT_RUN
from ..running.timing import linear_fit
from ..tables.networks import network
from ..tables.schema import read_study_table
from ..tables.wording import several

_MODEL = ["backbone", "setting", "series", "variable", "level", "seed"]


def core_hours(timing: pd.DataFrame, trials: Iterable[Trial], effort: Effort) -> float:
    """Estimate the hours of one core that trials take to calibrate and fine-tune; measuring pictures is not included.

    Args:
        timing: the table of the timing question, of the same network and patch size.
    """
    seconds = timing.dropna(subset=["seconds"]).assign(
        count=lambda table: pd.to_numeric(table["level"], errors="coerce")
    )
    calibration = seconds[seconds["series"] == "calibration"].groupby("count")["seconds"].median()
    steps = seconds[seconds["series"] == "fine-tuning"].groupby("count")["seconds"].median()
    start, per_picture = linear_fit(calibration.index, calibration)
    per_step = float((steps / steps.index).median())
    total = 0.0
    for trial in trials:
        tuning = trial.run.config(effort).step("tune")
        total += (
            start
            + per_picture * len(trial.calibration)
            + (per_step * tuning.total_steps if tuning is not None else 0.0)
        )
    return total / 3600


def tell_planned(trials: Sequence[Trial], effort: Effort, timing: Path | None) -> str:
    """Return a sentence on how many models are to be run, and how long the others would take.

    Args:
        timing: file of the times of one network, which the sentence names; None where trials are of several networks, and no time is told.
    """
    left_out = [trial for trial in trials if not trial.wanted]
    text = f"{len(trials) - len(left_out)} of {len(trials)} models are to be run"
    if left_out and timing is not None and timing.is_file():
        times = read_study_table(timing)
        hours = core_hours(times, left_out, effort)
        names = several([network(name) for name in times["backbone"].unique()])
        text += f"; quantizing the others takes about {hours:.1f} core-hours by the measured times of {names}"
    return text + "."


def tell_left_out(table: pd.DataFrame) -> list[str]:
    """Return a sentence on the models that were planned and not run, from a question's table; none where all were run."""
    rows = table[table["status"] == NOT_RUN]
    along = rows["variable"] == "step"  # a model's rows, one a step
    models = rows.assign(level=rows["level"].mask(along, ""))[_MODEL].drop_duplicates()
    if models.empty:
        return []
    return [f"Planned and not run: {len(models)} models ({', '.join(models['series'].unique())})."]
