"""How PSNR with fewer calibration pictures differs from that with the most, how many are needed, and what decides that."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from .measured import measured
from .significance import Difference, adjust, difference

ENOUGH = 0.05  # dB; PSNR is no less to within this, or where the seeds do not tell that it is
LUCK = 0.5  # dB; where the standard deviation over seeds is more, the drawn pictures decide, and they are not enough


@dataclass(frozen=True)
class Swept:
    """One method on one network and set: its measured ``rows`` by size, ascending, and the PSNR of each size against the most."""

    network: str
    series: str
    dataset: str
    rows: dict[int, pd.DataFrame]
    gaps: dict[int, Difference]

    @property
    def most(self) -> int:
        """The most pictures that were tried."""
        return max(self.rows)

    @property
    def least(self) -> Difference:
        """Of the fewest pictures against the most."""
        return self.gaps[min(self.rows)]

    @property
    def worst(self) -> float:
        """What the worst seed loses with the fewest pictures against full precision, in dB."""
        return float(self.rows[min(self.rows)]["loss_db"].max())

    @property
    def enough(self) -> int:
        """See :func:`saturated`."""
        return saturated(self.gaps, list(self.rows), {size: self.deviation(size) for size in self.rows})

    def deviation(self, size: int) -> float:
        """Standard deviation of PSNR over seeds, which draw the pictures, in dB; 0 of one seed."""
        return float(self.rows[size]["psnr_y_db"].std()) if len(self.rows[size]) > 1 else 0.0


@dataclass(frozen=True)
class Needed:
    """How many pictures a network needs, for the method that needs most.

    Attributes:
        count: see :func:`saturated`.
        fewer: the next smaller number that was tried; 0 where none was.
        by_spread: whether fewer do not do for the spread over seeds alone, the mean not being clearly below.
        limited: the method that the count is the most of that was tried; None where all that need it were tried with more.
    """

    count: int
    fewer: int
    by_spread: bool
    limited: Swept | None


def needed(swept: Sequence[Swept]) -> Needed:
    """Return how many pictures the methods of one network need on one set; those tried with one number alone tell nothing, if others do."""
    tried = [one for one in swept if one.gaps] or swept
    count = max(one.enough for one in tried)
    deciding = [one for one in tried if one.enough == count]
    short = [(one, max(size for size in one.rows if size < count)) for one in deciding if count > min(one.rows)]
    by_spread = bool(short) and not any(below(one.gaps[size]) for one, size in short)
    limited = next((one for one in deciding if one.gaps and one.most == count), None)
    return Needed(count, max((size for _, size in short), default=0), by_spread, limited)


def saturated(gaps: Mapping[int, Difference], sizes: Sequence[int], deviations: Mapping[int, float]) -> int:
    """Return the least size from which on PSNR is no less than that of the most: by 0.05 dB or not clearly, seeds deviating by no more than 0.5 dB.

    Args:
        gaps: difference in PSNR to the most, by size.
        sizes: in ascending order.
        deviations: standard deviation of PSNR over seeds in dB, by size.
    """
    within = {size: deviations[size] <= LUCK and not below(gap) for size, gap in gaps.items()}
    return next(size for size in sizes if all(within[other] for other in sizes[:-1] if other >= size))


def below(gap: Difference) -> bool:
    """Whether fewer pictures lose, noticeably and, where there are several seeds, clearly."""
    return gap.mean < -ENOUGH and _tells(gap)


def above(gap: Difference) -> bool:
    """Whether fewer pictures do better, noticeably and, where there are several seeds, clearly: more of them cost quality."""
    return gap.mean > ENOUGH and _tells(gap)


def _tells(gap: Difference) -> bool:
    return gap.clear if math.isnan(gap.p_value) else gap.sure


def compared(table: pd.DataFrame) -> list[Swept]:
    """Compare each size with the most, for each network, set and method; p values are adjusted for the number of sizes."""
    swept = measured(table, "pictures").astype({"level": int})
    found = []
    for (network, series, dataset), here in swept.groupby(["backbone", "series", "dataset"], sort=False):
        rows = {size: of.sort_values("seed") for size, of in here.groupby("level")}
        most = rows[max(rows)]["psnr_y_db"]
        gaps = {size: difference(of["psnr_y_db"], most) for size, of in rows.items() if size < max(rows)}
        found.append(Swept(network, series, dataset, rows, adjust(gaps)))
    return found
