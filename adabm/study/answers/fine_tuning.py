"""How much fine-tuning, and at which learning rate?"""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.question import Question
from .measured import measured
from .significance import paired_difference

QUESTION = Question(
    "fine_tuning",
    6,
    "How much fine-tuning, and at which learning rate?",
    "The model is measured along fine-tuning, at several learning rates.",
    "Quality along fine-tuning, by learning rate",
)
_ENOUGH = 0.05  # dB; a step is as good as the last to within this, or the spread over seeds
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
    """Draw loss and FAB along fine-tuning, the rounds of the full rotation shaded and named by the group whose turn it is."""
    shades = [(r * steps_per_round, (r + 1) * steps_per_round, _GROUPS[r % len(_GROUPS)]) for r in range(rounds)]
    traced = measured(table, "step")
    return {"": question_figures.plot_sweep(traced, ["loss_db", "fab"], "step", log=False, shades=shades)}


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


def conclusion(
    table: pd.DataFrame, runs: Mapping[str, Mapping], steps: Sequence[int], steps_per_round: int
) -> list[str]:
    """Tell of each run what fine-tuning gains, which step is enough and which the best.

    Args:
        runs, steps: as in :func:`trials`; what was not run is not told of.
    """
    traced = measured(table, "step")
    told = []
    for name in dict.fromkeys(traced["series"]):
        last = max(runs[name].get("steps", steps))
        rows = traced[traced["series"] == name]
        at = {int(level): group.set_index("seed")["psnr_y_db"] for level, group in rows.groupby("level")}
        if last not in at:
            told.append(f"**{name}** diverged before step {last}.")
            continue
        total = paired_difference(at[last], at[0])
        best = max(at, key=lambda step: at[step].mean())
        enough = first_as_good(at, last)
        share = share_of_first_round(at, last, steps_per_round)
        told.append(
            f"**{name}**: from {at[0].mean():.2f} to {at[last].mean():.2f} dB in {last} steps ({total.tell()}"
            + (f", {share:.0%} of it in the first {steps_per_round} steps" if share is not None else "")
            + f"); {f'step {enough} is enough' if enough else 'no step is needed'}, "
            f"the best is step {best} with {at[best].mean():.2f} dB."
        )
    return told


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
