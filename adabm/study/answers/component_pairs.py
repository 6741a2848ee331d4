"""What the question ``components`` could not compare: pairs of which no seed was measured of both."""

import pandas as pd

from ..tables.wording import several
from .component_effects import psnr_by_seed
from .component_frontier import LAYERS, RIVALS, unpaired_bits
from .component_trials import WHOLE
from .measured import measured
from .significance import share_seeds


def told_unpaired(table: pd.DataFrame) -> list[str]:
    """Return a sentence on what was measured and could not be compared, and why; none where all could.

    Differences are of equal seeds. Where fine-tuning diverged with some of them, those that are left may be others.

    Args:
        table: of one set; sets share models.
    """
    parts, front, told = measured(table, "components"), measured(table, "bits"), []
    for series in dict.fromkeys(parts["series"]):
        whole = psnr_by_seed(parts, series, WHOLE)
        for level in dict.fromkeys(parts.loc[parts["series"] == series, "level"]) if len(whole) else ():
            other = psnr_by_seed(parts, series, level)
            if not share_seeds(whole, other):
                told.append(f"all of AdaBM ({_seeds(whole)}) with {level} ({_seeds(other)}), {series}")
    for rival in RIVALS:
        if bits := unpaired_bits(front, LAYERS, rival):
            told.append(f"{LAYERS}, with {rival} at {several(bits)} base bits")
    return [f"Not compared, as no seed was measured of both: {'; '.join(told)}."] if told else []


def _seeds(values: pd.Series) -> str:
    return f"seed{'s' * (len(values) > 1)} {several([str(seed) for seed in values.index])}"
