"""What each pool loses against photographs alone, read off the question's table."""

from dataclasses import dataclass

import pandas as pd

from ...errors import StudyError
from .measured import measured
from .pool_measures import ALIKE, IMAGES_ALIKE, OWN
from .pool_outliers import CLEAN
from .significance import Difference, adjust, paired_difference, share_seeds

_LITTLE = 0.05  # dB; smaller losses are none
_POOL = "pool"


def variable(bits: str) -> str:
    """Return the table's variable for pools at these bits of the models."""
    return _POOL if bits == OWN else f"{_POOL}, {bits}"


def clear(loss: Difference) -> bool:
    """Whether a loss in dB is sure and not too small to matter."""
    return differs(loss) and loss.mean > 0


def differs(loss: Difference) -> bool:
    """Whether a loss or a gain in dB is sure and not too small to matter."""
    return loss.sure and abs(loss.mean) > _LITTLE


@dataclass(frozen=True)
class Lost:
    """What a method loses on a network with a pool, against photographs alone, over seeds.

    Attributes:
        psnr, fab: means.
        clean_fab: with photographs alone.
        pictures: least and most calibration pictures.
        loss: dB, at the bits that the model chooses; its p value is adjusted for the number of pools.
        images_alike, alike: likewise at the same bits for all images, and for all layers too, where FAB is equal and only
            ranges differ; None for a method without bit mappings.
    """

    backbone: str
    setting: str
    series: str
    pool: str
    psnr: float
    fab: float
    clean_fab: float
    pictures: tuple[int, int]
    seeds: int
    loss: Difference
    images_alike: Difference | None
    alike: Difference | None

    @property
    def alone(self) -> bool:
        """Whether one seed cannot tell whether it hurts."""
        return self.loss.seeds == 1

    @property
    def hurts(self) -> bool:
        """Whether the loss is clear."""
        return clear(self.loss)

    @property
    def hurts_alike(self) -> bool:
        """Whether the loss is clear at the same bits for all images and layers."""
        return self.alike is not None and clear(self.alike)

    @property
    def gains(self) -> bool:
        """Whether a gain is clear."""
        return differs(self.loss) and self.loss.mean < 0


def compared(table: pd.DataFrame) -> list[Lost]:
    """Compare every pool with photographs alone, by network, method and pool; seeds are paired, sets count alike.

    A pool that shares no seed with photographs alone, because models diverged with others, is left out.

    Raises:
        StudyError: photographs alone were measured nowhere.
    """
    found = []
    own = measured(table, variable(OWN))
    for (backbone, series), here in own.groupby(["backbone", "series"], sort=False):
        if CLEAN not in set(here["level"]):
            continue
        losses = {bits: _losses(table, backbone, series, bits) for bits in (OWN, IMAGES_ALIKE, ALIKE)}
        clean_fab = here.loc[here["level"] == CLEAN, "fab"].mean()
        paired = here[here["level"].isin(losses[OWN])]
        for pool, rows in paired.groupby("level", sort=False):
            counts = rows["calibration_pictures"]
            means = (rows["psnr_y_db"].mean(), rows["fab"].mean(), clean_fab)
            sizes = ((int(counts.min()), int(counts.max())), rows["seed"].nunique())
            found.append(
                Lost(
                    backbone,
                    rows["setting"].iloc[0],
                    series,
                    pool,
                    *means,
                    *sizes,
                    *(of.get(pool) for of in losses.values()),
                )
            )
    if not found:
        raise StudyError(
            f"no model of {CLEAN} alone, the reference, was measured; lower the learning rates of the methods if they diverged"
        )
    return found


def _losses(table: pd.DataFrame, backbone: str, series: str, bits: str) -> dict[str, Difference]:
    """Loss by pool at these bits; nothing where they were not measured."""
    here = measured(table, variable(bits))
    here = here[(here["backbone"] == backbone) & (here["series"] == series)]
    if here.empty:
        return {}
    psnr = here.pivot_table(index="seed", columns="level", values="psnr_y_db", sort=False)  # mean over sets
    pools = [pool for pool in psnr.columns if pool != CLEAN and share_seeds(psnr[CLEAN], psnr[pool])]
    lost = adjust({pool: paired_difference(psnr[CLEAN], psnr[pool]) for pool in pools})
    return {CLEAN: paired_difference(psnr[CLEAN], psnr[CLEAN])} | lost


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return what :func:`compared` finds as numbers, a row a network, method and pool: dB, means over seeds.

    ``bits`` is what bits add to the loss that remains at the same bits for all, ``ranges``; NaN for a method without mappings.
    """
    rows = []
    for lost in compared(table):
        told = dict(backbone=lost.backbone, series=lost.series, pool=lost.pool, psnr_y_db=lost.psnr, fab=lost.fab)
        told |= dict(loss=lost.loss.mean, spread=lost.loss.spread, p=lost.loss.p_value, hurts=lost.hurts)
        if lost.alike is not None:
            told |= dict(ranges=lost.alike.mean, bits=lost.loss.mean - lost.alike.mean)
        rows.append(told)
    return pd.DataFrame(rows)
