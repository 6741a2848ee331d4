"""Parts of a question's table that several answers look at."""

import pandas as pd

from ..running.runs import MEASURED
from ..tables.wording import several

_FEW = 5  # patches


def full_precision(table: pd.DataFrame) -> pd.Series:
    """Return the PSNR on Y of full precision in dB, by set."""
    return table[table["setting"] == "FP32"].set_index("dataset")["psnr_y_db"]


def measured(table: pd.DataFrame, variable: str) -> pd.DataFrame:
    """Return the rows that were measured while ``variable`` was swept."""
    return table[(table["variable"] == variable) & (table["status"] == MEASURED)]


def told_seeds(table: pd.DataFrame) -> str:
    """Tell how many seeds the networks of a table with ``backbone`` and ``seed`` have: ``one seed``, ``1 to 3 seeds``."""
    counts = table.groupby("backbone")["seed"].nunique()
    if counts.max() == 1:
        return "one seed"
    return f"{counts.max()} seeds" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()} seeds"


def extents(units: pd.DataFrame) -> list[dict[str, str]]:
    """Return rows of evidence: how many patches, layers and seeds each network of a table has, of what the table names."""
    rows = []
    for name, here in units.groupby("backbone", sort=False):
        row = {"measured on": name}
        if "patch" in here:  # patches of two sets may have one name
            row["patches"] = str(len(here[["dataset", "patch"]].drop_duplicates()))
        if "layer" in here:
            row["layers"] = str(here["layer"].nunique())
        rows.append(row | {"seeds": str(here["seed"].nunique())})
    return rows


def told_extents(units: pd.DataFrame) -> str:
    """Tell on how many patches of each network a table rests, and on how many seeds.

    ``60 patches each of a and b and 20 patches of c, with 5 seeds each``
    """
    networks: dict[str, list[str]] = {}
    for row in extents(units):
        networks.setdefault(row["patches"], []).append(row["measured on"])
    counts = [
        f"{count} {'patch' if count == '1' else 'patches'}{' each' * (len(names) > 1)} of {several(names)}"
        for count, names in networks.items()
    ]
    return f"{several(counts)}, with {told_seeds(units)}{' each' * (units['backbone'].nunique() > 1)}"


def few_patches(units: pd.DataFrame) -> dict[str, str]:
    """Return the networks of a table that rest on fewer than five patches, and on how many: ``2 patches``."""
    counts = {row["measured on"]: int(row["patches"]) for row in extents(units)}
    return {name: f"{count} patch{'es' * (count > 1)}" for name, count in counts.items() if count < _FEW}


def signed(value: float, digits: int = 2) -> str:
    """Return a difference as tables tell it: ``+0.12``, ``-1.00``, ``+0.00``, and nothing where there is none."""
    return "" if pd.isna(value) else f"{value:+z.{digits}f}"
