"""What tuning gains at equal bits, beside how near its target it ends and what it changes against as calibrated."""

from collections.abc import Sequence

import pandas as pd

from ..tables.wording import several
from .bit_loss_bits import sets_off
from .bit_loss_gains import changes
from .bit_loss_methods import RELEASED, targeted
from .bit_loss_worth import Gain
from .draws import DRAWN, from_to, with_ends
from .measured import signed


def told_changes(units: pd.DataFrame) -> str:
    """Tell what the released loss changes against as calibrated, by network: a gain at equal bits is no rise of PSNR."""
    found = changes(units)
    found = found[found.index.get_level_values("method") == RELEASED].droplevel("method")
    if found.empty:
        return ""
    on = lambda name: f" on {name}" * (units["backbone"].nunique() > 1)
    truth = several([f"{signed(change)} dB{on(name)}" for name, change in found["truth"].items()])
    fab = several([signed(change) for change in found["fab"]])
    return f" Against as calibrated the released loss changes PSNR to ground truth by {truth}, FAB of the patches by {fab}."


def gain_rows(found: Sequence[Gain], units: pd.DataFrame, bits: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network and way of tuning towards the first target: how near it ends, and the gain at equal bits with its draws.

    Beside them what it changes against as calibrated.

    Args:
        units, bits: of patches and of pictures, at the networks' own targets.
    """
    changed, rows = changes(units), []
    for gain in found:
        if not targeted(gain.method):
            continue
        own = (gain.network, gain.method)
        row = {
            "at equal bits, against quantiles": gain.network,
            "method": gain.method,
            "gain (dB to full precision)": signed(gain.fp, 1),
            DRAWN: from_to(gain.drawn_fp, 1),
            "from run to run": f"{signed(min(gain.runs), 1)} to {signed(max(gain.runs), 1)}",
            "clearly": "yes" if gain.sure else "no",
            "gain (dB to ground truth)": with_ends(gain.truth, gain.drawn_truth, 1),
        }
        if own in changed.index:
            row["change against as calibrated (dB to ground truth)"] = signed(changed.loc[own, "truth"])
            row["change of FAB, patches"] = signed(changed.loc[own, "fab"])
        off = sets_off(bits[bits["backbone"] == gain.network])
        rows.append(
            row | {"a set is off its target by (bits)": f"{off[gain.method]:.2f}" if gain.method in off else ""}
        )
    return rows
