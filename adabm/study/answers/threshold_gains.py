"""What moving the first thresholds does to PSNR, against the released ones and against the same mean bits dealt blindly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import StudyError
from ..running.runs import MEASURED
from .measured import measured
from .significance import Difference, paired_difference, share_seeds
from .threshold_starts import ALIKE, CONSTANT, IMAGES, PERCENTILE, RANDOM, RELEASED, START

EXTREMES = 0  # percentile


@dataclass(frozen=True)
class Moved:
    """What moving one pair of thresholds does, over seeds.

    Attributes:
        which: ``images`` or ``layers``.
        name: the method.
        values: PSNR in dB, a row a seed, a column a percentile; those that share no seed with the released one are left out.
        fab: means by percentile.
        best: the percentile of the highest PSNR; ``lost``: released minus it.
        worth: released minus percentile 0, the extremes of what calibration saw.
        worst: the percentile but 0 of the lowest PSNR; ``most``: released minus it.
        starts: released minus a start that follows no percentile, by its name; ``start_fab``: its FAB.
        base: released minus all images at the base bits, where that was measured; ``base_fab``: its FAB.
        dataset: the set that all of this was measured on.
    """

    network: str
    which: str
    name: str
    values: pd.DataFrame
    fab: pd.Series
    best: float
    lost: Difference
    worth: Difference
    worst: float
    most: Difference
    starts: Mapping[str, Difference]
    start_fab: Mapping[str, float]
    base: Difference | None
    base_fab: float
    dataset: str

    @property
    def psnr(self) -> pd.Series:
        """Means by percentile, in dB."""
        return self.values.mean()

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def span(self) -> float:
        """From the worst to the best percentile, in dB."""
        return float(self.psnr.max() - self.psnr.min())

    @property
    def against(self) -> dict[float, Difference]:
        """The released percentile minus each other one, by that."""
        released = self.values[RELEASED[self.which]]
        others = [level for level in self.values if level != RELEASED[self.which]]
        return {level: paired_difference(released, self.values[level]) for level in others}

    @property
    def advised(self) -> float:
        """The best percentile, or the extremes where they too are clearly better than the released one and not told from the best."""
        below = paired_difference(self.values[self.best], self.values[EXTREMES])
        return EXTREMES if self.worth.sure and self.worth.mean < 0 and not below.sure else self.best


def compared(table: pd.DataFrame) -> list[Moved]:
    """Compare, on each network's first set, the released start with the others, of images and of layers, for each method.

    What lacks the released start or the extremes, because it diverged there with all seeds, or with those that the other has left,
    is left out.

    Raises:
        StudyError: nothing is left.
    """
    moved = [
        _moved(network, series, here) for network, series, here in _first_sets(table) if _has_references(series, here)
    ]
    if not moved:
        raise StudyError(
            f"no method has both the released start and percentile {EXTREMES}, which the others are compared with; lower the learning rates of "
            "the methods if these models diverged"
        )
    return moved


def _has_references(series: str, here: pd.DataFrame) -> bool:
    psnr, references = _by_percentile(here), [float(RELEASED[series.partition(", ")[0]]), float(EXTREMES)]
    return set(references) <= set(psnr) and share_seeds(*(psnr[level] for level in references))


def _by_percentile(here: pd.DataFrame) -> pd.DataFrame:
    """PSNR in dB, a row a seed, a column a percentile."""
    swept = measured(here, PERCENTILE).astype({"level": float})
    return swept.pivot_table(index="seed", columns="level", values="psnr_y_db")


def _first_sets(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield network, series and what was measured of them on the network's first set, which the name tells where sets differ."""
    rows = table[table["variable"].isin([PERCENTILE, START]) & (table["status"] == MEASURED)]
    first = rows["backbone"].map(rows.groupby("backbone")["dataset"].first())
    rows = rows[rows["dataset"] == first]
    if rows["dataset"].nunique() > 1:
        rows = rows.assign(backbone=rows["backbone"] + " (" + rows["dataset"] + ")")
    for (network, series), here in rows.groupby(["backbone", "series"], sort=False):
        yield network, series, here


def _moved(network: str, series: str, here: pd.DataFrame) -> Moved:
    which, _, name = series.partition(", ")
    swept, begun = measured(here, PERCENTILE).astype({"level": float}), measured(here, START)
    psnr, released = _by_percentile(here), RELEASED[which]
    psnr = psnr[[level for level in psnr if share_seeds(psnr[level], psnr[released])]]
    means = psnr.mean()
    best = released if means[released] == means.max() else float(means.idxmax())
    worst = float(means.drop(EXTREMES).idxmin())
    lost, worth, most = (paired_difference(psnr[released], psnr[other]) for other in (best, EXTREMES, worst))
    others = {
        start: of.set_index("seed") for start, of in begun.groupby("level", sort=False) if start in (RANDOM, CONSTANT)
    }
    others = {start: of for start, of in others.items() if share_seeds(psnr[released], of["psnr_y_db"])}
    starts = {start: paired_difference(psnr[released], of["psnr_y_db"]) for start, of in others.items()}
    start_fab = {start: float(of["fab"].mean()) for start, of in others.items()}
    fab = swept.groupby("level")["fab"].mean()
    even = begun[begun["level"] == ALIKE[0]].set_index("seed")
    base = (
        paired_difference(psnr[released], even["psnr_y_db"]) if share_seeds(psnr[released], even["psnr_y_db"]) else None
    )
    return Moved(
        network, which, name, psnr, fab, best, lost, worth, worst, most, starts, start_fab, base, float(even["fab"].mean()),
        here["dataset"].iloc[0],
    )  # fmt: skip


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
    over all choices of pictures lies on the line between. Each of these models is calibrated and clipped with its pictures
    alike, so that a few ranges differ between them, too. Seeds that one of them lacks, or whose FAB is off the line, are left out.
    """
    found = []
    for network, series, here in _first_sets(table):
        which, _, name = series.partition(", ")
        begun = measured(here, START)
        alike = [begun[begun["level"] == level].set_index("seed")[["fab", "psnr_y_db"]] for level in ALIKE.values()]
        line = pd.concat(alike, axis=1, keys=ALIKE, join="inner")
        if which != IMAGES or line.empty:
            continue
        told = pd.concat([measured(here, PERCENTILE), begun[begun["level"].isin([RANDOM, CONSTANT])]])
        for start, of in told.groupby("level", sort=False):
            own = of.set_index("seed")
            blind = _blind(own["fab"], line)
            if len(blind):
                gain, shared = paired_difference(own["psnr_y_db"], blind), own.loc[blind.index]
                means = shared["psnr_y_db"].mean(), shared["fab"].mean()
                found.append(Dealt(network, name, start, *means, gain, len(blind)))
    return found


def _blind(fab: pd.Series, line: pd.DataFrame) -> pd.Series:
    """PSNR by seed on the line between the models whose pictures are all alike, at each seed's own FAB."""
    values = {
        seed: np.interp(
            value, *(line.loc[seed].xs(column, level=1) for column in ("fab", "psnr_y_db")), left=np.nan, right=np.nan
        )
        for seed, value in fab.items()
        if seed in line.index
    }
    return pd.Series(values, dtype=float).dropna()
