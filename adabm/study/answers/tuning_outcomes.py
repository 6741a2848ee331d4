"""What fine-tuning does along its steps, network by network, run by run: gains, plateaus, and whose turn it was."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..plan.cells import Run
from ..plan.effort import Effort
from ..running.runs import DIVERGED, MEASURED
from ..tables.networks import network
from .measured import measured
from .significance import Difference, paired_difference

ENOUGH = 0.05  # dB; a step is as good as the last to within this, or the spread over seeds
WORTHWHILE = 0.1  # dB; less is hardly a gain, or a loss


@dataclass(frozen=True)
class Turns:
    """Groups of parameters take turns, a round each.

    >>> turns = Turns(("weight", "activation"), rounds=4, steps_per_round=5)
    >>> turns.over(5), turns.over(7), Turns(("weight",), rounds=4, steps_per_round=5).over(5)
    ('weight', None, None)
    """

    groups: tuple[str, ...]
    rounds: int
    steps_per_round: int

    @classmethod
    def of(cls, options: Mapping, setting: str, effort: Effort) -> "Turns":
        """Return the turns of a run: of its method, with its changes, else as ``effort`` says."""
        tuning = Run.at(options["method"], setting, 0, options.get("changes")).config(effort).step("tune")
        return cls(tuple(tuning.groups), tuning.rounds, tuning.steps_per_round)

    @property
    def rounds_of(self) -> list[tuple[int, int, str]]:
        """Each round: steps before it, steps after it, and the group whose turn it is."""
        ends = [number * self.steps_per_round for number in range(self.rounds + 1)]
        return [(*pair, self.groups[r % len(self.groups)]) for r, pair in enumerate(itertools.pairwise(ends))]

    def over(self, step: int) -> str | None:
        """Return the group whose turn ends with a step; None inside a round, or where one group has all turns."""
        ended = [group for _, end, group in self.rounds_of if end == step]
        return ended[0] if ended and len(self.groups) > 1 else None


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning did in one run, over the seeds that came to its end.

    Attributes:
        last, enough, best: steps; ``enough`` is the first that is as good as the last.
        start, end, peak: PSNR in dB before, after ``last`` and after ``best`` steps.
        total: the difference of end and start; ``risen`` that of peak and start.
        reached, fab: PSNR in dB and FAB after ``enough`` steps; ``gained``: what PSNR has risen by then.
        by_turn: what the turns of each group change; nothing where that was not measured.
        moved: FAB before and after all steps.
        share: of it, what the first round has; None where that was not measured, is all of the run, or would mislead.
        diverged: seeds that did not come to its end.
    """

    turns: Turns
    last: int
    enough: int
    best: int
    start: float
    end: float
    peak: float
    total: Difference
    risen: Difference
    reached: float
    fab: float
    gained: Difference
    share: float | None
    by_turn: Mapping[str, Difference]
    moved: tuple[float, float]
    seeds: int
    diverged: int = 0

    @property
    def helps(self) -> bool:
        """Whether it gains at least 0.1 dB, and more than the spread over seeds."""
        return self.total.mean >= WORTHWHILE and self.total.clear

    @property
    def harms(self) -> bool:
        """Whether it loses at least 0.1 dB, clearly where several seeds can tell."""
        sure = self.total.clear if self.seeds == 1 else self.total.sure
        return self.total.mean <= -WORTHWHILE and sure

    @property
    def loses(self) -> bool:
        """Whether it loses at least 0.1 dB, clearly or not."""
        return self.total.mean <= -WORTHWHILE

    @property
    def falls(self) -> bool:
        """Whether it hardly helps at its end, but did at its best step, which is chosen by looking."""
        return not self.helps and not self.harms and self.peak - max(self.start, self.end) >= WORTHWHILE

    @property
    def rising(self) -> bool:
        """Whether no step before its last is as good."""
        return self.enough == self.last

    @property
    def over(self) -> str | None:
        """The group with the end of whose turn the plateau begins, so that it tells nothing about how many steps that group needs."""
        return None if self.rising else self.turns.over(self.enough)


def outcomes(table: pd.DataFrame, runs: Mapping[str, Mapping], effort: Effort) -> dict[str, dict[str, Tuned | int]]:
    """Return what became of each run that was measured, by network, as people call it.

    Of a run that diverged with all seeds that is the step that it should have come to.

    Args:
        runs: by series: ``method`` and its ``changes``.
        effort: rounds, and steps a round, of what has none of its own.
    """
    traced = table[(table["variable"] == "step") & table["status"].isin([MEASURED, DIVERGED])]
    found: dict[str, dict[str, Tuned | int]] = {}
    for (name, series), rows in traced.assign(level=traced["level"].astype(int)).groupby(
        ["backbone", "series"], sort=False
    ):
        turns = Turns.of(runs[series], rows["setting"].iloc[0], effort)
        found.setdefault(network(name), {})[series] = _outcome(rows, turns)
    return found


