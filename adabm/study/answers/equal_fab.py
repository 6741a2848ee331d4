"""What a way of choosing bits gives at equal FAB, patch by patch: beside the same model with a bit fewer and one more for the whole patch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import StudyError
from ..tables.wording import several
from .probing import psnr

_KEYS = ("series", "backbone", "dataset", "patch", "seed")
_ROUNDING = 1e-6  # bits


def inside(units: pd.DataFrame, by: str, ways: Sequence[str], curve: Sequence[str]) -> pd.Series:
    """Return by patch and seed whether the FAB of every way lies on the curve; see :func:`reached`."""
    fab = units.pivot_table(index=_keys(units), columns=by, values="fab", sort=False)
    least, most = (getattr(fab[list(curve)], end)(axis=1) for end in ("min", "max"))
    within = fab[list(ways)].ge(least - _ROUNDING, axis=0) & fab[list(ways)].le(most + _ROUNDING, axis=0)
    return within.all(axis=1)


def reached(units: pd.DataFrame, by: str, ways: Sequence[str], curve: Sequence[str]) -> pd.DataFrame:
    """Return the rows of patches on which the FAB of every way lies on the curve: beyond its ends nothing is known at equal FAB.

    A patch of one seed is left out for all ways alike, so that they are compared on the same ones.

    Args:
        units: a row a patch, seed and way, which the column ``by`` names, with ``fab``.
        curve: names of the rows that are interpolated between.

    Raises:
        StudyError: nothing is left.
    """
    within = inside(units, by, ways, curve)
    kept = within.index[within]
    if kept.empty:
        raise StudyError(
            f"on no patch all ways of choosing bits have a FAB between those of {curve[0]!r} and {curve[-1]!r}, so that nothing can be compared at "
            "equal FAB; let them move bits less, with fewer steps or a lower learning rate"
        )
    return units[pd.MultiIndex.from_frame(units[_keys(units)]).isin(kept)]


def told_left_out(units: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Tell how many patches :func:`reached` left out, counted once a seed, by network; nothing where it left out none.

    Args:
        units: what it was given; ``kept``: what it returned.
    """
    counts = pd.DataFrame({"all": _patches(units), "kept": _patches(kept)}).fillna(0).astype(int)
    short = counts[counts["kept"] < counts["all"]]
    if short.empty:
        return ""
    on = " on {}" if len(counts) > 1 else ""
    told = [f"{row['all'] - row['kept']} of {row['all']}{on.format(name)}" for name, row in short.iterrows()]
    return f" Left out are patches on which bits end beyond those that are interpolated between (a patch counts once a seed): {several(told)}."


def _patches(units: pd.DataFrame) -> pd.Series:
    """How many patches each network has, one a seed."""
    return units[_keys(units)].drop_duplicates().groupby("backbone", sort=False).size()


def _keys(units: pd.DataFrame) -> list[str]:
    return [name for name in _KEYS if name in units]


def gains(of: pd.DataFrame, way: str, curve: Sequence[str]) -> dict[str, float]:
    """Return ``fab`` of a way on one patch, and what it gives at that FAB to ground truth (``truth``) and to full precision (``fp``) in dB.

    Args:
        of: the rows of that patch and seed, by way; on the curve, see :func:`reached`.
    """
    points, fab = of.loc[list(curve)], float(of.loc[way, "fab"])
    kinds = {kind: np.interp(fab, points["fab"], psnr(points[kind].to_numpy())) for kind in ("truth", "fp")}
    return {"fab": fab} | {kind: float(psnr(of.loc[way, kind]) - equal) for kind, equal in kinds.items()}
