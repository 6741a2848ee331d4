"""From one row a measurement to one row a level: means and spreads over seeds, medians of times."""

import pandas as pd

from ..running.runs import DIVERGED, MEASURED
from .schema import TEXT_KEYS, round_significant

SUMMARY_COLUMNS = (
    *TEXT_KEYS,
    "status",
    "seeds",
    "samples",
    "calibration_pictures",
    "psnr_y_db",
    "psnr_std_db",
    "ssim_y",
    "loss_db",
    "fab",
    "fab_std",
    "relative_bitops",
    "seconds_median",
    "seconds_iqr",
    "peak_mib",
)
_DIGITS = {
    "calibration_pictures": 1,
    "psnr_y_db": 3,
    "psnr_std_db": 3,
    "ssim_y": 4,
    "loss_db": 3,
    "fab": 3,
    "fab_std": 3,
    "relative_bitops": 4,
    "peak_mib": 1,
}


def summarize_study(table: pd.DataFrame, rounded: bool = True) -> pd.DataFrame:
    """Merge seeds and samples of each level; rows in the order of first appearance.

    PSNR, SSIM, loss, FAB are means over seeds, ``*_std`` standard deviations over seeds (n - 1), empty for one seed;
    several samples of a seed are averaged first. ``seconds_median`` and ``seconds_iqr`` (interquartile range, empty for
    one time) are over all times, ``samples`` of them; ``peak_mib`` is the largest. ``seeds`` counts those measured.
    ``status`` is ``measured`` where at least one row was, else ``diverged`` where one did.

    Args:
        table: what ``study_table`` returned, or several such tables one below the other.
        rounded: to fixed digits, for a file; False for what is formatted later, since rounding twice moves last digits.
    """
    if table.empty:
        return pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    rows = [dict(zip(TEXT_KEYS, keys)) | _level(rows) for keys, rows in table.groupby(list(TEXT_KEYS), sort=False)]
    summary = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    numbers = {name: "float64" for name in SUMMARY_COLUMNS if name in _DIGITS or name.startswith("seconds")}
    summary = summary.astype(numbers)
    if not rounded:
        return summary
    summary = summary.round(_DIGITS)
    for name in ("seconds_median", "seconds_iqr"):
        summary[name] = summary[name].map(round_significant, na_action="ignore")
    if (summary["calibration_pictures"].dropna() % 1 == 0).all():  # as they are, unless seeds differ in it
        summary["calibration_pictures"] = summary["calibration_pictures"].astype("Int64")
    return summary


def _level(rows: pd.DataFrame) -> dict[str, object]:
    measured = rows[rows["status"] == MEASURED]
    by_seed = measured.groupby("seed")[["psnr_y_db", "ssim_y", "loss_db", "fab"]].mean()
    means = {name: by_seed[name].mean() for name in by_seed}
    seconds = measured["seconds"].dropna()
    statuses = set(rows["status"])
    return means | {
        "status": next((status for status in (MEASURED, DIVERGED) if status in statuses), rows["status"].iloc[0]),
        "seeds": measured["seed"].nunique(),
        "samples": len(seconds),
        "calibration_pictures": rows["calibration_pictures"].astype("float64").mean(),
        "psnr_std_db": by_seed["psnr_y_db"].std(),
        "fab_std": by_seed["fab"].std(),
        "relative_bitops": rows["relative_bitops"].mean(),
        "seconds_median": seconds.median(),
        "seconds_iqr": seconds.quantile(0.75) - seconds.quantile(0.25) if len(seconds) > 1 else None,
        "peak_mib": measured["peak_mib"].max(),
    }
