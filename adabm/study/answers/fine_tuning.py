"""How much fine-tuning, and at which learning rate?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.panel_figures import plot_panels
from ..plan.effort import Effort
from ..running.bench import Trial
from ..tables.conclusion import advised, answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import least_to_most, several
from .asked import Asked
from .measured import measured
from .tuning_advice import advice, rows_advised
from .tuning_outcomes import ENOUGH, WORTHWHILE, Tuned, best_run, outcomes
from .tuning_rates import learning_rate, told_rates
from .tuning_telling import (
    begun_at,
    divergences,
    ends,
    from_own_bits,
    harmful,
    harming,
    peaks,
    turns,
    verdict,
)
from .tuning_turns import alone, group_name

QUESTION = Question(
    "fine_tuning",
    6,
    "How much fine-tuning, and at which learning rate?",
    "Models are measured along fine-tuning, at several learning rates. Runs start from the weight ranges of the released search or from "
    "those searched at each layer's own bits, which may start many dB higher: what counts is which run ends best, not which gains most.",
    "Quality along fine-tuning, by learning rate",
)
_OTHERS = (
    "Steps that are enough were read off the evaluated pictures. The page of stopping asks when to stop without looking at them, along other "
    "runs, tuned and measured on small patches: where it says otherwise, follow the page whose ranges, patches and steps are yours. The "
    "mappings have turns of a few steps here, in which bits hardly move; what tuning them alone, for longer and faster, gives is asked on "
    "the pages of the bit loss and of the gradient."
)


def trials(
    network: Asked, pictures: int, runs: Mapping[str, Mapping], steps: Sequence[int]
) -> dict[tuple[int, ...], list[Trial]]:
    """Return the fine-tunings of a network to trace, by the steps after which they are measured.

    Args:
        network: it may have ``steps`` of its own.
        pictures: random calibration pictures.
        runs: by series: ``method`` and, where they differ, ``changes``, ``steps``, ``run``; ``backbones`` (names of the
            files) and ``seeds``, which limit it to some of them.
    """
    by_steps: dict[tuple[int, ...], list[Trial]] = {}
    for name, options in network.methods(runs).items():
        at = tuple(options.get("steps", network.own.get("steps", steps)))
        for run in network.runs(options):
            chosen = network.bench.choose("random", pictures, run)
            by_steps.setdefault(at, []).append(Trial(name, "step", "", run, chosen, options.get("run", True)))
    return by_steps


def trace(networks: Sequence[Asked], by_steps: Sequence[Mapping[tuple[int, ...], Sequence[Trial]]]) -> pd.DataFrame:
    """Trace what :func:`trials` returned, on the first set of each network; return the question's table, network by network."""
    tables = [
        network.bench.trace(QUESTION.id, of_steps, steps)
        for network, of_network in zip(networks, by_steps, strict=True)
        for steps, of_steps in of_network.items()
    ]
    return pd.concat(tables).drop_duplicates(ignore_index=True)  # full precision is in each


def figures(table: pd.DataFrame, runs: Mapping[str, Mapping], effort: Effort) -> dict[str, Figure]:
    """Draw the loss along fine-tuning: rows of a network, a panel a run, rounds shaded and named by the group whose turn it is."""
    shades, notes = {}, {}
    for name, of_network in outcomes(table, runs, effort).items():
        for run, tuned in of_network.items():
            if isinstance(tuned, Tuned):
                shades[name, run] = [(begin, end, group[0]) for begin, end, group in tuned.turns.rounds_of]
                notes[name, run] = f"PSNR {tuned.total.told()}" + (
                    f" ({tuned.diverged} seeds diverged)" if tuned.diverged else ""
                )
            else:
                notes[name, run] = f"diverged before step {tuned}"
    label = "step (w, a, m: ranges of weights, ranges of activations, mappings are trained)"
    return {"": plot_panels(named(measured(table, "step")), "loss_db", label, shades, notes)}


