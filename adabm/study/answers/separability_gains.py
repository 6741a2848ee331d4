"""What bits by each policy give over the same bits for all, and how far that moves with patches and seeds."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .draws import drawn, ends
from .probing import psnr

SAME, ADABM, SEPARATE, JOINT = "same for all", "AdaBM's mappings", "best separate", "best joint"


def gains(policies: pd.DataFrame) -> pd.DataFrame:
    """Return what each policy gives over the same bits for all, in dB: ``to_fp_db`` of the pooled error, ``truth_db``; seeds' mean."""
    rows = []
    for (backbone, seed), here in policies.groupby(["backbone", "seed"], sort=False):
        base = here[here["policy"] == SAME]
        for policy, of in here.groupby("policy", sort=False):
            to_fp = psnr(of["fp"].mean()) - psnr(base["fp"].mean())
            truth = psnr(of["truth"].to_numpy()).mean() - psnr(base["truth"].to_numpy()).mean()
            rows.append(dict(backbone=backbone, seed=seed, policy=policy, to_fp_db=to_fp, truth_db=truth))
    return pd.DataFrame(rows)


def mean_gains(gained: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over seeds of each network and policy but the same bits for all, of :func:`gains`."""
    found = gained[gained["policy"] != SAME].groupby(["backbone", "policy"], sort=False)[["to_fp_db", "truth_db"]]
    return found.mean().join(found.std().fillna(0).add_suffix("_std")).reset_index()


def spreads(policies: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what draws of patches and seeds make of each policy's gains: (draws, networks, to full precision and to ground truth)."""
    names, networks = [ADABM, SEPARATE, JOINT], []
    for _, network in policies.groupby("backbone", sort=False):
        wide = network.pivot_table(index=["seed", "dataset", "patch"], columns="policy", values=["fp", "truth"])
        columns = [(kind, policy) for policy in [SAME, *names] for kind in ("fp", "truth")]
        networks.append(wide[columns].to_numpy().reshape(network["seed"].nunique(), -1, 1 + len(names), 2))
    values = drawn(networks, _drawn_gains)
    return {name: values[:, :, place] for place, name in enumerate(names)}


def between(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return mean gains with ``least`` and ``most``, between which 95 % of draws of those to the full-precision output lie.

    Args:
        gained: of :func:`mean_gains`.
        drawn_gains: of :func:`spreads`.
    """
    networks = list(dict.fromkeys(gained["backbone"]))
    found = [
        [end[networks.index(row.backbone)] for end in ends(drawn_gains[row.policy][..., 0])]
        for row in gained.itertuples()
    ]
    return gained.assign(least=[least for least, _ in found], most=[most for _, most in found])


def _drawn_gains(errors: np.ndarray) -> np.ndarray:
    """Gains in dB, mean over seeds, of (seeds, patches, policies, sides), the first policy being the same for all."""
    fp, truth = psnr(errors[..., 0].mean(1)), psnr(errors[..., 1]).mean(1)
    both = np.stack([fp, truth], axis=2)
    return (both[:, 1:] - both[:, :1]).mean(0)
