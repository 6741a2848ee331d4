"""How much fine-tuning, and at which learning rate?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from ..pages.panel_figures import plot_panels
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import network
from ..tables.question import Question
from ..tables.wording import several
from .measured import measured
from .significance import Difference, paired_difference

QUESTION = Question(
    "fine_tuning",
    6,
    "How much fine-tuning, and at which learning rate?",
    "The model is measured along fine-tuning, at several learning rates.",
    "Quality along fine-tuning, by learning rate",
)
_ENOUGH = 0.05  # dB; a step is as good as the last to within this, or the spread over seeds
_WORTHWHILE = 0.1  # dB; less is hardly a gain
_GROUPS = "wam"  # ranges of weights, of activations, mapping: whose turn it is, round by round


def trials(
    bench: Bench, setting: str, pictures: int, runs: Mapping[str, Mapping], steps: Sequence[int], seeds: Sequence[int]
) -> dict[tuple[int, ...], list[Trial]]:
    """Return the fine-tunings to trace, by the steps after which they are measured: a shorter recipe has steps of its own.

    Args:
        pictures: random calibration pictures.
        runs: by series: ``preset`` and, where they differ, ``changes``, ``seeds``, ``steps``, ``run``.

    Raises:
        ConfigError: a run has an unknown key or lacks one.
    """
    by_steps: dict[tuple[int, ...], list[Trial]] = {}
    for name, options in runs.items():
        check_keys(f"runs, {name}", options, ["preset"], ["changes", "seeds", "steps", "run"])
        for seed in options.get("seeds", seeds):
            run = Run.at(options["preset"], setting, seed, options.get("changes"))
            trial = Trial(name, "step", "", run, bench.choose("random", pictures, run), options.get("run", True))
            by_steps.setdefault(tuple(options.get("steps", steps)), []).append(trial)
    return by_steps


def figures(table: pd.DataFrame, rounds: int, steps_per_round: int) -> dict[str, Figure]:
    """Draw the loss along fine-tuning, a panel a run, the rounds of the full rotation shaded and named by the group whose turn it is."""
    shades = [(r * steps_per_round, (r + 1) * steps_per_round, _GROUPS[r % len(_GROUPS)]) for r in range(rounds)]
    traced = measured(table, "step")
    label = "step (w, a, m: ranges of weights, ranges of activations, mappings are trained)"
    return {"": plot_panels(traced, "loss_db", label, shades)}


def mean_psnr(table: pd.DataFrame) -> pd.DataFrame:
    """Return PSNR in dB, mean over seeds: a row a run, a column a step, in ascending order."""
    traced = measured(table, "step")
    steps = traced.assign(step=traced["level"].astype(int))
    means = steps.pivot_table(index="series", columns="step", values="psnr_y_db", sort=False)
    return means[sorted(means)]


def gains_by_round(means: pd.DataFrame, steps_per_round: int) -> pd.DataFrame:
    """Return PSNR after a round minus PSNR before it in dB, for rounds that were measured at both ends.

    Args:
        means: what :func:`mean_psnr` returned.
    """
    ends = [0] + [step for step in means if step and step % steps_per_round == 0]
    pairs = [(a, b) for a, b in itertools.pairwise(ends) if b - a == steps_per_round]
    gains = {f"round {b // steps_per_round}, steps {a + 1} to {b}": means[b] - means[a] for a, b in pairs}
    return pd.DataFrame(gains).dropna(how="all")


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning did in one run, over its seeds.

    Attributes:
        last, enough, best: steps; ``enough`` is the first that is as good as the last.
        start, end, peak: PSNR in dB before, after ``last`` and after ``best`` steps.
        total: the difference of end and start.
        share: of it, what the first round has; None where that was not measured or would mislead.
    """

    last: int
    enough: int
    best: int
    start: float
    end: float
    peak: float
    total: Difference
    share: float | None
    seeds: int

    @property
    def helps(self) -> bool:
        """Whether it gains at least 0.1 dB, and more than the spread over seeds."""
        return self.total.mean >= _WORTHWHILE and self.total.clear


def outcomes(
    table: pd.DataFrame, runs: Mapping[str, Mapping], steps: Sequence[int], steps_per_round: int
) -> dict[str, Tuned | None]:
    """Return what became of each run that was measured; None of one that diverged before its last step.

    Args:
        runs, steps: as in :func:`trials`.
    """
    traced = measured(table, "step")
    found: dict[str, Tuned | None] = {}
    for name, rows in traced.groupby("series", sort=False):
        last = max(runs[name].get("steps", steps))
        at = {int(level): group.set_index("seed")["psnr_y_db"] for level, group in rows.groupby("level")}
        if last not in at:
            found[name] = None
            continue
        best = max(at, key=lambda step: at[step].mean())
        found[name] = Tuned(
            last, first_as_good(at, last), best, at[0].mean(), at[last].mean(), at[best].mean(),
            paired_difference(at[last], at[0]), share_of_first_round(at, last, steps_per_round), len(at[last]),
        )  # fmt: skip
    return found


