"""PSNR with ranges that were found for other bits, or searched otherwise, and what of it is clear."""

import numpy as np
import pandas as pd

from .clipping_measures import RELEASED, RULES
from .probing import psnr

_RESAMPLED = 400  # draws


def pivoted(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return PSNR in dB of ``kind`` ("fp" or "truth"): rows are network, patch and seed, columns series and level."""
    here = units[units["level"] != "none"]
    here = here.assign(psnr=psnr(here[kind].to_numpy()), patch=here["dataset"] + " " + here["patch"])
    return here.pivot_table(index=["backbone", "patch", "seed"], columns=["series", "level"], values="psnr", sort=False)


def gaps(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what ranges found for some bits (rows) give at others (columns) beside the matched ones, in dB: networks' mean."""
    found = means(pivoted(matrix(units), kind))
    bits = sorted({int(level) for _, level in found.index})
    square = pd.DataFrame({used: {of: found[f"found for {of} bits", str(used)] for of in bits} for used in bits})
    return square - np.diag(square)


def searches(units: pd.DataFrame, method: str, kind: str) -> pd.Series:
    """Return PSNR in dB of the mapped model by how its ranges were searched: mean of the networks."""
    here = units[(units["method"] == method) & (units["series"] == "search")]
    return means(pivoted(here, kind))["search"].reindex(RULES)


def matrix(units: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ranges that were found for some bits and used at others."""
    return units[units["series"].str.startswith("found for")]


def means(values: pd.DataFrame) -> pd.Series:
    """Return the mean of the networks."""
    return values.groupby("backbone").mean().mean()


def clear(values: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a difference has the same sign in 95 % of 400 draws of patches and of seeds, with replacement, of each network."""
    rng, networks = np.random.default_rng(0), []
    for _, here in (values[one] - values[other]).groupby("backbone"):
        networks.append(here.unstack("seed").to_numpy())
    drawn = []
    for _ in range(_RESAMPLED):
        parts = [n[rng.integers(0, len(n), len(n))][:, rng.integers(0, n.shape[1], n.shape[1])] for n in networks]
        drawn.append(np.mean([part.mean() for part in parts]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return bool(low > 0 or high < 0)


def own_bits(units: pd.DataFrame, method: str, other: str) -> tuple[float, bool]:
    """Return what one recipe gives over another at the released search, dB to full precision, on what both have; and whether clearly."""
    names = {method: "own", other: "other"}
    here = units[units["method"].isin(names) & (units["series"] == "search") & (units["level"] == RELEASED)]
    values = pivoted(here.assign(series=here["method"].map(names)), "fp").dropna()
    if values.empty or values.columns.get_level_values(0).nunique() < len(names):
        return float("nan"), False
    one, two = ("own", RELEASED), ("other", RELEASED)
    return float((values[one] - values[two]).groupby("backbone").mean().mean()), clear(values, one, two)
