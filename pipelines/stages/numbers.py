"""The main numbers of a profile, for ``dvc metrics``: of the evaluation, then of each question."""

import pandas as pd

from adabm.study.running.runs import MEASURED
from adabm.study.tables.summary import of_one_engine

_FULL_PRECISION = "FP32"


def evaluation_numbers(summary: pd.DataFrame) -> dict[str, dict]:
    """Return PSNR on Y (dB) and FAB of full precision, MinMax and AdaBM on each set, by setting.

    Args:
        summary: rows of one network, a row a cell.
    """
    numbers: dict[str, dict] = {}
    main = summary["method"].isin(["fp32", "minmax", "adabm"])
    for _, row in of_one_engine(summary[(summary["status"] == MEASURED) & main]).iterrows():
        name = row["setting"] + ("" if row["method"] == "fp32" else f" {row['method']}")
        place = row["dataset"] + (f" {row['tile']}px" if row["tile"] else "")
        numbers.setdefault(place, {})[name] = {"psnr_y_db": row["psnr_y_db"], "fab": row["fab"]}
    return numbers


def main_numbers(summary: pd.DataFrame) -> dict[str, dict]:
    """Return, for each question, the least and the most loss and time on its first network, set and low-bit setting."""
    numbers: dict[str, dict] = {}
    for question, rows in summary.groupby("question", sort=False):
        numbers[question] = {
            "levels": int((rows["setting"] != _FULL_PRECISION).sum()),
            "measured": int((rows["status"] == MEASURED).sum()),
        }
        rows = rows[rows["status"] == MEASURED]
        low = rows[rows["setting"] != _FULL_PRECISION]
        if low.empty:
            continue
        first = low.iloc[0]
        here = rows[(rows["backbone"] == first["backbone"]) & (rows["dataset"] == first["dataset"])]
        full = here[here["setting"] == _FULL_PRECISION]["psnr_y_db"].dropna()
        if len(full):
            numbers[question]["full_precision_psnr_y_db"] = float(full.iloc[0])
        here = here[here["setting"] == first["setting"]]
        for column, least, most in (("loss_db", "least_loss", "most_loss"), ("seconds_median", "shortest", "longest")):
            values = here[column].dropna()
            for name, index in ((least, values.idxmin()), (most, values.idxmax())) if len(values) else ():
                row = here.loc[index]
                numbers[question][name] = {"series": row["series"], row["variable"]: row["level"]} | _present(
                    row, column, "psnr_y_db", "fab"
                )
    return numbers


def _present(row: pd.Series, *names: str) -> dict[str, float]:
    return {name: float(row[name]) for name in names if pd.notna(row[name])}
