"""How many iterations, and when to stop?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...errors import ConfigError
from ..pages.stopping_figures import plot_stopping
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.at_once import at_once
from ..tables.conclusion import advised, answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from .asked import Asked
from .probing import mapping_table
from .stopping_advice import advice, rows_advised
from .stopping_extents import RELEASED
from .stopping_gains import certainties, networks, states
from .stopping_telling import Start, also, details, limits, verdict
from .stopping_traces import trace
from .tuning_rates import learning_rate

_OTHER = "other_start"
_NEAR = 0.95  # of the fall of the loss
_DIGITS = 3  # as tables have them, so that a mean is not rounded otherwise there

QUESTION = Question(
    "stopping",
    16,
    "How many iterations, and when to stop?",
    "The model is looked at every few steps of fine-tuning. Runs have as many steps as the axis tells (the released recipe: "
    f"{RELEASED}), at the released learning rates, and are tuned and measured on small patches. So PSNR is neither that of the "
    "leaderboard nor that of the page of fine-tuning. What decides is the teacher loss (mean difference from the full-precision output) "
    "on held-out calibration pictures: its lowest state is kept, either of all steps or of those before a rule stops early. Losses that "
    "fall at their end may fall further.",
    "Loss on evaluated patches and held-out teacher loss along fine-tuning from the released weight ranges, a line a seed, with the states that are kept",
    others={_OTHER: "The same for runs that start from other weight ranges"},
)
_KEYS = ["backbone", "series", "seed"]


def measure(
    networks: Sequence[Asked],
    methods: Mapping[str, Mapping],
    pictures: int,
    held_out: int,
    side: int,
    count: int,
    every: int,
) -> pd.DataFrame:
    """Return the traces: a row a network, series, seed and look, step 0 the model before fine-tuning.

    Columns: ``training`` and ``held_out``, teacher losses (0 to 255); ``to_fp_db`` on held-out patches, ``truth_db`` and
    ``truth_fp_db`` (of full precision) on evaluated ones; ``diverged``, whether the run ended there before its last round.

    Args:
        networks: each may have ``changes`` of its own to all methods.
        methods: by where runs start from: ``method`` and, where they differ, ``changes``, ``backbones``, ``seeds``.
        pictures, held_out, side, count, every: as in :func:`adabm.study.answers.stopping_traces.trace`.

    Raises:
        ConfigError: a method has another key, such as ``run``: what is traced here is never listed as not run; or another learning
            rate than its recipe, which traces name.
    """
    for series, method in methods.items():
        check_keys(f"methods, {series}", method, ["method"], ["changes", "backbones", "seeds"])
    asked = [
        (network, series, run)
        for network in networks
        for series, method in network.methods(methods).items()
        for run in network.runs(
            {**method, "changes": {**(method.get("changes") or {}), **network.own.get("changes", {})}}
        )
    ]
    for network, series, run in asked:
        _check_rate(f"methods, {series}", methods[series]["method"], run, network)
    traces = at_once(trace, [(network.bench, run, pictures, held_out, side, count, every) for network, _, run in asked])
    rows = []
    for (network, series, run), found in zip(asked, traces):
        dataset = " and ".join(pictures_of.name for pictures_of in network.bench.sets)
        where = dict(backbone=network.name, dataset=dataset, setting=run.setting, series=series)
        where |= dict(method=methods[series]["method"], seed=run.seed)
        rows += [where | row | dict(diverged=bool(found["diverged"])) for row in found["looks"]]
    return pd.DataFrame(rows).assign(pictures=count)


def _check_rate(what: str, method: str, run: Run, network: Asked) -> None:
    own, told = (
        learning_rate({"method": method, "changes": changes}, network.setting, network.bench.effort)
        for changes in (dict(run.changes), {})
    )
    if own != told:
        raise ConfigError(
            f"{what}: changes have a learning rate of {own}, which the page would tell as {told}, that of {method}; name a recipe that has it"
        )


def decide(held_out: Sequence[float], patience: int) -> tuple[int, int]:
    """Return the look whose state is kept, and the look after which fine-tuning stops.

    Kept is the lowest held-out teacher loss so far, the earliest of equals; after ``patience`` looks without a lower one
    fine-tuning stops.

    >>> decide([3.0, 2.0, 2.0, 2.5, 1.0], patience=2)
    (1, 3)
    """
    best = 0
    for index, loss in enumerate(held_out):
        if loss < held_out[best]:
            best = index
        if index - best >= patience:
            return best, index
    return best, len(held_out) - 1


def decisions(traces: pd.DataFrame, patience: int) -> pd.DataFrame:
    """Return what the rule does, a row a run: ``kept``, ``stopped``, ``lowest`` and ``steps`` in steps, PSNR to ground truth in dB.

    ``start_db``, ``rule_db``, ``last_db``: before fine-tuning, of the state kept, after the last round; ``lowest_db``: of
    the state of the lowest loss if nothing stops, after step ``lowest``; ``best_db``, ``worst_db``: of the best and the worst
    look in hindsight; ``best`` the best one's step; ``near``: the first step with 95 % of the whole fall of the loss;
    ``full_db``: of full precision; ``rule_fab``, ``lowest_fab``, ``last_fab``: bits of those states; ``method``: the recipe.

    Args:
        patience: rounds of fine-tuning without a lower loss.
    """
    rows = []
    for (backbone, series, seed), run in traces.groupby(_KEYS, sort=False):
        run = run.sort_values("step").reset_index(drop=True)
        losses, truth = run["held_out"], run["truth_db"]
        looks = run.loc[run["round"] > 0].groupby("round").size().max() if len(run) > 1 else 1
        kept, stopped = decide(losses.tolist(), patience * looks)
        lowest, best = int(losses.idxmin()), int(truth.idxmax())
        near = int((losses <= losses[0] - _NEAR * (losses[0] - losses[lowest])).idxmax())
        chosen = dict(kept=kept, stopped=stopped, lowest=lowest, best=best, near=near)
        steps = {name: run["step"][place] for name, place in chosen.items()} | dict(steps=run["step"].iloc[-1])
        values = dict(start_db=truth[0], rule_db=truth[kept], lowest_db=truth[lowest])
        values |= dict(last_db=truth.iloc[-1], best_db=truth[best], worst_db=truth.min())
        values |= dict(full_db=run["truth_fp_db"].iloc[0])
        fab = run["fab"]
        values |= dict(rule_fab=fab[kept], lowest_fab=fab[lowest], last_fab=fab.iloc[-1])
        values = {name: round(value, _DIGITS) for name, value in values.items()}
        told = dict(backbone=backbone, series=series, seed=seed, method=run["method"].iloc[0])
        rows.append(told | steps | values | dict(diverged=bool(run["diverged"].any())))
    return pd.DataFrame(rows)


def table(traces: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth and FAB after each round."""
    full = traces.groupby(["backbone", "dataset"], sort=False)["truth_fp_db"].first().to_dict()
    columns = ["backbone", "dataset", "setting", "series", "seed", "pictures", "fab"]
    rows = [
        dict(zip(columns, values)) | dict(variable="step", level=str(step), psnr_y_db=psnr)
        for *values, step, psnr in traces[[*columns, "step", "truth_db"]].itertuples(index=False, name=None)
    ]
    return mapping_table(QUESTION.id, rows, full)


