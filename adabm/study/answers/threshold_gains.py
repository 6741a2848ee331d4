"""What moving the first thresholds does to PSNR, against the released ones and against the same mean bits dealt blindly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .measured import measured
from .significance import Difference, paired_difference
from .threshold_starts import ALIKE, CONSTANT, IMAGES, PERCENTILE, RANDOM, RELEASED, START


@dataclass(frozen=True)
class Moved:
    """What moving one pair of thresholds does, over seeds.

    Attributes:
        which: ``images`` or ``layers``.
        name: the method.
        psnr, fab: means by percentile.
        best: the percentile of the highest PSNR; ``lost``: released minus it.
        worth: released minus percentile 0, the extremes of what calibration saw.
        worst: the percentile but 0 of the lowest PSNR; ``most``: released minus it.
        starts: released minus a start that follows no percentile, by its name; ``start_fab``: its FAB.
    """

    network: str
    which: str
    name: str
    psnr: pd.Series
    fab: pd.Series
    best: int
    lost: Difference
    worth: Difference
    worst: int
    most: Difference
    starts: Mapping[str, Difference]
    start_fab: Mapping[str, float]
    seeds: int

    @property
    def span(self) -> float:
        """From the worst to the best percentile, in dB."""
        return self.up_to(max(self.psnr.index))

    def up_to(self, level: int) -> float:
        """The same of percentiles up to one."""
        psnr = self.psnr[self.psnr.index <= level]
        return float(psnr.max() - psnr.min())


def compared(table: pd.DataFrame) -> list[Moved]:
    """Compare, on the first set, the released start with the others, of images and of layers, for each network and method."""
    return [_moved(network, series, here) for (network, series), here in _first_set(table)]


def _first_set(table: pd.DataFrame):
    of_question = table[table["variable"].isin([PERCENTILE, START])]
    return of_question[of_question["dataset"] == of_question["dataset"].iloc[0]].groupby(
        ["backbone", "series"], sort=False
    )


def _moved(network: str, series: str, here: pd.DataFrame) -> Moved:
    which, _, name = series.partition(", ")
    swept, begun = measured(here, PERCENTILE).astype({"level": int}), measured(here, START)
    psnr = swept.pivot_table(index="seed", columns="level", values="psnr_y_db")
    means, released = psnr.mean(), RELEASED[which]
    best = released if means[released] == means.max() else int(means.idxmax())
    worst = int(means.drop(0).idxmin())
    lost, worth, most = (paired_difference(psnr[released], psnr[other]) for other in (best, 0, worst))
    others = {
        start: of.set_index("seed") for start, of in begun.groupby("level", sort=False) if start in (RANDOM, CONSTANT)
    }
    starts = {start: paired_difference(psnr[released], of["psnr_y_db"]) for start, of in others.items()}
    start_fab = {start: float(of["fab"].mean()) for start, of in others.items()}
    fab = swept.groupby("level")["fab"].mean()
    return Moved(network, which, name, means, fab, best, lost, worth, worst, most, starts, start_fab, len(psnr))


@dataclass(frozen=True)
class Dealt:
    """What thresholds of images give over as many bits dealt to the pictures blindly, in PSNR over seeds; ``fab`` of both."""

    network: str
    name: str
    start: str
    psnr: float
    fab: float
    gain: Difference
    seeds: int


def at_equal_fab(table: pd.DataFrame) -> list[Dealt]:
    """Compare each start of images' thresholds with the same FAB dealt without a look at the pictures, where that was measured.

    With all pictures at the base, one bit fewer and one more, what a share of the pictures at another factor gives in the mean
    over all choices of pictures lies on the line between.
    """
    found = []
    for (network, series), here in _first_set(table):
        which, _, name = series.partition(", ")
        begun = measured(here, START)
        alike = {level: begun[begun["level"] == level].set_index("seed") for level in ALIKE.values()}
        if which != IMAGES or any(rows.empty for rows in alike.values()):
            continue
        told = pd.concat([measured(here, PERCENTILE), begun[begun["level"].isin([RANDOM, CONSTANT])]])
        for start, of in told.groupby("level", sort=False):
            own = of.set_index("seed")
            blind = _blind(own["fab"], alike)
            gain = paired_difference(own["psnr_y_db"], blind)
            found.append(Dealt(network, name, start, own["psnr_y_db"].mean(), own["fab"].mean(), gain, len(own)))
    return found


def _blind(fab: pd.Series, alike: Mapping[str, pd.DataFrame]) -> pd.Series:
    """PSNR by seed on the line between the models whose pictures are all alike, at each seed's own FAB."""
    return pd.Series(
        {
            seed: np.interp(value, *(_line(alike.values(), seed, column) for column in ("fab", "psnr_y_db")))
            for seed, value in fab.items()
        }
    )


def _line(alike: Sequence[pd.DataFrame], seed: int, column: str) -> list[float]:
    return [float(rows.loc[seed, column]) for rows in alike]
