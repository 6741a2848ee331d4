"""Tables of the question of the bit loss: what ways of meeting a budget give on patches, and where bits end."""

import numpy as np
import pandas as pd

from adabm.study.answers.bit_loss_measures import CALIBRATION
from adabm.study.answers.bit_loss_methods import AS_CALIBRATED, MULTIPLIER, OWN_QUANTILES, QUANTILES, RELEASED, loss_of

PATCHES = [f"p{place}" for place in range(10)]


def units(psnr_of: dict | None = None, seeds=(0, 1), noise: float = 0.0) -> pd.DataFrame:
    """Ten patches whose PSNR rises by 2 dB a bit, from 40 dB at 4 bits; models at 4 bits by method, 40 dB where not given."""
    rng, rows = np.random.default_rng(0), []
    values = {(AS_CALIBRATED, 4.0): 40.0, (MULTIPLIER, 4.0): 40.0, (MULTIPLIER, 3.5): 40.0}
    values |= {(loss_of(0), 4.0): 40.0, (RELEASED, 4.0): 40.0, (RELEASED, 3.5): 40.0}
    for seed in seeds:
        for patch in PATCHES:
            keys = dict(backbone="net", setting="W4A4 FQ", dataset="Set", patch=patch, seed=seed, full=5.0)
            for (method, target), value in values.items():
                value = (psnr_of or {}).get(method, value) + noise * rng.normal()
                rows.append(keys | dict(method=method, target=target, fab=4.0, fp=error(value), truth=20.0))
            for factor in (-1, 0, 1):
                own = dict(method=f"factor {factor:+d}", target=4.0, fab=4.0 + factor, fp=error(40 + 2 * factor))
                rows.append(keys | own | dict(truth=20.0, complexity=float(patch[1:])))
    return pd.DataFrame(rows)


def error(psnr: float) -> float:
    return 255**2 / 10 ** (psnr / 10)


def bits(off: dict, own: dict | None = None) -> pd.DataFrame:
    """Bits off the target by method, on the calibration pictures and, where not given in ``own``, on the set."""
    rows = []
    for method in (loss_of(0), RELEASED, MULTIPLIER, QUANTILES, OWN_QUANTILES):
        for target in (4.0, 3.5):
            for where in (CALIBRATION, "Set"):
                missed = off.get(method, 0.0)
                missed = missed.get(target, 0.0) if isinstance(missed, dict) else missed
                missed = (own or {}).get(method, missed) if where == "Set" else missed
                rows.append(
                    dict(method=method, target=target, where=where, fab=target + missed, backbone="net", seed=0)
                )
    return pd.DataFrame(rows)