def _outcome(rows: pd.DataFrame, turns: Turns) -> Tuned | int:
    last = int(rows["level"].max())
    here = rows[rows["status"] == MEASURED]
    ended = sorted(here.loc[here["level"] == last, "seed"])
    if not ended:
        return last
    here = here[here["seed"].isin(ended)]
    at = {int(level): group.set_index("seed")["psnr_y_db"] for level, group in here.groupby("level")}
    bits = here.groupby("level")["fab"].mean()
    best, enough = max(at, key=lambda step: at[step].mean()), first_as_good(at, last)
    return Tuned(
        turns, last, enough, best, at[0].mean(), at[last].mean(), at[best].mean(),
        paired_difference(at[last], at[0]), paired_difference(at[best], at[0]),
        at[enough].mean(), bits[enough], paired_difference(at[enough], at[0]), share_of_first_round(at, last, turns.steps_per_round),
        changes_by_turn(at, turns, last), (bits[0], bits[last]), len(ended), rows["seed"].nunique() - len(ended),
    )  # fmt: skip


def first_as_good(at: Mapping[int, pd.Series], last: int) -> int:
    """Return the first step that is no worse than the last by more than 0.05 dB, or by the spread over seeds up to 0.1 dB.

    Args:
        at: PSNR in dB by seed, by step.
    """
    return min(
        step
        for step in at
        if at[step].mean()
        >= at[last].mean() - max(ENOUGH, min(WORTHWHILE, paired_difference(at[step], at[last]).spread))
    )


def share_of_first_round(at: Mapping[int, pd.Series], last: int, steps_per_round: int) -> float | None:
    """Return what part of the whole gain the first round has; None where that was not measured, is all of the run, or would mislead."""
    total = paired_difference(at[last], at[0])
    if steps_per_round not in at or steps_per_round >= last or not total.clear or abs(total.mean) <= ENOUGH:
        return None
    share = (at[steps_per_round].mean() - at[0].mean()) / total.mean
    return share if 0 <= share <= 1.2 else None


def changes_by_turn(at: Mapping[int, pd.Series], turns: Turns, last: int) -> dict[str, Difference]:
    """Return what the turns of each group change up to the last step, over seeds.

    Nothing where one group has all turns, or a round was not measured at both its ends.

    Args:
        at: PSNR in dB by seed, by step.
    """
    rounds = [one for one in turns.rounds_of if one[1] <= last]
    whole = bool(rounds) and rounds[-1][1] == last and all(begin in at and end in at for begin, end, _ in rounds)
    if len(turns.groups) == 1 or not whole:
        return {}
    changes: dict[str, pd.Series] = {}
    for begin, end, group in rounds:
        changes[group] = changes.get(group, 0.0) + (at[end] - at[begin])
    if any(change.dropna().empty for change in changes.values()):
        return {}
    return {group: paired_difference(change, 0.0 * change) for group, change in changes.items()}


def best_run(ended: Mapping[str, Tuned]) -> str:
    """Return the run that ends best; of those that end no more than 0.05 dB below it, the one of the most seeds."""
    highest = max(tuned.end for tuned in ended.values())
    near = [name for name, tuned in ended.items() if tuned.end >= highest - ENOUGH]
    return max(near, key=lambda name: (ended[name].seeds, ended[name].end))


def mean_psnr(table: pd.DataFrame) -> pd.DataFrame:
    """Return PSNR in dB, mean over seeds: a row a network and run, a column a step, in ascending order."""
    traced = measured(table, "step")
    steps = traced.assign(step=traced["level"].astype(int))
    means = steps.pivot_table(index=["backbone", "series"], columns="step", values="psnr_y_db", sort=False)
    return means[sorted(means)]


def gains_by_round(table: pd.DataFrame, runs: Mapping[str, Mapping], effort: Effort) -> pd.DataFrame:
    """Return PSNR after a round minus PSNR before it in dB, mean over seeds, for rounds that were measured at both ends.

    A row a network and run, with its steps a round and the groups in turn; a column a round.
    """
    means = mean_psnr(table)
    settings = measured(table, "step").groupby(["backbone", "series"], sort=False)["setting"].first()
    rows = []
    for place, of_run in means.iterrows():
        turns = Turns.of(runs[place[1]], settings[place], effort)
        at = of_run.dropna()
        gains = {
            f"round {number}": at[end] - at[begin]
            for number, (begin, end, _) in enumerate(turns.rounds_of, 1)
            if begin in at and end in at
        }
        if gains:
            given = {"steps a round": turns.steps_per_round, "turns": ", ".join(turns.groups)}
            rows.append(dict(zip(["backbone", "series"], place)) | given | gains)
    return pd.DataFrame(rows, columns=None if rows else ["backbone", "series"]).set_index(["backbone", "series"])
