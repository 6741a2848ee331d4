"""How PSNR with pictures of each strategy differs from that with random ones."""

from collections.abc import Mapping

import pandas as pd

from ..tables.wording import SIGNIFICANT
from .measured import measured
from .significance import adjusted, difference

REFERENCE = "random"  # what the other strategies are compared with
KEYS = ["backbone", "series", "dataset"]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each strategy with random pictures by Welch's t-test over seeds: a row a network, series, set and strategy.

    Best PSNR (dB) first in each network, series and set. ``p adjusted`` accounts for the number of strategies (Benjamini
    and Hochberg); ``within the spread`` says that the difference is smaller than the spread over seeds. The comparison is
    empty where a row is that of random pictures itself.
    """
    swept = measured(table, "strategy")
    parts = [_compared(here, dict(zip(KEYS, keys))) for keys, here in swept.groupby(KEYS, sort=False)]
    return pd.concat(parts, ignore_index=True)


def _compared(here: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    values = {level: rows["psnr_y_db"] for level, rows in here.groupby("level", sort=False)}
    found = {level: difference(psnr, values[REFERENCE]) for level, psnr in values.items() if level != REFERENCE}
    corrected = dict(zip(found, adjusted([d.p_value for d in found.values()])))
    rows = []
    for level, psnr in values.items():
        row = dict(
            **keys,
            strategy=level,
            seeds=len(psnr),
            psnr_y_db=psnr.mean(),
            std=psnr.std(),
            fab=here.loc[here["level"] == level, "fab"].mean(),
            pictures=here.loc[here["level"] == level, "calibration_pictures"].mean(),
        )
        row |= {
            "against random": float("nan"),
            "p": float("nan"),
            "p adjusted": float("nan"),
            "within the spread": None,
        }
        if level in found:
            row |= {
                "against random": found[level].mean,
                "p": found[level].p_value,
                "p adjusted": corrected[level],
                "within the spread": not found[level].clear,
            }
        rows.append(row)
    return pd.DataFrame(rows).sort_values("psnr_y_db", ascending=False)


def clear(comparison: pd.DataFrame) -> pd.Series:
    """Which strategies clearly differ from random pictures."""
    return comparison["within the spread"].eq(False) & (comparison["p adjusted"] < SIGNIFICANT)
