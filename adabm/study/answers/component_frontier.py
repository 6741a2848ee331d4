"""What layer mapping and AdaBM give over other ways to deal bits, by base bits and at equal FAB."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..tables.wording import told_count
from .component_effects import NO_EFFECT, psnr_by_seed
from .component_trials import UNTUNED
from .significance import Difference, adjust, paired_difference, share_seeds

LAYERS = f"layer mapping{UNTUNED}"
RIVALS = tuple(f"{name}{UNTUNED}" for name in ("random layer factors", "opposite layer factors", "uniform bits"))


def told_at_equal_fab(gaps: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    told = []
    for name, by_level in gaps.items():
        better, clear = (sum(_above(values, sure) for values in by_level.values()) for sure in (False, True))
        comma = "," * name.endswith(UNTUNED)
        told.append(
            f"{name}{comma} has more PSNR than uniform bits of equal FAB (interpolated) at {better or 'none'} of {len(by_level)} base bits"
            f"{f', by more than the spread over seeds at {clear}' if 0 < clear < better else ''}"
            f"{', by less than the spread over seeds' if better and not clear else ''}."
        )
    return told


def _above(values: np.ndarray, clearly: bool) -> bool:
    """Whether the mean of :func:`at_equal_fab`'s differences is above zero, or above their spread over seeds."""
    spread = values[:, 1].std(ddof=1) if clearly and len(values) > 1 else 0.0
    return bool(values[:, 1].mean() > spread)


def against_uniform(front: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """AdaBM, fine-tuned and not, against uniform bits at equal FAB, where there is anything to compare."""
    found = {f"AdaBM{end}": at_equal_fab(front, f"AdaBM{end}", f"uniform bits{end}") for end in ("", UNTUNED)}
    return {name: gaps for name, gaps in found.items() if gaps}


def equal_rows(equal: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, str]]:
    return [
        {
            "at equal FAB": name,
            "FAB": f"{values[:, 0].mean():.2f}",
            "against uniform bits (dB)": f"{values[:, 1].mean():+z.2f}",
            "spread over seeds (dB)": f"{values[:, 1].std(ddof=1) if len(values) > 1 else 0:.2f}",
            "seeds": str(len(values)),
        }
        for name, by_level in equal.items()
        for values in by_level.values()
    ]


def worth_of_sensitivity(front: pd.DataFrame, rivals: Sequence[str]) -> list[str]:
    """A sentence on layer factors by sensitivity against others: at how many base bits they are better, and at how many clearly."""
    told, seeds = [], front.loc[front["series"] == LAYERS, "seed"].nunique()
    for other in rivals:
        found = adjust(by_bits(front, LAYERS, other)).values()
        if found:
            better = sum(d.mean > NO_EFFECT for d in found)
            clearly, worse = (sum(d.sure and d.mean * sign > NO_EFFECT for d in found) for sign in (1, -1))
            how = f", clearly at {clearly or 'none'}" if clearly < better else ", clearly" if better else ""
            harm = f" and clearly worse at {worse}" if worse else ""
            told.append(f"than {other.removesuffix(UNTUNED)} at {_of_all(better, len(found))} base bits{how}{harm}")
    return (
        [f"{LAYERS[0].upper()}{LAYERS[1:]}, is better {'; '.join(told)} ({told_count(seeds, 'seed')})."] if told else []
    )


def _of_all(count: int, every: int) -> str:
    return f"all {every}" if count == every > 1 else f"{count or 'none'} of {every}"


def as_many_bits(front: pd.DataFrame, setting: str, bits: float) -> str:
    """Tell what as many bits more for all images give layer mapping alone, interpolated between its base bits; nothing where it lacks."""
    curve = front[front["series"] == LAYERS].groupby("setting")[["fab", "psnr_y_db"]].mean().sort_values("fab")
    if setting not in curve.index or curve.loc[setting, "fab"] + bits > curve["fab"].max():
        return ""
    own = curve.loc[setting]
    gain = np.interp(own["fab"] + bits, curve["fab"], curve["psnr_y_db"]) - own["psnr_y_db"]
    return f"; as many bits dealt evenly give {gain:+.2f} dB (interpolated between base bits, not fine-tuned)"


def by_bits(front: pd.DataFrame, one: str, other: str) -> dict[str, Difference]:
    """Return PSNR (dB) of one series minus another's with the same seeds, by base bits at which both have one."""
    pairs = _pairs(front, one, other)
    return {bits: paired_difference(*pair) for bits, pair in pairs.items() if share_seeds(*pair)}


def unpaired_bits(front: pd.DataFrame, one: str, other: str) -> list[str]:
    """Return the base bits that both series have, and no seed of both."""
    return [bits for bits, pair in _pairs(front, one, other).items() if not share_seeds(*pair)]


def _pairs(front: pd.DataFrame, one: str, other: str) -> dict[str, tuple[pd.Series, pd.Series]]:
    levels = [set(front.loc[front["series"] == series, "level"]) for series in (one, other)]
    return {
        bits: (psnr_by_seed(front, one, bits), psnr_by_seed(front, other, bits))
        for bits in sorted(levels[0] & levels[1], key=int)
    }


def at_equal_fab(front: pd.DataFrame, one: str, other: str) -> dict[str, np.ndarray]:
    """Compare two series at the FAB of the first, where the other has it, interpolated between the other's base bits.

    Args:
        front: measured rows of one set.

    Returns:
        By base bits of the first, (seeds, 2) values: its FAB, and its PSNR minus the other's with the same seed in dB.
    """
    gaps: dict[str, list] = {}
    for (level, seed), row in front[front["series"] == one].set_index(["level", "seed"]).iterrows():
        curve = front[(front["series"] == other) & (front["seed"] == seed)].sort_values("fab")
        if len(curve) and curve["fab"].min() <= row["fab"] <= curve["fab"].max():
            reference = np.interp(row["fab"], curve["fab"], curve["psnr_y_db"])
            gaps.setdefault(level, []).append((row["fab"], row["psnr_y_db"] - reference))
    return {level: np.array(values) for level, values in gaps.items()}
