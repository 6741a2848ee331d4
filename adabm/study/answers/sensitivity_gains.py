"""What bits of layers dealt by a measure give over the same bits for all, and how far that moves with patches and seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .draws import drawn
from .probing import psnr
from .sensitivity_measures import UNIFORM

SIDES = ("to_fp_db", "truth_db")
_SAME = 0.05  # dB

Drawn = Mapping[str, Mapping[str, np.ndarray]]  # by measure and network, (draws, to full precision and to ground truth)


def gains(patches: pd.DataFrame) -> pd.DataFrame:
    """Return what bits by each measure give over the same for all: a row a network, seed and measure.

    Columns ``to_fp_db``: of the PSNR of the pooled error to the full-precision output; ``truth_db``: of the mean PSNR to
    ground truth. Chance is the mean of its draws.
    """
    rows, keys = [], ["backbone", "seed"]
    for (backbone, seed), here in patches.groupby(keys, sort=False):
        found = {name: _quality(one) for name, one in here.groupby("measure", sort=False)}
        for name in found.keys() - {UNIFORM}:
            fp, truth = np.subtract(found[name], found[UNIFORM])
            rows.append(dict(backbone=backbone, seed=seed, measure=name, to_fp_db=fp, truth_db=truth))
    return pd.DataFrame(rows).sort_values([*keys, "measure"], ignore_index=True)


def _quality(patches: pd.DataFrame) -> tuple[float, float]:
    """PSNR to full precision, pooled over patches, and to ground truth; each the mean over draws of equal size."""
    draw = patches.groupby(["dataset", "patch"]).cumcount()
    return psnr(patches["fp"].groupby(draw).mean()).mean(), psnr(patches["truth"].to_numpy()).mean()


def drawn_gains(patches: pd.DataFrame, names: Sequence[str]) -> Drawn:
    """Return what draws of patches and seeds make of what some measures give."""
    networks, columns = {}, [(kind, name) for name in (UNIFORM, *names) for kind in ("fp", "truth")]
    for backbone, network in patches[patches["measure"].isin([UNIFORM, *names])].groupby("backbone", sort=False):
        wide = network.pivot_table(index=["seed", "dataset", "patch"], columns="measure", values=["fp", "truth"])
        networks[backbone] = wide[columns].to_numpy().reshape(network["seed"].nunique(), -1, 1 + len(names), 2)
    values = drawn(list(networks.values()), _drawn_gains)
    return {
        name: {network: values[:, place, which] for place, network in enumerate(networks)}
        for which, name in enumerate(names)
    }


def _drawn_gains(errors: np.ndarray) -> np.ndarray:
    """Gains in dB, mean over seeds, of (seeds, patches, measures, sides), the first being the same bits for all."""
    both = np.stack([psnr(errors[..., 0].mean(1)), psnr(errors[..., 1]).mean(1)], axis=2)
    return (both[:, 1:] - both[:, :1]).mean(0)


def mean_of_networks(table: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Mean of values by measure, each network counting as much as any other, however many seeds it has."""
    own = table.groupby(["measure", "backbone"], sort=False)[values].mean()
    return own.groupby(level="measure", sort=False).mean()


def by_network(table: pd.DataFrame, name: str, value: str) -> pd.Series:
    """Mean of a measure's values over seeds, by network."""
    return table[table["measure"] == name].groupby("backbone", sort=False)[value].mean()


def as_good(gained: pd.DataFrame, one: str, other: str) -> bool:
    """Whether bits by one measure gain no less than by another, but for 0.05 dB or the spread over seeds."""
    means = mean_of_networks(gained, ["to_fp_db"])["to_fp_db"]
    values = gained.pivot_table(index="seed", columns=["measure", "backbone"], values="to_fp_db")
    gaps = (values[one] - values[other]).dropna().mean(axis=1)  # of seeds that all networks have
    spread = float(gaps.std()) if len(gaps) > 1 else 0.0
    return bool(means[one] - means[other] >= -max(_SAME, spread))
