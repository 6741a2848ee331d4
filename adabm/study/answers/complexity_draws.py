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


def errors_of(units: pd.DataFrame) -> np.ndarray:
    """The squared errors of patches: (patches, to full precision and to ground truth, factors)."""
    names = [f"{kind} {factor:+d}" for kind in ("fp", "truth") for factor in FACTORS]
    return units[names].to_numpy(float).reshape(len(units), 2, len(FACTORS))


def gains_of(errors: np.ndarray, factors: np.ndarray) -> tuple[float, float]:
    """What factors give over none, in dB: of the pooled error to full precision, and of the mean PSNR to ground truth."""
    fp, truth = np.moveaxis(errors[np.arange(len(errors)), :, factors + 1], 1, 0)
    fp_same, truth_same = np.moveaxis(errors[:, :, FACTORS.index(0)], 1, 0)
    return psnr(fp.mean()) - psnr(fp_same.mean()), (psnr(truth) - psnr(truth_same)).mean()


@dataclass(frozen=True)
class Spreads:
    """What draws of patches and seeds make of the numbers, by measure: (draws, networks).

    Attributes:
        benefit: the rank correlation.
        to_fp, truth: gains in dB, of some measures; bits are dealt out anew in each draw.
    """

    benefit: dict[str, np.ndarray]
    to_fp: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    @classmethod
    def of(cls, units: pd.DataFrame, share: float, names: Sequence[str]) -> "Spreads":
        """Draw from the patches of all networks; ``names`` are of the measures whose gains are wanted, or the known worth."""
        arrays = lambda here: np.hstack(
            [here[list(ALL_MEASURES)].to_numpy(float), errors_of(here).reshape(len(here), -1)]
        )
        networks = [
            np.stack([arrays(here) for _, here in network.groupby("seed")])
            for _, network in units.groupby("backbone", sort=False)
        ]
        values = np.moveaxis(drawn(networks, lambda rows: _numbers(rows, share, names)), 2, 0)
        gains = values[len(ALL_MEASURES) :].reshape(len(names), 2, *values.shape[1:])
        to_fp, truth = (dict(zip(names, gains[:, kind])) for kind in (0, 1))
        return cls(dict(zip(ALL_MEASURES, values)), to_fp, truth)


def _numbers(rows: np.ndarray, share: float, names: Sequence[str]) -> np.ndarray:
    """Mean over seeds of drawn (seeds, patches, measures and errors): a rank correlation a measure, two gains a name."""
    count, found = len(ALL_MEASURES), []
    scores, errors = rows[..., :count], rows[..., count:].reshape(*rows.shape[:2], 2, len(FACTORS))
    less, same, more = np.moveaxis(errors[:, :, 0], 2, 0)
    ranks = correlations(np.concatenate([scores, (same - more)[..., None]], axis=2), count).mean(0)[:, 0]
    ranks = ranks if rows.shape[1] > 1 else np.zeros(count)  # one patch has no order
    place = {name: index for index, name in enumerate(ALL_MEASURES)}
    for seed, own in enumerate(errors):
        truth = pd.DataFrame({"benefit": same[seed] - more[seed], "harm": less[seed] - same[seed]})
        known = known_factors(truth, share)
        factors = [known if name == ORACLE else factors_by(scores[seed, :, place[name]], share) for name in names]
        found.append([gain for chosen in factors for gain in gains_of(own, chosen)])
    return np.concatenate([ranks, np.mean(found, axis=0)])
