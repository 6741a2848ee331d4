"""PSNR at equal bits: what a tuned mapping gains on thresholds that are set by quantiles, without any tuning; and what it changes as bits end."""

import numpy as np
import pandas as pd

from . import bit_loss_measures as measures
from .bit_loss_measures import factors_at, thresholds
from .bit_loss_methods import AS_CALIBRATED
from .probing import psnr


def curve(forced: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return ``fab`` and ``psnr`` of one network and seed with thresholds by quantiles of the patches, from -1 to 1 bit.

    Args:
        forced: the rows of the factors -1, 0 and 1.
        kind: "fp", to the full-precision output, or "truth".
    """
    ordered = forced.sort_values(["dataset", "patch", "method"], kind="stable")
    shape = (-1, len(measures.FACTORS))
    order = [f"factor {factor:+d}" for factor in measures.FACTORS]
    names = ordered["method"].to_numpy().reshape(shape)[0].tolist()
    columns = [names.index(name) for name in order]
    values, fab, known = (ordered[name].to_numpy().reshape(shape)[:, columns] for name in (kind, "fab", "complexity"))
    points = {}
    for change in np.linspace(-1, 1, 2 * len(values) + 1):
        chosen = factors_at(known[:, 0], *thresholds(known[:, 0], change)) + 1
        place = np.arange(len(values))
        points[fab[place, chosen].mean()] = psnr(values[place, chosen]).mean()
    return pd.DataFrame(sorted(points.items()), columns=["fab", "psnr"])


def at_equal_bits(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return FAB and PSNR of each model's patches, and ``gain`` in dB on thresholds by quantiles at the same FAB.

    Without a gain where quantiles do not reach the FAB, because layers have other factors.
    """
    rows = []
    for (backbone, seed), here in units.groupby(["backbone", "seed"], sort=False):
        is_forced = here["method"].str.startswith("factor ")
        known = curve(here[is_forced], kind)
        for (method, target), own in here[~is_forced].groupby(["method", "target"], sort=False):
            fab, value = own["fab"].mean(), psnr(own[kind].to_numpy()).mean()
            reference = np.interp(fab, known["fab"], known["psnr"], left=np.nan, right=np.nan)
            row = dict(backbone=backbone, seed=seed, method=method, target=target, fab=fab, psnr=value)
            rows.append(row | dict(gain=value - reference))
    return pd.DataFrame(rows)


def changes(units: pd.DataFrame) -> pd.DataFrame:
    """Return how tuning towards each network's first target changed the patches against as calibrated, bits as they end.

    Rows are ``backbone`` and ``method``, columns ``fab``, ``fp`` and ``truth`` (dB); means over seeds. None of networks of which
    nothing as calibrated was measured.
    """
    values = units.assign(**{kind: psnr(units[kind].to_numpy()) for kind in ("fp", "truth")})
    first = values["backbone"].map(values.groupby("backbone", sort=False)["target"].first())
    means = values[values["target"] == first].groupby(["backbone", "method"], sort=False)[["fab", "fp", "truth"]].mean()
    own = means[means.index.get_level_values("method") == AS_CALIBRATED].droplevel("method")
    return means.sub(own, axis=0, level="backbone").dropna()
