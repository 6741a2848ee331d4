"""One recipe that several pages measured: why they tell other numbers of it.

Questions calibrate AdaBM with plans of their own, and fine-tune it or do not. The same seed draws the same pictures and patches, so
that pages of one plan agree to the last digit; here stands what differs where they do not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from ..answers import component_trials, components, fine_tuning, sampling, set_size, stopping, thresholds
from ..answers.measured import measured
from ..answers.strategy_gains import REFERENCE
from ..answers.threshold_starts import IMAGES, RELEASED
from ..answers.tuning_outcomes import Turns
from ..plan.effort import Effort
from ..running.runs import MEASURED
from ..tables.methods import OWN_BITS_RECIPE, RELEASED_RECIPE, UNTUNED_RECIPE
from ..tables.networks import network
from ..tables.presentation import ReadableTable
from ..tables.question import Question
from ..tables.wording import several
from .sections import EVALUATION, provenance, read_table

_KEYS = ["backbone", "dataset", "setting"]


@dataclass(frozen=True)
class _Measured:
    """What a page measured of one recipe: rows of seeds, side of the calibration patches and, where it evaluates such, of evaluated ones.

    ``steps`` of fine-tuning, of which ``weight_steps`` train the ranges of weights.
    """

    page: str
    recipe: str
    side: object
    rows: pd.DataFrame
    steps: int = 0
    weight_steps: int = 0
    evaluated: object = None


def recurring(results: Path, study: pd.DataFrame) -> ReadableTable | None:
    """Return what each page measured of AdaBM on the network, set and setting that most pages share, not fine-tuned ones first.

    Args:
        results: of a profile, whose provenance tells the plans.
        study: the tables of all questions.

    Returns:
        None where fewer than two pages measured it.
    """
    found = [one for question in _ASKED for one in _of(results, study, question)]
    if not found:
        return None
    found += [*_evaluated(results), *_along(results, study)]
    first = found[0].rows[_KEYS].iloc[0]
    cells = []
    for one in sorted(found, key=lambda one: one.steps):
        here = one.rows[(one.rows[_KEYS] == first).all(axis=1)].fillna({"calibration_pictures": 0})
        for pictures, of in here.groupby("calibration_pictures", sort=True):
            cells.append(_cells(one, int(pictures), of.drop_duplicates("seed").sort_values("seed")))
    if len({row["page"] for row in cells}) < 2:
        return None
    where = f"{network(first['backbone'])}, {first['dataset']}, {first['setting']}."
    told = (
        "Pages that calibrate on the same pictures and patches with the same seeds agree to the last digit. Others draw other patches, "
        "or have other seeds: thresholds follow the calibration pictures, and where the evaluated pictures fall below them they get fewer "
        f"bits. {RELEASED_RECIPE} and {UNTUNED_RECIPE} start from the weight ranges of the released search, {OWN_BITS_RECIPE} from ranges at own bits."
    )
    if len({row["fine-tuned for"] for row in cells}) > 1:
        told += (
            " What fine-tuning gains depends on where it starts, and on how many of its steps train the ranges of weights. The page of "
            "stopping, moreover, tunes and measures on small patches."
        )
    others = _other_sets(found, first)
    told += f" The leaderboard's pictures are others: {several(others)}." if others else ""
    told += _elsewhere(found, first["backbone"])
    return ReadableTable(pd.DataFrame(cells), "AdaBM from page to page.", 2, f"{where} {told}")


def _other_sets(found: Sequence[_Measured], first: pd.Series) -> list[str]:
    """On which sets the main results have the network, where they do not have it on the set that the pages share."""
    rows = pd.concat([one.rows for one in found if one.page == EVALUATION.heading] or [pd.DataFrame(columns=_KEYS)])
    sets = list(dict.fromkeys(rows[rows["backbone"] == first["backbone"]]["dataset"]))
    return sets if first["dataset"] not in sets else []


def _elsewhere(found: Sequence[_Measured], shown: str) -> str:
    """Sentences on other networks: what a recipe that is not fine-tuned comes to from patches of different sizes."""
    by_side: dict[tuple, dict[object, str]] = {}
    for one in found:
        rows = one.rows[(one.rows["backbone"] != shown) & (one.steps == 0) & (one.evaluated is None)]
        rows = rows[rows["calibration_pictures"] > 0]
        for (*place, pictures), of in rows.groupby([*_KEYS, "calibration_pictures"], sort=False):
            by_side.setdefault((*place, one.recipe, int(pictures)), {}).setdefault(
                one.side, _psnr(of.drop_duplicates("seed"))
            )
    told = [
        f"{network(name)} ({dataset}, {setting}) {recipe}, not fine-tuned, from {pictures} pictures comes to "
        f"{several([f'{psnr} dB with patches of {side} pixels' for side, psnr in sides.items()])}"
        for (name, dataset, setting, recipe, pictures), sides in by_side.items()
        if len(set(sides.values())) > 1
    ]
    return f" Other networks alike: on {'; on '.join(told)}." if told else ""


def _psnr(rows: pd.DataFrame) -> str:
    psnr = rows["psnr_y_db"]
    return f"{psnr.mean():.2f}" + (f" ± {psnr.std():.2f}" if len(psnr) > 1 else "")


def _cells(one: _Measured, pictures: int, rows: pd.DataFrame) -> dict[str, str]:
    kind = f"{int(rows['pictures'].max())} " + ("pictures" if one.evaluated is None else f"patches of {one.evaluated}")
    tuned = f"{one.steps} steps, {one.weight_steps} of weight ranges" if one.steps else "not"
    return {
        "page": one.page,
        "recipe": one.recipe,
        "fine-tuned for": tuned,
        "calibration pictures": str(pictures) if pictures else "the pool",
        "patch (pixels)": str(one.side),
        "evaluated on": kind,
        "PSNR-Y (dB)": _psnr(rows),
        "by seed (FAB)": ", ".join(f"{row.psnr_y_db:.2f} ({row.fab:.1f})" for row in rows.itertuples()),
    }


def _of(results: Path, study: pd.DataFrame, question: Question) -> Iterator[_Measured]:
    """What a question measured of recipes that it does not fine-tune."""
    own, parameters = _own(results, study, question)
    for series, recipe in _untuned(parameters) if len(own) else []:
        rows = _ASKED[question](own, series)
        for name, of in rows.groupby("backbone", sort=False):
            yield _Measured(question.heading, recipe, _side(parameters, name), of)


def _side(parameters: Mapping, backbone: str) -> object:
    """Of the patches that a question calibrates a network on, which may have another than the others."""
    given = parameters.get("backbones")
    for file, own in given.items() if isinstance(given, Mapping) else ():
        if PurePosixPath(file).name.removesuffix(".safetensors").lower() == backbone.lower() and "patch_size" in own:
            return own["patch_size"]
    return parameters.get("effort", {}).get("patch_size")


def _own(results: Path, study: pd.DataFrame, question: Question) -> tuple[pd.DataFrame, Mapping]:
    """The rows of a question and the parameters of its plan; none where the provenance tells no plan."""
    parameters = provenance(question.table(results)).get("parameters")
    own = study[study["question"] == question.id]
    return (own, parameters) if isinstance(parameters, Mapping) else (own.iloc[:0], {})


def _evaluated(results: Path) -> Iterator[_Measured]:
    """What the main results measured of AdaBM, on whole pictures, from patches of the whole pool."""
    path = results / EVALUATION.id / "evaluation.csv"
    table, parameters = read_table(path, "question@evaluation"), provenance(path).get("parameters")
    if table is None or not isinstance(parameters, Mapping) or "effort" not in parameters:
        return
    effort = Effort(**parameters["effort"])
    rows = table[(table["status"] == MEASURED) & (table["tile"] == 0)].assign(calibration_pictures=0)
    for recipe in (UNTUNED_RECIPE, RELEASED_RECIPE):
        of = rows[rows["method"] == recipe]
        if len(of):
            steps = effort.rounds * effort.steps_per_round if recipe == RELEASED_RECIPE else 0
            weights = _weight_steps({"method": recipe}, of["setting"].iloc[0], effort, steps)
            yield _Measured(EVALUATION.heading, recipe, effort.patch_size, of, steps, weights)


def _along(results: Path, study: pd.DataFrame) -> Iterator[_Measured]:
    """What the pages that trace fine-tuning measured before it and after the most steps that both looked at."""
    stopped, stopping_plan = _own(results, study, stopping.QUESTION)
    traced, plan = _own(results, study, fine_tuning.QUESTION)
    stopped, traced = (measured(rows, "step").astype({"level": int}) for rows in (stopped, traced))
    stopped = stopped[~stopped["backbone"].str.lower().isin(_own_changes(stopping_plan))]
    both = set(stopped["level"]) & set(traced["level"]) if len(traced) else set(stopped["level"])
    steps = sorted({0, max(both, default=0)})
    if len(stopped):
        stopped = stopped.assign(calibration_pictures=stopping_plan["pictures"])
        methods, side = stopping_plan["methods"], stopping_plan.get("side")
        yield from _at_steps(stopping.QUESTION, stopped, methods, stopping_plan, steps, side)
    runs = {name: run for name, run in plan.get("runs", {}).items() if _rates_as_released(run)}
    if len(traced):
        yield from _at_steps(fine_tuning.QUESTION, traced, runs, plan, steps, None)


def _own_changes(plan: Mapping) -> set[str]:
    """Networks, in small letters, that have changes of their own to the methods of a plan."""
    return {
        PurePosixPath(name).name.removesuffix(".safetensors").lower()
        for name, own in plan.get("backbones", {}).items()
        if "changes" in own
    }


def _at_steps(
    question: Question, rows: pd.DataFrame, runs: Mapping[str, Mapping], plan: Mapping, steps, side
) -> Iterator:
    """What runs measured after some steps; runs of one recipe whose rounds are the same so far are one."""
    effort = Effort(**plan["effort"])
    for step in steps:
        found: dict[tuple[str, int], list[str]] = {}
        at = rows[(rows["level"] == step) & rows["series"].isin(list(runs))]
        for name in dict.fromkeys(at["series"]):
            setting = at.loc[at["series"] == name, "setting"].iloc[0]
            weights = _weight_steps(runs[name], setting, effort, step)
            found.setdefault((runs[name]["method"], weights), []).append(name)
        for (method, weights), names in found.items():
            here = at[at["series"].isin(names)]
            yield _Measured(question.heading, method, effort.patch_size, here, step, weights, side)


def _weight_steps(options: Mapping, setting: str, effort: Effort, steps: int) -> int:
    """How many of the first steps of a run train the ranges of weights."""
    if not steps:
        return 0
    rounds = Turns.of(options, setting, effort).rounds_of
    return sum(max(0, min(end, steps) - begin) for begin, end, group in rounds if group == "weight")


def _rates_as_released(run: Mapping) -> bool:
    """Whether a run of AdaBM changes nothing but how many steps it takes."""
    changed = set(run.get("changes") or {})
    return run["method"].startswith("adabm") and changed <= {"tune.rounds", "tune.steps_per_round"}


def _untuned(parameters: Mapping) -> Iterator[tuple[str, str]]:
    """Series and recipe of AdaBM where nothing but fine-tuning is left out."""
    if "preset" in parameters:  # of combinations of parts
        yield "not fine-tuned", parameters["preset"]
    for name, method in parameters.get("methods", {}).items():
        changes = method.get("changes") or {}
        if changes == {"tune": None} and method["method"].startswith("adabm"):
            yield name, method["method"]


def _at(variable: str, *levels: str, series: str = "{}") -> Callable[[pd.DataFrame, str], pd.DataFrame]:
    """Return what finds the rows of a series that were measured at some levels."""

    def rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
        swept = measured(table, variable)
        return swept[(swept["series"] == series.format(name)) & swept["level"].isin(levels)]

    return rows


_ASKED = {
    set_size.QUESTION: _at("pictures", "20", "100"),
    sampling.QUESTION: _at("strategy", REFERENCE),
    components.QUESTION: _at("components", component_trials.WHOLE),
    thresholds.QUESTION: _at("percentile", str(RELEASED[IMAGES]), series=f"{IMAGES}, {{}}"),
}
