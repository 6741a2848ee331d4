"""What each part of AdaBM adds to the other two, on the first set and on others."""

from collections.abc import Mapping

import pandas as pd

from ..tables.wording import several
from .component_trials import PARTS, WHOLE
from .measured import measured
from .significance import Difference, adjust, paired_difference, share_seeds

NO_EFFECT = 0.005  # dB, and bits: tables tell hundredths
PART = {"image": "image mapping", "layer": "layer mapping", "clipping": "clipping"}  # in words
RESTS = {part: "+".join(other for other in PARTS if other != part) for part in PARTS}  # what each is added to


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
            pair = psnr_by_seed(here, series, there), psnr_by_seed(here, series, best)
            by = f", by {paired_difference(*pair).amount()}" if share_seeds(*pair) else ""
            told.append(f"on {name} {there} has most{by}")
    return f" That is on {parts['dataset'].iloc[0]}; {several(told)}." if told else ""


def most(parts: pd.DataFrame, series: str) -> str:
    """The combination of most PSNR beside AdaBM, seed by seed; AdaBM itself where none has more as it is told.

    Those that share no seed with it cannot be compared.
    """
    names = list(dict.fromkeys(parts.loc[parts["series"] == series, "level"]))
    whole, values = psnr_by_seed(parts, series, WHOLE), {name: psnr_by_seed(parts, series, name) for name in names}
    gains = {name: paired_difference(of, whole).mean for name, of in values.items() if share_seeds(of, whole)}
    best = max(gains, key=lambda name: gains[name])
    return best if gains[best] >= NO_EFFECT else WHOLE


def part_effects(parts: pd.DataFrame, series: str) -> dict[str, Difference]:
    """Return what each component adds to the other two in PSNR (dB), seed by seed, p values adjusted for their number.

    Returns:
        By component; none where AdaBM, or what it is compared with, is missing or has other seeds.
    """
    value = psnr_by_seed(parts, series, WHOLE)
    others = {part: psnr_by_seed(parts, series, rest) for part, rest in RESTS.items()}
    return adjust({part: paired_difference(value, of) for part, of in others.items() if share_seeds(value, of)})


def told_without(parts: pd.DataFrame, series: str, effects: Mapping[str, Difference]) -> str:
    """What parts that clearly add quality add without those that clearly cost it, where that is not clear."""
    told = []
    for harm in [part for part, d in effects.items() if d.sure and d.mean < 0]:
        for part in [part for part, d in effects.items() if d.sure and d.mean > 0]:
            rest = "+".join(other for other in PARTS if other not in (harm, part))
            for other in dict.fromkeys([series, *parts["series"]]):  # fine-tuned and not: not all combinations are both
                pair = psnr_by_seed(parts, other, RESTS[harm]), psnr_by_seed(parts, other, rest)
                if share_seeds(*pair):
                    if not (d := paired_difference(*pair)).sure:
                        how = "" if other == series else f", {other}"
                        told.append(f"Without {PART[harm]} {PART[part]} adds {d.told()}{how} ({d.certainty}).")
                    break
    return " ".join(told)


def psnr_by_seed(rows: pd.DataFrame, series: str, level: str) -> pd.Series:
    """PSNR by seed."""
    return _by_seed(rows, series, level, "psnr_y_db")


def bits_added(rows: pd.DataFrame, series: str) -> dict[str, float]:
    """How each part changes FAB beside the other two, seed by seed, as :func:`part_effects` compares PSNR."""
    whole = _by_seed(rows, series, WHOLE, "fab")
    others = {part: _by_seed(rows, series, rest, "fab") for part, rest in RESTS.items()}
    return {part: paired_difference(whole, of).mean for part, of in others.items() if share_seeds(whole, of)}


def _by_seed(rows: pd.DataFrame, series: str, level: str, column: str) -> pd.Series:
    here = rows[(rows["series"] == series) & (rows["level"] == level)]
    return here.set_index("seed")[column].sort_index()
