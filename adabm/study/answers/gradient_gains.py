"""What tuning with each approximation gains at equal FAB, on patches and seeds where all of them end at a FAB that was measured."""

import numpy as np
import pandas as pd

from . import equal_fab
from .draws import patch_ends
from .gradient_probe import FEWER, MORE, UNTUNED
from .probing import psnr
from .surrogates import SURROGATES

_CURVE = (FEWER, UNTUNED, MORE)
_PATCH = ["backbone", "dataset", "patch"]


def compared(patches: pd.DataFrame) -> pd.Series:
    """Whether a patch of a network and seed is compared: not where FAB ends outside a bit fewer to a bit more with any surrogate.

    What was calibrated has no PSNR at such a FAB. It is left out for all surrogates, so that all are compared on the same.
    """
    return equal_fab.inside(patches, "surrogate", tuple(SURROGATES), _CURVE)


def ends(patches: pd.DataFrame) -> pd.DataFrame:
    """Return what tuning gained on the mappings as calibrated at the FAB of that patch: a row a network, patch and surrogate.

    What was calibrated has that FAB between a bit fewer and one more for all images, interpolated. Columns ``truth`` and
    ``fp``: dB to ground truth and to full precision; ``fab``. Means over the seeds that are :func:`compared`; a patch
    without one is left out, and a network without a patch.
    """
    known, rows = compared(patches), []
    for names, here in patches.groupby([*_PATCH, "seed"], sort=False):
        of = here.set_index("surrogate")
        if known[names]:
            rows += [
                dict(zip(_PATCH, names), surrogate=name, **equal_fab.gains(of, name, _CURVE)) for name in SURROGATES
            ]
    found = pd.DataFrame(rows, columns=[*_PATCH, "surrogate", "fab", "truth", "fp"])
    return found.groupby([*_PATCH, "surrogate"], sort=False, as_index=False).mean()


def gains(ended: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Return by surrogate the mean gain to ground truth, with ``least`` and ``most`` of 95 % of 2,000 draws of patches.

    Patches are drawn with replacement within their network; networks count alike. ``median``: that of a network's patches,
    which one patch alone does not move, in the mean of the networks.

    Args:
        ended: of :func:`ends`, with a network at least.
        reference: surrogate that the gain is on; None: the mappings as calibrated.
    """
    wide = ended.pivot_table(index=_PATCH, columns="surrogate", values="truth", sort=False)
    wide = wide if reference is None else wide.sub(wide[reference], axis=0)
    networks = [here for _, here in wide.groupby("backbone", sort=False)]
    rows = {}
    for name in SURROGATES:
        least, most = patch_ends([here[name].to_numpy() for here in networks])
        median, mean = (np.mean([of(here[name]) for here in networks]) for of in (np.median, np.mean))
        rows[name] = dict(mean=mean, least=least, most=most, median=median)
    return pd.DataFrame(rows).T


def changes(patches: pd.DataFrame) -> pd.DataFrame:
    """Return how tuning changed PSNR to ground truth (``truth``, dB) and ``fab`` against as calibrated: of a network (rows) and surrogate.

    Means over all patches and seeds, bits as they end.
    """
    values = patches.assign(truth=psnr(patches["truth"].to_numpy()))
    means = values.groupby(["backbone", "surrogate"], sort=False)[["truth", "fab"]].mean().unstack("surrogate")
    return pd.concat({kind: means[kind].sub(means[kind][UNTUNED], axis=0) for kind in ("truth", "fab")}, axis=1)
