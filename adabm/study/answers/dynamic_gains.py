"""What layer factors of each picture's own gain on fixed ones at equal FAB, and how far that moves with the patches drawn."""

import numpy as np
import pandas as pd

from . import equal_fab
from .draws import patch_ends
from .layer_factors import FEWER, FIXED, MORE, OTHER, OWN, SAME, THRESHOLDS

DYNAMIC = (OWN, THRESHOLDS)
COMPARED = (*DYNAMIC, OTHER, SAME)  # with fixed factors
_CURVE = (FEWER, FIXED, MORE)


def comparable(units: pd.DataFrame) -> pd.DataFrame:
    """Return the patches and seeds on which all rules have bits that fixed factors have, too; see :func:`.equal_fab.reached`."""
    return equal_fab.reached(units, "rule", COMPARED, _CURVE)


def gains(units: pd.DataFrame) -> pd.DataFrame:
    """Return what each rule gains on fixed factors at the FAB of that patch: a row a method, network, patch and rule.

    Values are means over seeds.

    Fixed factors at that FAB are interpolated between a bit fewer and a bit more for the whole image; a patch and seed at which some
    rule has other bits than these is left out. Columns ``truth`` and ``fp``: dB to ground truth and to full precision; ``fab``;
    ``differ``: share of layers with another factor.
    """
    rows = []
    keys = ["series", "backbone", "dataset", "patch"]
    for names, here in comparable(units).groupby([*keys, "seed"], sort=False):
        of = here.set_index("rule")
        for rule in COMPARED:
            told = dict(zip(keys, names), rule=rule, **equal_fab.gains(of, rule, _CURVE))
            pairs = zip(of.loc[rule, "factors"], of.loc[FIXED, "factors"], strict=True)
            rows.append(told | dict(differ=np.mean([one != other for one, other in pairs])))
    return pd.DataFrame(rows).groupby([*keys, "rule"], sort=False, as_index=False).mean()


def summary(gained: pd.DataFrame) -> pd.DataFrame:
    """Return for each rule, in the mean over networks, the gain with ``least`` and ``most`` of 95 % of draws, and the rest.

    ``gained`` are those of one method. Patches are drawn with replacement within their network, 2,000 times, to see what chance does.
    """
    rows = {}
    for rule, here in gained.groupby("rule", sort=False):
        networks = [network for _, network in here.groupby("backbone", sort=False)]
        means = pd.DataFrame([network[["truth", "fp", "fab", "differ"]].mean() for network in networks]).mean()
        least, most = patch_ends([network["truth"].to_numpy() for network in networks])
        rows[rule] = dict(means) | dict(least=least, most=most)
    return pd.DataFrame(rows).T
