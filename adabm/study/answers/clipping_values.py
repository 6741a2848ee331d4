"""PSNR with ranges that were found for other bits, or searched otherwise, and what of it is clear."""

import numpy as np
import pandas as pd

from .clipping_measures import RULES
from .draws import drawn_means, one_sided, with_ends
from .probing import psnr


def pivoted(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return PSNR in dB of ``kind`` ("fp" or "truth"): rows are network, patch and seed, columns series and level."""
    here = units[units["level"] != "none"]
    here = here.assign(psnr=psnr(here[kind].to_numpy()), patch=here["dataset"] + " " + here["patch"])
    return here.pivot_table(index=["backbone", "patch", "seed"], columns=["series", "level"], values="psnr", sort=False)


def gaps(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what ranges found for some bits (rows) give at others (columns) beside the matched ones, in dB: networks' mean."""
    return gaps_of(pivoted(matrix(units), kind))


def gaps_of(values: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`gaps` of :func:`pivoted` values."""
    found = means(values)
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


def drawn_gaps(values: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> np.ndarray:
    """Return what draws of patches and seeds make of a difference, dB: (draws, networks), in the order of the networks."""
    by_network = (values[one] - values[other]).groupby("backbone", sort=False)
    return drawn_means([here.unstack("seed").to_numpy().T for _, here in by_network])


def clear(values: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether 95 % of draws of patches and of seeds give a difference one sign, in the mean of the networks."""
    return one_sided(drawn_gaps(values, one, other).mean(1))


def told_gap(values: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> str:
    """Tell a difference in the mean of the networks, and between what 95 % of its draws lie: ``+0.8 (-0.1 to +1.7)``."""
    gap = (values[one] - values[other]).groupby("backbone").mean().mean()
    return with_ends(gap, drawn_gaps(values, one, other).mean(1), 1)