def figures(traces: pd.DataFrame, patience: int) -> dict[str, Figure]:
    """Draw PSNR and the held-out teacher loss along fine-tuning, a column a network; runs that start elsewhere apart."""
    traces = named(traces)
    starts = [of for _, of in traces.groupby("series", sort=False)]
    suffixes = ["", _OTHER, *(f"{_OTHER}_{place}" for place in range(2, len(starts)))]
    return {suffix: plot_stopping(of, decisions(of, patience)) for suffix, of in zip(suffixes, starts)}


def conclusion(traces: pd.DataFrame, patience: int, patches: str = "") -> list[str]:
    """Tell which state to keep and how sure that is, what stopping saves and costs, and each network's numbers.

    Args:
        patience: as in :func:`decisions`.
        patches: of which size models are tuned on, as :func:`adabm.study.pages.scope.patch_sizes` tells it.
    """
    traces = named(traces)
    first, *others = [Start(name, decisions(of, patience), of) for name, of in traces.groupby("series", sort=False)]
    parts = [
        f"{answer(verdict(first))} {details(first, patience)}",
        *(also(start, patience, first) for start in others),
        limits(patches),
        practice(" ".join(advice(start, patience, bool(others)) for start in (first, *others))),
    ]
    advice_of_each = rows_advised((first, *others), patience)
    parts += advised(advice_of_each) if len(advice_of_each) > 1 else []
    for start in (first, *others):
        whose = f", from {start.name}" if others else ""
        parts += [
            *evidence(states(start.found, whose)),
            *evidence(certainties(start.found, whose)),
            *evidence(networks(start.found, whose)),
        ]
    return parts
