"""How many iterations, and when to stop?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.stopping_figures import plot_stopping
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.at_once import at_once
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .measured import signed
from .probing import mapping_table
from .stopping_traces import trace

_RELEASED = 500  # steps
QUESTION = Question(
    "stopping",
    16,
    "How many iterations, and when to stop?",
    "The model is looked at after each round of fine-tuning. What decides is the teacher loss (mean difference from the full-precision "
    "output) on held-out calibration pictures: its lowest state is kept, either of all steps or of those before a rule stops early. The "
    f"released recipe takes {_RELEASED} steps; runs here have as many as the axis tells, on small patches, so PSNR is not that of the "
    "leaderboard, and curves that rise at their end may rise further.",
    "PSNR and held-out teacher loss along fine-tuning, a line a seed, with the states that are kept",
)
_LITTLE = 0.05  # dB; smaller differences are none
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
    round in hindsight; ``best`` the best one's step.
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
        rows.append(dict(backbone=backbone, seed=seed, **steps, **values, diverged=bool(run["diverged"].any())))
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
    """Tell whether the rule prevents harm, what it saves and costs, and each network's numbers."""
    traces = named(traces)
    found = decisions(traces, patience)
    return [
        f"**{_first(found)}** {_saved(found, patience)} {_scope(traces)}",
        practice(_advice(found)),
        *evidence(_states(found)),
        *evidence(_networks(found)),
    ]


def _advice(found: pd.DataFrame) -> str:
    gains = {column: found[column] - found["last_db"] for column in ("lowest_db", "rule_db")}
    share = f"{found['stopped'].sum() / found['steps'].sum():.0%} of the steps"
    if max(gain.mean() for gain in gains.values()) <= _LITTLE:
        return (
            f"Hold calibration pictures out only to save time: stopping early takes {share} and gives "
            f"{signed(gains['rule_db'].mean())} dB against the last step."
        )
    column = _preferred(found)
    told = (
        "fine-tune as long as their loss may still fall and keep the state of the lowest"
        if column == "lowest_db"
        else f"stop by their loss, after {share}, and keep the state of the lowest"
    )
    gain = f"{signed(gains[column].mean())} dB in the mean over the last step{_worst(found, gains[column])}"
    advice = f"Hold some calibration pictures out, {told}: {gain}."
    if column == "lowest_db":
        advice += f" Stop early only to save steps: {signed(gains['rule_db'].mean())} dB with {share}."
    return advice


def _worst(found: pd.DataFrame, gain: pd.Series) -> str:
    """The run that a state is worst for, in brackets, where it is worse than the last step."""
    where = f", on {found.loc[gain.idxmin(), 'backbone']}," if found["backbone"].nunique() > 1 else ""
    return f" (worst run{where} {signed(gain.min())})" if gain.min() < -_LITTLE else ""


def _preferred(found: pd.DataFrame) -> str:
    """The column of the state that is advised: that of the lowest loss where stopping loses something on it, else the rule's."""
    return "lowest_db" if (found["lowest_db"] - found["rule_db"]).mean() > _LITTLE else "rule_db"


def _against_last(found: pd.DataFrame, column: str) -> str:
    """What keeping a state gives over the last step: by network, in the mean, and in the worst run."""
    runs = found[column] - found["last_db"]
    gains = _means(found)[column] - _means(found)["last_db"]
    several_networks = len(gains) > 1
    told = several([f"{gain:+z.2f} dB{f' on {name}' if several_networks else ''}" for name, gain in gains.items()])
    told += f", {runs.mean():+z.2f} in the mean" if several_networks else ""
    where = f", on {found.loc[runs.idxmin(), 'backbone']}" if several_networks else ""
    worst = (
        f"the worst run{where}{',' if where else ''} {runs.min():+z.2f} dB"
        if runs.min() < -_LITTLE
        else f"no run loses more than {_LITTLE} dB"
    )
    return f"{told} against the last step; {worst}"


def _means(found: pd.DataFrame) -> pd.DataFrame:
    return found.groupby("backbone", sort=False)[["start_db", "rule_db", "lowest_db", "last_db", "best_db"]].mean()


def _first(found: pd.DataFrame) -> str:
    means = _means(found)
    harmed = means[means["last_db"] < means["start_db"] - _LITTLE]
    kept = _preferred(found)
    missed = harmed[harmed[kept] < harmed["start_db"] - _LITTLE]
    gain, lost = (found["rule_db"] - found["last_db"]).mean(), (found["best_db"] - found["rule_db"]).mean()
    worse = means.index[means["rule_db"] < means["last_db"] - _LITTLE].tolist()
    if len(missed):
        networks = [f"{name} ({_ending_below(found, name)} seeds)" for name in missed.index]
        return f"The held-out teacher loss does not tell when to stop: fine-tuning harms {several(networks)} and the rule lets it."
    if len(harmed):
        told = (
            "Stop by the loss on held-out calibration pictures"
            if kept == "rule_db"
            else "Keep the state of the lowest loss on held-out calibration pictures"
        )
        return f"{told}: {_last_step(means[kept] - means['last_db'])}{_still(found, kept)}. At the last step {_below(found)}{_over_start(means, kept)}."
    if worse and (means["lowest_db"] >= means["last_db"] - _LITTLE).all():
        return (
            f"Keep the state of the lowest held-out teacher loss, but do not stop early: it is as good as the last step everywhere, "
            f"while stopping costs {several(worse)} {(means['last_db'] - means['rule_db'])[worse].max():.2f} dB{' at most' * (len(worse) > 1)}."
        )
    if worse:
        return f"The rule stops too early: on {several(worse)} the last step is better."
    if gain > _LITTLE and gain > (found["rule_db"] - found["last_db"]).std(ddof=0):
        return f"Stopping by the held-out teacher loss is better than the last step, by {gain:.2f} dB in the mean."
    if (found["stopped"] == found["steps"]).all():
        return "The rule never stops within these steps, and the state that it keeps is as good as the last."
    if lost > _LITTLE:
        return f"Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, but {lost:.2f} dB against the best."
    return "Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, and hardly anything against the best."


