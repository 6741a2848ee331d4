"""How many iterations, and when to stop?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.stopping_figures import plot_stopping
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .measured import signed
from .probing import mapping_table
from .stopping_traces import trace

QUESTION = Question(
    "stopping",
    16,
    "How many iterations, and when to stop?",
    "The model is looked at after each round of fine-tuning; a rule that sees the teacher loss on held-out calibration pictures decides.",
    "PSNR and held-out teacher loss along fine-tuning, with the state that the rule keeps",
)
_LITTLE = 0.05  # dB; smaller differences are none
_RELEASED = 500  # steps
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
    rows = []
    for bench, (setting, seeds) in benches.items():
        for seed in seeds:
            found = trace(bench, Run.at(method, setting, seed), pictures, held_out, side, count)
            dataset = " and ".join(pictures_of.name for pictures_of in bench.sets)
            where = dict(backbone=bench.backbone.stem, dataset=dataset, setting=setting, series=method, seed=seed)
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
    """Return what the rule does, a row a run: ``kept``, ``stopped`` and ``steps`` in steps, PSNR to ground truth in dB.

    ``start_db``, ``rule_db``, ``last_db``: before fine-tuning, of the state kept, after the last round; ``lowest_db``: of
    the state of the lowest loss if nothing stops; ``best_db``, ``worst_db``: of the best and the worst round in hindsight;
    ``best`` the best one's step.
    """
    rows = []
    for (backbone, seed), run in traces.groupby(_KEYS, sort=False):
        run = run.sort_values("round").reset_index(drop=True)
        kept, stopped = decide(run["held_out"].tolist(), patience)
        truth, best = run["truth_db"], int(run["truth_db"].idxmax())
        steps = dict(
            kept=run["step"][kept], stopped=run["step"][stopped], steps=run["step"].iloc[-1], best=run["step"][best]
        )
        values = dict(start_db=truth[0], rule_db=truth[kept], lowest_db=truth[run["held_out"].idxmin()])
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
    lowest, last = (found["lowest_db"] - found["last_db"]).mean(), (found["rule_db"] - found["last_db"]).mean()
    if max(lowest, last) <= _LITTLE:
        return "Hold calibration pictures out only to save time: the last step is as good."
    if _preferred(found) == "lowest_db":
        return (
            "Hold some calibration pictures out, fine-tune to the end and keep the state of their lowest loss: "
            f"{_against_last(found, 'lowest_db')}. Only who has to save steps stops early: {last:+.2f} dB in the mean."
        )
    return f"Hold some calibration pictures out and stop by their loss: {last:+.2f} dB in the mean over the last step."


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
        return f"The held-out teacher loss does not tell when to stop: fine-tuning harms {_harmed(found, missed.index)} and the rule lets it."
    if len(harmed):
        told, by = (
            ("Stop by the teacher loss on held-out calibration pictures", "the rule")
            if kept == "rule_db"
            else ("Keep the state of the lowest teacher loss on held-out calibration pictures", "this")
        )
        costs = means.index[means[kept] < means["last_db"] - _LITTLE].tolist()
        return (
            f"{told}: fine-tuning to the end harms {_harmed(found, harmed.index)}, and in the mean {by} prevents it"
            f"{f', but costs {several(costs)} quality' if costs else ''}."
        )
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


def _harmed(found: pd.DataFrame, networks: Sequence[str]) -> str:
    """The networks, each with the number of runs that end below where they began."""
    runs = {name: found[found["backbone"] == name] for name in networks}
    counts = {name: (run["last_db"] < run["start_db"] - _LITTLE).sum() for name, run in runs.items()}
    return several([f"{name} ({counts[name]} of {len(run)} seeds)" for name, run in runs.items()])


def _saved(found: pd.DataFrame, patience: int) -> str:
    saved = 1 - found["stopped"].sum() / found["steps"].sum()
    return (
        f"The rule keeps the state of the lowest loss and stops after {patience} rounds without a lower one. It saves {saved:.0%} of the "
        f"steps in {len(found)} runs and gives {_against_last(found, 'rule_db')}."
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
        row |= {"last step (dB)": f"{mean['last_db']:.2f}", "by the rule (dB)": f"{mean['rule_db']:.2f}"}
        row |= {"lowest loss (dB)": f"{mean['lowest_db']:.2f}"}
        row |= {"best (dB)": f"{mean['best_db']:.2f}", "worst (dB)": f"{mean['worst_db']:.2f}"}
        row |= {"steps": str(runs["steps"].max()), "step kept": _span(runs["kept"]), "best step": _span(runs["best"])}
        rows.append(row | ({"diverged": str(runs["diverged"].sum())} if found["diverged"].any() else {}))
    return rows


def _span(steps: pd.Series) -> str:
    return f"{steps.min()} to {steps.max()}" if steps.min() < steps.max() else str(steps.min())


def _scope(traces: pd.DataFrame) -> str:
    rounds, steps = traces["round"].max(), traces["step"].max()
    told = f"A run has {rounds} rounds of {steps // rounds} steps"
    if steps < _RELEASED:
        told += (
            f" on few and small patches, against {_RELEASED} steps of the released recipe, so that PSNR stands at other levels than on "
            "the page of fine-tuning: where a trace still rises at its end, more steps may give more"
        )
    return f"{told}. The rule sees calibration pictures alone, never an evaluated one."
