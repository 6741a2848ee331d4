"""One recipe that several pages measured: why they tell other numbers of it.

Questions calibrate AdaBM, not fine-tuned, with plans of their own. The same seed draws the same pictures and patches, so that pages
of one plan agree to the last digit; here stands what differs where they do not.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from ..answers import component_trials, components, fine_tuning, sampling, set_size, thresholds
from ..answers.measured import measured
from ..answers.strategy_gains import REFERENCE
from ..tables.networks import network
from ..tables.presentation import ReadableTable
from ..tables.question import Question
from .sections import provenance

_KEYS = ["backbone", "dataset", "setting"]


def recurring(results: Path, study: pd.DataFrame) -> ReadableTable | None:
    """Return what each page measured of AdaBM, not fine-tuned, on the network, set and setting that most pages share.

    Args:
        results: of a profile, whose provenance tells the plans.
        study: the tables of all questions.

    Returns:
        None where fewer than two pages measured it.
    """
    found = [
        (question, recipe, side, rows) for question in _ASKED for recipe, side, rows in _of(results, study, question)
    ]
    if not found:
        return None
    first = found[0][3][_KEYS].iloc[0]
    cells = []
    for question, recipe, side, rows in found:
        for pictures, here in rows[(rows[_KEYS] == first).all(axis=1)].groupby("calibration_pictures", sort=True):
            by_seed = here.sort_values("seed")
            psnr = by_seed["psnr_y_db"]
            cells.append(
                {
                    "page": question.heading,
                    "recipe": recipe,
                    "calibration pictures": f"{pictures:.0f}",
                    "patch (pixels)": str(side),
                    "PSNR-Y (dB)": f"{psnr.mean():.2f}" + (f" ± {psnr.std():.2f}" if len(psnr) > 1 else ""),
                    "by seed (FAB)": ", ".join(f"{row.psnr_y_db:.2f} ({row.fab:.1f})" for row in by_seed.itertuples()),
                }
            )
    if len({row["page"] for row in cells}) < 2:
        return None
    where = f"{network(first['backbone'])}, {first['dataset']}, {first['setting']}."
    told = (
        "Pages that calibrate on the same pictures and patches with the same seeds agree to the last digit. Others draw other patches, "
        "or have other seeds: thresholds follow the calibration pictures, and where the evaluated pictures fall below them they get fewer bits."
    )
    return ReadableTable(pd.DataFrame(cells), "AdaBM, not fine-tuned, from page to page.", 2, f"{where} {told}")


def _of(results: Path, study: pd.DataFrame, question: Question) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """The recipe that a question measured, the side of its patches in LR pixels, and the rows."""
    own = study[study["question"] == question.id]
    parameters = provenance(question.table(results)).get("parameters")
    if own.empty or not isinstance(parameters, Mapping):
        return
    side = parameters.get("effort", {}).get("patch_size")
    for series, recipe in _untuned(parameters):
        rows = _ASKED[question](own, series)
        if len(rows):
            yield recipe, side, rows


def _untuned(parameters: Mapping) -> Iterator[tuple[str, str]]:
    """Series and recipe of AdaBM where nothing but fine-tuning is changed, which a start has not seen yet."""
    if "preset" in parameters:  # of combinations of parts
        yield "not fine-tuned", parameters["preset"]
    for name, method in {**parameters.get("methods", {}), **parameters.get("runs", {})}.items():
        changes = method.get("changes") or {}
        plain = changes == {"tune": None} or ("runs" in parameters and not changes)
        if plain and method["method"].startswith("adabm"):
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
    thresholds.QUESTION: _at(
        "percentile", str(thresholds.RELEASED[thresholds.IMAGES]), series=f"{thresholds.IMAGES}, {{}}"
    ),
    fine_tuning.QUESTION: _at("step", "0"),
}
