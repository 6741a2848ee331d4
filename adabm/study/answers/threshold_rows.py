"""The tables of evidence about where thresholds start."""

from collections.abc import Sequence

from .significance import Difference
from .threshold_gains import Dealt, Moved
from .threshold_starts import RELEASED

_SIGNED = {"difference (dB)": "released minus it (dB)"}


def rows(moved: Moved) -> list[dict[str, str]]:
    """Return rows of evidence: the released start against the best percentile, the extremes, and starts that follow none."""
    released = RELEASED[moved.which]
    others: dict[str, tuple[Difference, float]] = {
        f"the best, {moved.best:g}": (moved.lost, moved.fab[moved.best]),
        "the extremes, 0": (moved.worth, moved.fab[0]),
    }
    if moved.best == 0:
        others = {"the best, the extremes, 0": (moved.worth, moved.fab[0])}
    elif moved.best == released:
        others = {f"the best, itself, {released}": others.pop(f"the best, {moved.best:g}")} | others
    if moved.worst not in (moved.best, released):
        others[f"the worst but 0, {moved.worst:g}"] = moved.most, moved.fab[moved.worst]
    others |= {start: (lost, moved.start_fab[start]) for start, lost in moved.starts.items()}
    return [
        {
            "network": moved.network,
            "start of": f"{moved.which}, {moved.name}",
            "released": str(released),
            "PSNR-Y (dB)": f"{moved.psnr[released]:.2f}",
            "FAB": f"{moved.fab[released]:.2f}",
            "against": name,
            "its FAB": f"{fab:.2f}",
            **{_SIGNED.get(key, key): cell for key, cell in difference.cells("p (paired, not adjusted)").items()},
            "all percentiles span (dB)": f"{moved.span:.2f}",
            "seeds": str(moved.seeds),
        }
        for name, (difference, fab) in others.items()
    ]


def rows_blind(dealt: Sequence[Dealt]) -> list[dict[str, str]]:
    """Return rows of evidence: each start of images' thresholds against the same FAB dealt blindly."""
    return [
        {
            "network": of.network,
            "thresholds of images": f"{of.start}, {of.name}",
            "FAB": f"{of.fab:.2f}",
            "PSNR-Y (dB)": f"{of.psnr:.2f}",
            **{
                ("minus the same FAB dealt blindly (dB)" if key == "difference (dB)" else key): cell
                for key, cell in of.gain.cells("p (paired, not adjusted)").items()
            },
            "seeds": str(of.seeds),
        }
        for of in dealt
    ]
