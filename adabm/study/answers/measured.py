"""Parts of a question's table that several answers look at."""

import pandas as pd

from ..running.runs import MEASURED


def full_precision(table: pd.DataFrame) -> pd.Series:
    """Return the PSNR on Y of full precision in dB, by set."""
    return table[table["setting"] == "FP32"].set_index("dataset")["psnr_y_db"]


def measured(table: pd.DataFrame, variable: str) -> pd.DataFrame:
    """Return the rows that were measured while ``variable`` was swept."""
    return table[(table["variable"] == variable) & (table["status"] == MEASURED)]


def several(texts: list[str]) -> str:
    """Join texts as a sentence lists them: ``a, b and c``."""
    return ", ".join(texts[:-1]) + " and " + texts[-1] if len(texts) > 1 else texts[0]
