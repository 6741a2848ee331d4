"""How many iterations, and when to stop?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.stopping_figures import plot_stopping
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.at_once import at_once
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from .probing import mapping_table
from .stopping_gains import certainties, networks, states
from .stopping_telling import RELEASED, advice, details, verdict
from .stopping_traces import trace

QUESTION = Question(
    "stopping",
    16,
    "How many iterations, and when to stop?",
    "The model is looked at after each round of fine-tuning. Runs start from the weight ranges of the released search, have as many "
    f"steps as the axis tells (the released recipe: {RELEASED}), and are tuned and measured on small patches. So PSNR is neither that of the "
    "leaderboard nor that of the page of fine-tuning, where runs may start from ranges at own bits. What decides is the teacher loss (mean "
    "difference from the full-precision output) on held-out calibration pictures: its lowest state is kept, either of all steps or of "
    "those before a rule stops early. Curves that rise at their end may rise further.",
    "PSNR and held-out teacher loss along fine-tuning, a line a seed, with the states that are kept",
)
_KEYS = ["backbone", "seed"]


def measure(
    benches: Mapping[Bench, tuple[str, Sequence[int]]],
    method: str,
    pictures: int,
    held_out: int,
    side: int,
    count: int,
) -> pd.DataFrame:
    """Return the traces: a row a network, seed and round, round 0 the model before fine-tuning.

    Columns: ``training`` and ``held_out``, teacher losses (0 to 255); ``to_fp_db`` on held-out patches, ``truth_db`` and
    ``truth_fp_db`` (of full precision) on evaluated ones; ``diverged``, whether the run ended there before its last round.

    Args:
        benches: by bench, the setting (bits) and seeds.
        pictures, held_out, side, count: as in :func:`adabm.study.answers.stopping_traces.trace`.
    """
    asked = [(bench, Run.at(method, setting, seed)) for bench, (setting, seeds) in benches.items() for seed in seeds]
    traces = at_once(trace, [(bench, run, pictures, held_out, side, count) for bench, run in asked])
    rows = []
    for (bench, run), found in zip(asked, traces):
        dataset = " and ".join(pictures_of.name for pictures_of in bench.sets)
        where = dict(backbone=bench.backbone.stem, dataset=dataset, setting=run.setting, series=method, seed=run.seed)
        rows += [where | row | dict(diverged=bool(found["diverged"])) for row in found["rounds"]]
    return pd.DataFrame(rows).assign(pictures=count)


def check_network(name: str, options: Mapping) -> None:
    """Refuse an entry of ``networks`` with a key that is unknown or lacks.

    Raises:
        ConfigError: naming it.
    """
    check_keys(f"networks, {name}", options, ["backbone", "data", "sets", "pool", "seeds"], ["setting"])


def decide(held_out: Sequence[float], patience: int) -> tuple[int, int]:
    """Return the round whose state is kept, and the round after which fine-tuning stops.

    Kept is the lowest held-out teacher loss so far, the earliest of equals; after ``patience`` rounds without a lower one
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
    round in hindsight; ``best`` the best one's step; ``full_db``: of full precision; ``method``: the recipe.
    """
    rows = []
    for (backbone, seed), run in traces.groupby(_KEYS, sort=False):
        run = run.sort_values("round").reset_index(drop=True)
        kept, stopped = decide(run["held_out"].tolist(), patience)
        lowest = int(run["held_out"].idxmin())
        truth, best = run["truth_db"], int(run["truth_db"].idxmax())
        chosen = dict(kept=kept, stopped=stopped, lowest=lowest, best=best)
        steps = {name: run["step"][place] for name, place in chosen.items()} | dict(steps=run["step"].iloc[-1])
        values = dict(start_db=truth[0], rule_db=truth[kept], lowest_db=truth[lowest])
        values |= dict(last_db=truth.iloc[-1], best_db=truth[best], worst_db=truth.min())
        values |= dict(full_db=run["truth_fp_db"].iloc[0])
        told = dict(backbone=backbone, seed=seed, method=run["series"].iloc[0])
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
    """Draw PSNR and the held-out teacher loss along fine-tuning, a column a network."""
    traces = named(traces)
    return {"": plot_stopping(traces, decisions(traces, patience))}


def conclusion(traces: pd.DataFrame, patience: int) -> list[str]:
    """Tell which state to keep and how sure that is, what stopping saves and costs, and each network's numbers."""
    traces = named(traces)
    found = decisions(traces, patience)
    return [
        f"{answer(verdict(found))} {details(found, traces, patience)}",
        practice(advice(found)),
        *evidence(states(found)),
        *evidence(certainties(found)),
        *evidence(networks(found)),
    ]
