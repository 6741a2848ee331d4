"""Tables of the question of gradients, by what each approximation ends at."""

import numpy as np
import pandas as pd

from adabm.study.answers.gradient_probe import FEWER, LAYER, LOWER, MORE, UNTUNED, UPPER
from adabm.study.answers.surrogates import SURROGATES


def tables(noise: float = 0.0, **errors: float) -> dict[str, pd.DataFrame]:
    """Six patches with error 100 as calibrated and 100 times what is given by surrogate (default 1) after tuning."""
    rng = np.random.default_rng(0)
    told = dict(backbone="net", setting="W4A4 FQ", seed=0)
    patches = []
    for patch in range(6):
        all_errors = {UNTUNED: 1.0, FEWER: 4.0, MORE: 0.25} | dict.fromkeys(SURROGATES, 1.0) | errors
        for name, error in all_errors.items():
            error *= np.exp(rng.normal(0, noise)) if name in errors else 1
            bits = {FEWER: 3.0, MORE: 5.0}.get(name, 4.0)
            row = dict(surrogate=name, dataset="Set", patch=str(patch), fab=bits, fp=100 * error, truth=200 * error)
            patches.append(row | dict(full=50.0))
    gradients = [
        dict(batch=0, parameter=kind, place=place, difference=truth, **dict.fromkeys(SURROGATES, truth))
        for place, (kind, truth) in enumerate([(LAYER, -1.0), (LAYER, -2.0), (LAYER, 3.0), (LOWER, 1.0), (UPPER, 0.0)])
    ]
    bits = {"identity": 3.51, "Gumbel-softmax": 3.9}
    steps = [
        dict(surrogate=name, step=step, fab=4.0 if step == 0 else bits.get(name, 3.5))
        for name in SURROGATES
        for step in (0, 1)
    ]
    found = {"gradients": gradients, "steps": steps, "patches": patches}
    return {name: pd.DataFrame(rows).assign(**told) for name, rows in found.items()}
