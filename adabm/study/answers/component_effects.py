"""What each part of AdaBM adds to the other two, on the first set and on others."""

from collections.abc import Mapping

import pandas as pd

from ..tables.wording import several
from .component_trials import PARTS, WHOLE
from .measured import measured
from .significance import Difference, adjust, paired_difference

PART = {"image": "image mapping", "layer": "layer mapping", "clipping": "clipping"}  # in words


def other_sets(table: pd.DataFrame, first: str, series: str) -> dict[str, pd.DataFrame]:
    """The combinations of parts on each set but the first, where AdaBM was measured there."""
    parts = measured(table, "components")
    found = {name: parts[parts["dataset"] == name] for name in dict.fromkeys(parts["dataset"]) if name != first}
    return {name: here for name, here in found.items() if part_effects(here, series)}


def told_elsewhere(others: Mapping[str, pd.DataFrame], series: str) -> list[str]:
    """What the parts add on the other sets, whichever of it is clear."""
    told = []
    for name, here in others.items():
        effects = [
            f"{PART[part]} {'changes PSNR ' * (not place)}by {d.told()}{' (clearly)' if d.sure else ''}"
            for place, (part, d) in enumerate(part_effects(here, series).items())
        ]
        told.append(f"On {name} {several(effects)}, {series}.")
    return told


def best_elsewhere(parts: pd.DataFrame, others: Mapping[str, pd.DataFrame], series: str) -> str:
    """Which sets another combination has most PSNR on than on the first, and by how much more than that one."""
    best = most(parts, series)
    told = []
    for name, here in others.items():
        there = most(here, series)
        if there != best:
            gain = paired_difference(psnr_by_seed(here, series, there), psnr_by_seed(here, series, best))
            told.append(f"on {name} {there} has most, by {gain.amount()}")
    return f" That is on {parts['dataset'].iloc[0]}; {several(told)}." if told else ""


def most(parts: pd.DataFrame, series: str) -> str:
    """The combination of most PSNR."""
    names = list(dict.fromkeys(parts.loc[parts["series"] == series, "level"]))
    return max(names, key=lambda level: psnr_by_seed(parts, series, level).mean())


def part_effects(parts: pd.DataFrame, series: str) -> dict[str, Difference]:
    """Return what each component adds to the other two in PSNR (dB), seed by seed, p values adjusted for their number.

    Returns:
        By component; none where AdaBM, or all that it is compared with, is missing.
    """
    names = set(parts.loc[parts["series"] == series, "level"])
    rests = {part: "+".join(other for other in PARTS if other != part) for part in PARTS}
    if WHOLE not in names:
        return {}
    value = psnr_by_seed(parts, series, WHOLE)
    return adjust(
        {
            part: paired_difference(value, psnr_by_seed(parts, series, rest))
            for part, rest in rests.items()
            if rest in names
        }
    )


def psnr_by_seed(rows: pd.DataFrame, series: str, level: str) -> pd.Series:
    """PSNR by seed."""
    here = rows[(rows["series"] == series) & (rows["level"] == level)]
    return here.set_index("seed")["psnr_y_db"].sort_index()
