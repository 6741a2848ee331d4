"""How PSNR with pictures of each strategy differs from that with random ones."""

from collections.abc import Mapping

import pandas as pd

from ..running.runs import DIVERGED
from ..tables.wording import SIGNIFICANT
from .diverged import check_measured, divergences
from .measured import measured
from .significance import adjust, difference

REFERENCE = "random"  # what the other strategies are compared with
KEYS = ["backbone", "series", "dataset"]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each strategy with random pictures by Welch's t-test over seeds: a row a network, series, set and strategy.

    Best PSNR (dB) first in each network, series and set. ``p adjusted`` accounts for the number of strategies (Benjamini
    and Hochberg); ``within the spread`` says that the difference is smaller than the spread over seeds; ``seeds of both`` are
    those that strategy and random pictures have at least. The comparison is empty where a row is that of random pictures
    itself, or where these diverged with all seeds. ``diverged`` counts seeds; a strategy that did so with all has a row without
    values, last.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    swept = measured(table, "strategy")
    parts = [_compared(here, dict(zip(KEYS, keys))) for keys, here in swept.groupby(KEYS, sort=False)]
    found = pd.concat(parts, ignore_index=True)
    counts = divergences(table).rename(columns={"level": "strategy"})
    diverged = table.loc[table["status"] == DIVERGED, KEYS].drop_duplicates().merge(counts[counts["diverged"] > 0])
    lost = diverged[diverged["diverged"] == diverged["seeds"]].assign(seeds=0)
    found = found.merge(diverged[[*KEYS, "strategy", "diverged"]], "left", [*KEYS, "strategy"])
    found = (
        pd.concat([found, lost[[*KEYS, "strategy", "seeds", "diverged"]]], ignore_index=True) if len(lost) else found
    )
    return found.assign(diverged=found["diverged"].fillna(0).astype(int))


def _compared(here: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    values = {level: rows["psnr_y_db"] for level, rows in here.groupby("level", sort=False)}
    random = values.get(REFERENCE)
    others = {level: psnr for level, psnr in values.items() if level != REFERENCE and random is not None}
    found = {level: difference(psnr, random) for level, psnr in others.items()}
    corrected = adjust(found)
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
            "seeds of both": 0,
            "certainty": "",
        }
        if level in found:
            row |= {
                "against random": found[level].mean,
                "p": found[level].p_value,
                "p adjusted": corrected[level].p_value,
                "within the spread": not found[level].clear,
                "seeds of both": found[level].seeds,
                "certainty": corrected[level].certainty,
            }
        rows.append(row)
    return pd.DataFrame(rows).sort_values("psnr_y_db", ascending=False)


def clear(comparison: pd.DataFrame) -> pd.Series:
    """Which strategies clearly differ from random pictures: by a test, or with every one of several seeds alike, which have none."""
    alike = comparison["p adjusted"].isna() & (comparison["seeds of both"] > 1)
    return comparison["within the spread"].eq(False) & ((comparison["p adjusted"] < SIGNIFICANT) | alike)
