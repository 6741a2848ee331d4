"""Tables of the question of clipping: what ranges of other bits cost, and what searches give."""

import numpy as np
import pandas as pd

from adabm.study.answers.clipping_measures import EVERY, MINMAX, OWN, OWN_ALL, RELEASED, RULES

BITS = [2, 4, 8]
GAINS = {MINMAX: 0.0, RELEASED: 3.0, OWN: 1.0, OWN_ALL: 2.0}


def units(costs: dict, gains: dict = GAINS, noise: float = 0.0, truth: dict | None = None) -> pd.DataFrame:
    """PSNR of 30 dB where ranges are matched, less by ``costs`` (found for, used at) elsewhere; searches by ``gains``.

    Args:
        truth: what to add to the PSNR to ground truth, by series and level.
    """
    rng, rows = np.random.default_rng(0), []
    values = {(f"found for {of} bits", str(at)): 30.0 - costs.get((of, at), 0.0) for of in BITS for at in BITS}
    values |= {("search", rule): 30.0 + gains.get(rule, 0.5) for rule in RULES}
    for patch in range(6):
        for seed in (0, 1):
            keys = dict(backbone="net", dataset="Set", setting="W4A4 FQ", method="own", patch=f"p{patch}", seed=seed)
            rows.append(keys | dict(series="full precision", level="none", fab=32.0, fp=0.0, truth=10.0))
            for (series, level), value in values.items():
                error = 255**2 / 10 ** ((value + noise * rng.normal()) / 10)
                rows.append(
                    keys
                    | dict(
                        series=series,
                        level=level,
                        fab=4.0,
                        fp=error,
                        truth=2 * error / 10 ** ((truth or {}).get((series, level), 0.0) / 10),
                    )
                )
    return pd.DataFrame(rows)


LAYERS = pd.DataFrame(
    {
        "layer": ["a", "b", "c", EVERY],
        "kept 2": [0.1, 0.2, 0.3, np.nan],
        "kept 4": [0.5, 0.5, 0.5, np.nan],
        "kept 8": [0.7, 0.9, 1.0, np.nan],
        "kept all": [0.5, 0.5, 0.5, np.nan],
        "owed 8 at 2": [-1.0, 6.0, 2.0, 20.0],
        "backbone": "net",
        "seed": 0,
    }
)
WIDE, NARROW = {(8, 2): 6.0}, {(2, 8): 4.0}
