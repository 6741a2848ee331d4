"""What bits that follow the image change at equal FAB, from the question's table, for pages that refer to it."""

import numpy as np
import pandas as pd

from ..tables.wording import told_count
from .complexity_draws import ORACLE
from .complexity_measures import OWN

UNIFORM = "same for all"


def image_gain(table: pd.DataFrame, by: str = OWN) -> pd.DataFrame | None:
    """Return what bits by a measure of the image change at equal FAB: PSNR to ground truth in dB, a row a seed, a column a network.

    None where the measure was not tried.

    Args:
        table: the question's, as :func:`.complexity.table` returned it.
        by: the measure; AdaBM's, another, or the known worth.
    """
    rows = table[table["psnr_y_db"].notna()]
    wide = rows.pivot_table(index=["backbone", "dataset", "seed", "pictures"], columns="level", values="psnr_y_db")
    if not {by, UNIFORM} <= set(wide):
        return None
    gained = (wide[by] - wide[UNIFORM]).dropna().reset_index(name="gain")
    rows = [
        (*keys, np.average(here["gain"], weights=here["pictures"]))
        for keys, here in gained.groupby(["backbone", "seed"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["backbone", "seed", "gain"]).pivot(index="seed", columns="backbone")["gain"]


def image_worth(table: pd.DataFrame) -> str:
    """Tell in one sentence what it changes, at equal FAB, that bits follow AdaBM's measure of the image; nothing if not tried."""
    by_seed, known = image_gain(table), image_gain(table, ORACLE)
    if by_seed is None:
        return ""
    means, of_seeds = by_seed.mean(), by_seed.dropna().mean(axis=1)  # seeds that all networks have
    spans = [f"{means.min():+.2f} to {means.max():+.2f} by network"] if len(means) > 1 else []
    spans += [f"{of_seeds.min():+.2f} to {of_seeds.max():+.2f} by seed"] if len(of_seeds) > 1 else []
    spread = f" ({', '.join(spans)})" if spans else ""
    worth = np.nan if known is None else float(known.mean().mean())
    by_worth = "" if np.isnan(worth) else f", by their measured worth in squared error {worth:+z.2f} dB"
    return (
        f"At equal FAB, moving some patches by one bit as it says changes PSNR to ground truth by {means.mean():+z.2f} dB{spread}"
        f"{by_worth}, not fine-tuned, on {told_count(len(means), 'network')}; more on the page of complexity."
    )
