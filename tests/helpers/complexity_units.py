"""Patches whose bits are worth round numbers, and what the question of complexity concludes from them."""

import numpy as np
import pandas as pd

from adabm.study.answers import complexity
from adabm.study.answers.complexity_predicted import ALL_MEASURES


def units(worth=tuple(range(10)), flip: str = "variance") -> pd.DataFrame:
    """Ten patches: a bit is worth ``worth``; all measures rise with it but one, which falls."""
    worth = np.array(worth, float)
    table = pd.DataFrame({name: -worth if name == flip else worth for name in ALL_MEASURES})
    table = table.assign(backbone="net", dataset="Set", setting="W4A4 FQ", seed=0, fab=4.0)
    table["patch"] = [f"p{index}" for index in range(len(worth))]
    for kind in ("fp", "truth"):
        table[f"{kind} +0"] = 100.0
        table[f"{kind} +1"] = 100.0 - worth
        table[f"{kind} -1"] = 100.0 + 2 * worth
    return table.assign(**{"truth fp": 50.0})


def concluded(patches: pd.DataFrame) -> list[str]:
    """The conclusion, where whole pictures are what the patches are."""
    return complexity.conclusion(patches, patches, 0.1)