def conclusion(table: pd.DataFrame, runs: Mapping[str, Mapping], effort: Effort, patches: str = "") -> list[str]:
    """Tell by network what the run that ends best gains, how many steps of it are enough, and what worsens; then each run in a table.

    Args:
        runs, effort: as for :func:`.tuning_outcomes.outcomes`; what was not run is not told of.
        patches: of which size models are calibrated and tuned on, as :func:`adabm.study.pages.scope.patch_sizes` tells it.
    """
    found = outcomes(table, runs, effort)
    ended = {
        name: {run: tuned for run, tuned in of_network.items() if isinstance(tuned, Tuned)}
        for name, of_network in found.items()
    }
    ended = {name: of_network for name, of_network in ended.items() if of_network}
    if not ended:
        return [answer("No run came to its end: all diverged."), *divergences(found)]
    rule = (
        f"Enough is the first step measured that is no more than {ENOUGH} dB, or the spread over seeds up to {WORTHWHILE} dB, below the last; "
        f"less than {WORTHWHILE} dB, or than that spread, is hardly anything."
    )
    rates = _rates(table, runs, effort)
    where = [_told_scope(ended, runs, patches, measured(table, "step"))]
    where += [] if len(found) > 1 else [f"This is one network, {next(iter(found))}.", alone(next(iter(ended.values())))]
    told = [told_rates(ended, runs, rates, harming(ended, rates)), begun_at(ended, runs, rates), *peaks(ended)]
    own_bits = from_own_bits(ended, runs)
    return [
        answer(verdict(found, ended, runs)),
        *filter(
            None, [" ".join(filter(None, [harmful(found, ended, rates), *told, ends(ended), *divergences(found)]))]
        ),
        *turns(ended),
        " ".join(filter(None, [rule, *where, _OTHERS])),
        practice(advice(ended, rates, own_bits)),
        *(advised(rows_advised(ended, rates, own_bits)) if len(ended) > 1 else []),
        *evidence([_row(name, run, tuned) for name, of in ended.items() for run, tuned in of.items()]),
    ]


def _told_scope(
    ended: Mapping[str, Mapping[str, Tuned]], runs: Mapping[str, Mapping], patches: str, steps: pd.DataFrame
) -> str:
    """Which runs all of this is of: patches, steps, and the weight ranges that those start from that end best."""
    best = [of[best_run(of)] for of in ended.values()]
    start = " from weight ranges at own bits" if from_own_bits(ended, runs) else ""
    sets = several(list(dict.fromkeys(steps["dataset"])))
    on = f" on {patches} low-resolution pixels" if patches else ""
    return f"What ends best are runs of {least_to_most([tuned.last for tuned in best], 'd')} steps{start}{on}, measured on whole pictures of {sets}."


def _rates(table: pd.DataFrame, runs: Mapping[str, Mapping], effort: Effort) -> dict[tuple[str, str], str]:
    """The learning rate of each network and run that was measured."""
    first = named(measured(table, "step")).drop_duplicates(["backbone", "series"])
    return {
        (row.backbone, row.series): learning_rate(runs[row.series], row.setting, effort) for row in first.itertuples()
    }


def _row(name: str, run: str, tuned: Tuned) -> dict[str, str]:
    turns_of = tuned.turns
    return {
        "network": name,
        "run": run,
        "steps": str(tuned.last),
        "not fine-tuned (dB)": f"{tuned.start:.2f}",
        "fine-tuned (dB)": f"{tuned.end:.2f}",
        **tuned.total.cells("p (paired, not adjusted)"),
        "seeds": str(tuned.seeds),
        "first round": f"{turns_of.steps_per_round} steps, {group_name(turns_of.groups[0])}",
        "of the difference in it": "" if tuned.share is None else f"{tuned.share:.0%}",
        "plateau from step": str(tuned.enough) + (" (turn over)" if tuned.over else ""),
        "best step": f"{tuned.best} ({tuned.peak:.2f} dB)",
    }
