"""What bits dealt out by a measure of complexity gain at equal FAB, and how far that moves with the patches and seeds drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .complexity_measures import FACTORS
from .complexity_predicted import ALL_MEASURES
from .dealing import factors_by, known_factors
from .draws import drawn
from .probing import psnr
from .ranking import correlations

ORACLE, RANDOM = "if the worth were known", "chance"
DECIBELS = "if the worth in dB were known"
SHOWN = {ORACLE: "worth known, squared error", DECIBELS: "worth known, dB to ground truth"}  # how pages call them
GAINS = ("to_fp_db", "to_fp_mean_db", "truth_pooled_db", "truth_db")  # of :func:`gains_of`
ELSEWHERE = ["benefit elsewhere", "harm elsewhere"]


def errors_of(units: pd.DataFrame) -> np.ndarray:
    """The squared errors of patches: (patches, to full precision and to ground truth, factors)."""
    names = [f"{kind} {factor:+d}" for kind in ("fp", "truth") for factor in FACTORS]
    return units[names].to_numpy(float).reshape(len(units), 2, len(FACTORS))


def gains_of(errors: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """What factors give over none, in dB, as ``GAINS``: PSNR of the pooled error and mean PSNR, to full precision and to ground truth.

    Args:
        errors: (..., patches, 2, factors).
        factors: (..., patches).
    """
    chosen = np.take_along_axis(errors, (factors + 1)[..., None, None], axis=-1)[..., 0]
    same = errors[..., FACTORS.index(0)]
    pooled = psnr(chosen.mean(-2)) - psnr(same.mean(-2))
    found = np.stack([pooled, (psnr(chosen) - psnr(same)).mean(-2)], axis=-1)
    return found.reshape(*pooled.shape[:-1], len(GAINS))


def with_elsewhere(units: pd.DataFrame) -> pd.DataFrame:
    """Add what a bit is worth to each patch in dB to ground truth, in the mean of its network's other seeds: NaN where there is none.

    Bits that are dealt out by what other seeds measured do not owe their gain to having been chosen on the errors they are judged by.
    """
    less, same, more = (psnr(units[f"truth {factor:+d}"].to_numpy(float)) for factor in FACTORS)
    own = units[["backbone", "dataset", "patch"]].assign(**dict(zip(ELSEWHERE, (more - same, same - less))))
    patches = own.groupby(["backbone", "dataset", "patch"])[ELSEWHERE]
    others = (patches.transform("sum") - own[ELSEWHERE]) / (patches.transform("count") - 1)
    return units.assign(**{name: others[name].to_numpy() for name in ELSEWHERE})


def decibel_factors(elsewhere: np.ndarray, share: float) -> np.ndarray:
    """Factors by the worth of bits in dB, a row of ``ELSEWHERE`` a patch."""
    return known_factors(pd.DataFrame(elsewhere, columns=["benefit", "harm"]), share)


@dataclass(frozen=True)
class Spreads:
    """What draws of patches and seeds make of the numbers, by measure: (draws, networks).

    Attributes:
        benefit: the rank correlation.
        to_fp, truth: gains in dB, of some measures: of the pooled error to full precision, and of mean PSNR to ground truth; bits are
            dealt out anew in each draw.
    """

    benefit: dict[str, np.ndarray]
    to_fp: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    @classmethod
    def of(cls, units: pd.DataFrame, share: float, names: Sequence[str]) -> "Spreads":
        """Draw from the patches of all networks; ``names`` are of the measures whose gains are wanted, or of a known worth."""
        columns = [*ALL_MEASURES, *ELSEWHERE]
        arrays = lambda here: np.hstack([here[columns].to_numpy(float), errors_of(here).reshape(len(here), -1)])
        networks = [
            np.stack([arrays(here) for _, here in network.groupby("seed")])
            for _, network in with_elsewhere(units).groupby("backbone", sort=False)
        ]
        values = np.moveaxis(drawn(networks, lambda rows: _numbers(rows, share, names)), 2, 0)
        gains = values[len(ALL_MEASURES) :].reshape(len(names), 2, *values.shape[1:])
        to_fp, truth = (dict(zip(names, gains[:, kind])) for kind in (0, 1))
        return cls(dict(zip(ALL_MEASURES, values)), to_fp, truth)


def _numbers(rows: np.ndarray, share: float, names: Sequence[str]) -> np.ndarray:
    """Mean over seeds of drawn (seeds, patches, measures and errors): a rank correlation a measure, two gains a name."""
    count = len(ALL_MEASURES)
    scores, elsewhere, errors = np.split(rows, [count, count + len(ELSEWHERE)], axis=2)
    errors = errors.reshape(*rows.shape[:2], 2, len(FACTORS))
    less, same, more = np.moveaxis(errors[:, :, 0], 2, 0)
    ranks = correlations(np.concatenate([scores, (same - more)[..., None]], axis=2), count).mean(0)[:, 0]
    ranks = ranks if rows.shape[1] > 1 else np.zeros(count)  # one patch has no order

    def factors(seed: int, name: str) -> np.ndarray:
        if name == DECIBELS:
            return decibel_factors(elsewhere[seed], share)
        if name == ORACLE:
            truth = {"benefit": same[seed] - more[seed], "harm": less[seed] - same[seed]}
            return known_factors(pd.DataFrame(truth), share)
        return factors_by(scores[seed, :, ALL_MEASURES.index(name)], share)

    chosen = np.array([[factors(seed, name) for name in names] for seed in range(len(errors))], dtype=int)
    gained = gains_of(errors[:, None], chosen.reshape(len(errors), len(names), -1)).mean(0)
    return np.concatenate([ranks, gained[:, [GAINS.index("to_fp_db"), GAINS.index("truth_db")]].ravel()])