_OTHERS = (
    "When to stop without looking at evaluated pictures, on other networks too, is asked on the page of stopping, where PSNR stands "
    "at other levels, since models are tuned and measured on small patches there."
)


def conclusion(
    table: pd.DataFrame, runs: Mapping[str, Mapping], steps: Sequence[int], steps_per_round: int
) -> list[str]:
    """Tell what the best run gains and how many steps of it are enough, then each run in a table.

    Args:
        runs, steps: as in :func:`trials`; what was not run is not told of.
    """
    found = outcomes(table, runs, steps, steps_per_round)
    ended = {name: tuned for name, tuned in found.items() if tuned is not None}
    diverged = [
        f"{name} diverged before step {max(runs[name].get('steps', steps))}" for name in found if name not in ended
    ]
    details = [f"{several(diverged)}."] if diverged else []
    if not ended:
        return [answer("No run came to its end: all diverged."), *details]
    highest = _best(ended)
    ends = [tuned.end for tuned in ended.values()]
    details.insert(
        0,
        f"The {len(ended)} runs end between {min(ends):.2f} and {max(ends):.2f} dB. A run is on its plateau, high or low, as soon as "
        f"PSNR is no more than {_ENOUGH} dB or the spread over seeds below that of its last step; the best step is chosen by looking.",
    )
    enough = sorted({tuned.enough for tuned in ended.values()})
    if len(enough) > 1:
        details.append(f"By run that takes {enough[0]} to {enough[-1]} steps, see below.")
    rows = [_row(name, tuned, steps_per_round) for name, tuned in ended.items()]
    return [
        answer(_verdict(highest, ended)),
        " ".join([*details, f"This is one network, {network(table['backbone'].iloc[0])}.", _OTHERS]),
        practice(_advice(highest, ended[highest])),
        *evidence(rows),
    ]


def _best(ended: Mapping[str, Tuned]) -> str:
    """The run that ends best; of those that end no more than 0.05 dB below it, the one of the most seeds."""
    highest = max(tuned.end for tuned in ended.values())
    near = [name for name, tuned in ended.items() if tuned.end >= highest - _ENOUGH]
    return max(near, key=lambda name: (ended[name].seeds, ended[name].end))


def _verdict(name: str, ended: Mapping[str, Tuned]) -> str:
    tuned, (first, released) = ended[name], next(iter(ended.items()))
    change = f"{tuned.total.mean:+.2f} dB in {tuned.last} steps ({_seeds(tuned)})"
    if not tuned.helps:
        return f"Fine-tuning gains hardly anything here: the run that ends best, {name}, changes PSNR by {change}."
    told = "no step is" if tuned.enough == 0 else "one step is" if tuned.enough == 1 else f"{tuned.enough} steps are"
    text = f"{told} enough: the run that ends best, {name}, gains {change}, and nothing more after step {tuned.enough}"
    text += f"; {first} needs {released.enough}." if released.enough > tuned.enough else "."
    return text[0].upper() + text[1:]


def _advice(name: str, tuned: Tuned) -> str:
    if not tuned.helps:
        return "leave fine-tuning out where time matters."
    return f"stop after about {max(1, tuned.enough)} of the {tuned.last} steps, with {name}."


def _seeds(tuned: Tuned) -> str:
    return "one seed" if tuned.seeds == 1 else f"{tuned.seeds} seeds"


def _row(name: str, tuned: Tuned, steps_per_round: int) -> dict[str, str]:
    share = "" if tuned.share is None else f"{tuned.share:.0%}"
    return {
        "run": name,
        "steps": str(tuned.last),
        "before (dB)": f"{tuned.start:.2f}",
        "after (dB)": f"{tuned.end:.2f}",
        **tuned.total.cells("p (paired)"),
        "seeds": str(tuned.seeds),
        f"of it in the first {steps_per_round} steps": share,
        "plateau from step": str(tuned.enough),
        "best step": f"{tuned.best} ({tuned.peak:.2f} dB)",
    }


def first_as_good(at: Mapping[int, pd.Series], last: int) -> int:
    """Return the first step that is no worse than the last by more than 0.05 dB or the spread over seeds.

    Args:
        at: PSNR in dB by seed, by step.
    """
    return min(
        step
        for step in at
        if at[step].mean() >= at[last].mean() - max(_ENOUGH, paired_difference(at[step], at[last]).spread)
    )


def share_of_first_round(at: Mapping[int, pd.Series], last: int, steps_per_round: int) -> float | None:
    """Return what part of the whole gain the first round has; None where that was not measured or would mislead."""
    total = paired_difference(at[last], at[0])
    if steps_per_round not in at or not total.clear or abs(total.mean) <= _ENOUGH:
        return None
    share = (at[steps_per_round].mean() - at[0].mean()) / total.mean
    return share if 0 <= share <= 1.2 else None
