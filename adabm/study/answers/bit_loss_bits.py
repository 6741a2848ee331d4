"""Where the bits end: on the calibration pictures, on whole pictures of the sets, and on the patches whose PSNR is told."""

from collections.abc import Mapping

import pandas as pd

from ..tables.wording import several, told_count
from .bit_loss_gains import at_equal_bits
from .bit_loss_measures import CALIBRATION
from .bit_loss_methods import MULTIPLIER, QUANTILES, RELEASED, targeted, weighted
from .bit_loss_worth import Gain, short
from .draws import with_ends


def off_target(bits: pd.DataFrame, method: str, target: float | None = None) -> pd.Series:
    """Bits off the target on the calibration pictures, by network, seed and target."""
    here = bits[(bits["method"] == method) & (bits["where"] == CALIBRATION)]
    here = here if target is None else here[here["target"] == target]
    return here["fab"] - here["target"]


def on_sets(bits: pd.DataFrame, method: str) -> float:
    """FAB of whole pictures at the first target: mean of sets and runs."""
    target = bits["target"].iloc[0]
    here = bits[(bits["method"] == method) & (bits["target"] == target) & (bits["where"] != CALIBRATION)]
    return float(here["fab"].mean())


def sets_off(bits: pd.DataFrame, target: float | None = None) -> pd.Series:
    """By method, how far the FAB of a set's whole pictures is from a target (None: the first), either way, in bits: mean of sets and runs."""
    target = bits["target"].iloc[0] if target is None else target
    sets = bits[(bits["where"] != CALIBRATION) & (bits["target"] == target)]
    return (sets["fab"] - sets["target"]).abs().groupby(sets["method"]).mean()


def on_patches(units: pd.DataFrame, method: str) -> float:
    """FAB of the patches at the first target: mean of the networks."""
    here = units[(units["method"] == method) & (units["target"] == units["target"].iloc[0])]
    return float(here.groupby("backbone")["fab"].mean().mean())


def whole_sets(bits: pd.DataFrame) -> str:
    """Name the sets whose whole pictures bits are counted on."""
    return several([where for where in dict.fromkeys(bits["where"]) if where != CALIBRATION])


def told_sets(units: pd.DataFrame, bits: pd.DataFrame) -> str:
    """Where the released loss ends on whole pictures and on the patches, of which sets and in how many runs."""
    runs = told_count(len(off_target(bits, RELEASED, bits["target"].iloc[0])), "run")
    return (
        f"On whole pictures of {whole_sets(bits)} the released loss ends at {on_sets(bits, RELEASED):.2f} bits in the mean of sets and {runs}, on the "
        f"patches of {several(list(dict.fromkeys(units['dataset'])))}, on which PSNR was measured, at {on_patches(units, RELEASED):.2f}."
    )


def method_rows(units: pd.DataFrame, bits: pd.DataFrame, means: Mapping[str, Gain]) -> list[dict[str, str]]:
    """Rows by method at the first target: where bits end, PSNR, and what equal bits are worth in the mean of the networks."""
    target = bits["target"].iloc[0]
    off = sets_off(bits)
    fp, truth = at_equal_bits(units, "fp"), at_equal_bits(units, "truth")
    rows = []
    for method in dict.fromkeys(bits["method"]):
        found = target + off_target(bits, method, target)
        told = f"{method} (released)" if method == RELEASED else method
        row = {f"method, target {target:g}": told, "FAB, calibration pictures": f"{found.mean():.2f}"}
        row |= {
            "from run to run": f"{found.min():.2f} to {found.max():.2f}",
            "FAB, whole pictures of the sets": f"{on_sets(bits, method):.2f}",
            "a set is off the target by (bits, either way)": f"{off[method]:.2f}",
        }
        own = [here[(here["method"] == method) & (here["target"] == target)]["psnr"] for here in (fp, truth)]
        if len(own[0]):
            row |= {
                "FAB, patches": f"{on_patches(units, method):.2f}",
                "PSNR of patches to full precision (dB)": f"{own[0].mean():.2f}",
                "to ground truth (dB)": f"{own[1].mean():.2f}",
            }
        if method in means:
            gain = means[method]
            row["against quantiles, equal bits (dB to full precision)"] = with_ends(gain.fp, gain.drawn_fp, 1)
            row["against quantiles, equal bits (dB to ground truth)"] = with_ends(gain.truth, gain.drawn_truth, 1)
        rows.append(row)
    return rows


def _by_target(bits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """FAB of the calibration pictures by method: a row a run, a column a target; of ways that were tried at each of several targets."""
    targets = list(dict.fromkeys(bits["target"]))
    here = bits[bits["where"] == CALIBRATION]
    found = {}
    for method in dict.fromkeys(bits["method"]) if len(targets) > 1 else ():
        own = here[here["method"] == method].pivot(index=["backbone", "seed"], columns="target", values="fab")
        if (
            (targeted(method) or method == QUANTILES)
            and set(own.columns) == set(targets)
            and own.notna().all(axis=None)
        ):
            found[method] = own[targets]
    return found


def target_rows(bits: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by way of meeting a target: where the calibration pictures end at each of them, mean of networks and seeds."""
    rows = []
    for method, fab in _by_target(bits).items():
        row = {"calibration pictures, by target": f"{method} (released)" if method == RELEASED else method}
        for target in fab.columns:
            off = fab[target] - target
            row |= {f"FAB, target {target:g}": f"{fab[target].mean():.2f}"}
            row |= {f"off it, from run to run ({target:g})": f"{off.min():+z.2f} to {off.max():+z.2f}"}
        rows.append(row)
    return rows


def told_other_targets(bits: pd.DataFrame) -> str:
    """Where each weight ends at the targets behind the first."""
    weights = {short(method): fab.mean() for method, fab in _by_target(bits).items() if weighted(method)}
    told = []
    for target in list(dict.fromkeys(bits["target"]))[1:] if weights else ():
        first, *others = weights
        ends = [
            f"{first} ends at {weights[first][target]:.2f}",
            *(f"{name} at {weights[name][target]:.2f}" for name in others),
        ]
        told.append(f" Aimed at {target:g} bits {several(ends)} on the calibration pictures.")
    return "".join(told)


def set_rows(units: pd.DataFrame, bits: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network and method at its first target: FAB on the calibration pictures, on each set and on the patches; mean of seeds."""
    rows = []
    for name, here in bits.groupby("backbone", sort=False):
        target = here["target"].iloc[0]
        here, own = (frame[frame["target"] == target] for frame in (here, units[units["backbone"] == name]))
        patches = own.groupby("method")["fab"].mean()
        for method in (RELEASED, MULTIPLIER, QUANTILES):
            means = here[here["method"] == method].groupby("where", sort=False)["fab"].mean()
            row = {"FAB (mean of seeds)": name, "method": method, "target": f"{target:g}"}
            row |= {
                "calibration pictures" if where == CALIBRATION else f"{where}, whole pictures": f"{fab:.2f}"
                for where, fab in means.items()
            }
            rows.append(row | ({"patches": f"{patches[method]:.2f}"} if method in patches else {}))
    return rows