def _ending_below(found: pd.DataFrame, network: str) -> str:
    runs = found[found["backbone"] == network]
    return f"{(runs['last_db'] < runs['start_db'] - _LITTLE).sum()} of {len(runs)}"


def _last_step(gains: pd.Series) -> str:
    """How the last step compares with the state that is kept, by network; alike are those less than 0.05 dB apart."""
    where = lambda name: f" on {name}" * (len(gains) > 1)
    worse, better = gains[gains > _LITTLE], gains[gains < -_LITTLE]
    alike = [name for name in gains.index if name not in worse.index and name not in better.index]
    parts = [
        f"{word} by {several([f'{abs(gain):.2f} dB{where(name)}' for name, gain in some.items()])}"
        for word, some in (("worse", worse), ("better", better))
        if len(some)
    ]
    parts += [f"as good{f' on {several(alike)}' if len(gains) > 1 else ''}"] if alike else []
    return f"the last step is {', '.join(parts)}"


def _still(found: pd.DataFrame, kept: str) -> str:
    """Where the last step itself is what is kept, in most runs, since the loss still falls there."""
    if kept != "lowest_db" or found["backbone"].nunique() == 1:
        return ""
    last = (found["lowest"] == found["steps"]).groupby(found["backbone"], sort=False).mean()
    names = list(last.index[last > 0.5])
    return f" (on {several(names)} it mostly is the last step: the loss still falls)" if names else ""


def _over_start(means: pd.DataFrame, kept: str) -> str:
    """What the kept state gives against the model before fine-tuning, by network."""
    gains = [
        f"{signed(gain)} dB{f' on {name}' * (len(means) > 1)}"
        for name, gain in (means[kept] - means["start_db"]).items()
    ]
    return f"; the kept state gives {several(gains)} against not fine-tuned"


def _below(found: pd.DataFrame) -> str:
    """How many runs end below the model before fine-tuning, of the networks that have such."""
    names = list(dict.fromkeys(found.loc[found["last_db"] < found["start_db"] - _LITTLE, "backbone"]))
    many = found["backbone"].nunique() > 1
    told = [f"{_ending_below(found, name)}{' seeds' * (name == names[0])}{f' on {name}' * many}" for name in names]
    return f"{several(told)} are below where they began"


def _saved(found: pd.DataFrame, patience: int) -> str:
    saved = 1 - found["stopped"].sum() / found["steps"].sum()
    return (
        f"Keeping the lowest loss of all steps gives {_against_last(found, 'lowest_db')}. Stopping early, after {patience} rounds "
        f"without a lower loss, saves {saved:.0%} of the steps in {len(found)} runs and gives {_against_last(found, 'rule_db')}."
    )


def _states(found: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by what is kept: its gain on the last step, mean, least and most of all runs, and the steps that it takes."""
    columns = {"by the rule": "rule_db", "lowest loss, nothing stops": "lowest_db", "the best in hindsight": "best_db"}
    rows = []
    for name, column in columns.items():
        gain = found[column] - found["last_db"]
        row = {"state that is kept": name, "PSNR against the last step (dB)": signed(gain.mean())}
        row |= {"least": signed(gain.min()), "most": signed(gain.max())}
        steps = found["stopped" if column == "rule_db" else "steps"].sum()
        rows.append(row | {"steps": f"{steps} of {found['steps'].sum()}"})
    return rows


def _networks(found: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network: PSNR in dB, means over seeds, and steps, least and most of them."""
    rows = []
    for backbone, runs in found.groupby("backbone", sort=False):
        mean = runs.mean(numeric_only=True)
        row = {"network": backbone, "seeds": str(len(runs)), "before (dB)": f"{mean['start_db']:.2f}"}
        columns = {"last step": "last_db", "by the rule": "rule_db", "lowest loss": "lowest_db"}
        columns |= {"best": "best_db", "worst": "worst_db"}
        row |= {f"{name} (dB)": f"{mean[column]:.2f}" for name, column in columns.items()}
        row |= {
            "steps": str(runs["steps"].max()),
            "step kept": _span(runs["kept"]),
            "lowest": _span(runs["lowest"]),
            "best step": _span(runs["best"]),
        }
        rows.append(row | ({"diverged": str(runs["diverged"].sum())} if found["diverged"].any() else {}))
    return rows


def _span(steps: pd.Series) -> str:
    return f"{steps.min()} to {steps.max()}" if steps.min() < steps.max() else str(steps.min())


def _scope(traces: pd.DataFrame) -> str:
    rounds, steps = traces["round"].max(), traces["step"].max()
    fewer = f", against {_RELEASED} of the released recipe" if steps < _RELEASED else ""
    return f"A run has {rounds} rounds of {steps // rounds} steps{fewer}. What decides sees calibration pictures alone, never an evaluated one."
