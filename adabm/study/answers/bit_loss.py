"""What does the bit loss do?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.bit_loss_figures import plot_along, plot_missed, plot_quality
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from . import bit_loss_measures as measures
from .bit_loss_measures import CALIBRATION, Tuning, factors_at, thresholds
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "bit_loss",
    13,
    "What does the bit loss do?",
    "The mapping tuned with the released bit loss, with a multiplier that meets the target, and thresholds set by quantiles.",
    "Bits along the tuning by weight of the bit loss, bits off the target by set, and PSNR against bits",
)
AS_CALIBRATED, MULTIPLIER = "as calibrated", "multiplier"
QUANTILES, OWN_QUANTILES = "quantiles of the calibration pictures", "quantiles of the set's own pictures"
RELEASED_WEIGHT = 50
_MET, _LITTLE = 0.1, 0.1  # bits; dB


def loss_of(weight: float) -> str:
    """How a weight of the bit loss is called in tables."""
    return f"bit loss, weight {weight:g}"


RELEASED = loss_of(RELEASED_WEIGHT)


def measure(
    bench: Bench,
    counted: Bench,
    run: Run,
    pictures: int,
    targets: Sequence[float],
    weights: Sequence[float],
    rate: float,
    steps: int,
    speed: float,
    side: int,
    count: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return errors on patches, FAB by set, and FAB of the calibration pictures along the tunings.

    Args:
        counted: the same network with all sets of which bits are counted.
        pictures: random calibration pictures.
        targets: of the released loss and the multiplier; the first one of the other ``weights`` too.
        rate: of the multiplier.
        steps, speed, side, count: see :class:`Tuning`.
    """
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    tuning = Tuning(tuple(path.name for path in probe.calibration), run.seed, steps, speed, side, count)
    known = Probe(counted, run, probe.calibration).found(measures.complexities, tuning.names)
    plain = probe.found(measures.calibrated, known, side, count)
    found = {(AS_CALIBRATED, targets[0]): plain}
    for target in targets:
        for weight in weights if target == targets[0] else [RELEASED_WEIGHT]:
            found[loss_of(weight), target] = probe.found(measures.released, known, float(weight), target, tuning)
        found[MULTIPLIER, target] = probe.found(measures.multiplier, known, rate, target, tuning)
    told = lambda key: [dict(row, method=m, target=t) for (m, t), of in found.items() for row in key(of)]
    units = told(lambda of: of["rows"])
    for row in probe.found(measures.forced, side, count)["rows"]:
        units.append(dict(row, method=f"factor {row.pop('factor'):+d}", target=targets[0]))
    bits = told(lambda of: [dict(where=where, fab=fab) for where, fab in of["bits"].items()])
    for target in targets:
        for where, values in known.items():
            for method, source in ((QUANTILES, known[CALIBRATION]), (OWN_QUANTILES, values)):
                change = factors_at(values, *thresholds(source, target - plain["middle"])).mean()
                bits.append(dict(method=method, target=target, where=where, fab=plain["middle"] + change))
    trace = told(lambda of: [dict(step=step, fab=fab) for step, fab in enumerate(of["trace"], 1)])
    keys = dict(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)
    units, bits, trace = (pd.DataFrame(rows).assign(**keys) for rows in (units, bits, trace))
    return units, bits, trace


def table(units: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth and FAB of the patches of each set."""
    rows, full = [], {}
    keys = ["backbone", "dataset", "setting", "method", "target", "seed"]
    for (backbone, dataset, setting, method, target, seed), here in units.groupby(keys, sort=False):
        full[backbone, dataset] = float(psnr(here["full"].to_numpy()).mean())
        value = float(psnr(here["truth"].to_numpy()).mean())
        row = dict(backbone=backbone, dataset=dataset, setting=setting, variable="target", level=f"{target:g}")
        rows.append(row | dict(series=method, seed=seed, psnr_y_db=value, fab=here["fab"].mean(), pictures=len(here)))
    return mapping_table(QUESTION.id, rows, full)


def curve(forced: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return ``fab`` and ``psnr`` of one network and seed with thresholds by quantiles of the patches, from -1 to 1 bit.

    Args:
        forced: the rows of the factors -1, 0 and 1.
        kind: "fp", to the full-precision output, or "truth".
    """
    ordered = forced.sort_values(["dataset", "patch", "method"], kind="stable")
    shape = (-1, len(measures.FACTORS))
    order = [f"factor {factor:+d}" for factor in measures.FACTORS]
    names = ordered["method"].to_numpy().reshape(shape)[0].tolist()
    columns = [names.index(name) for name in order]
    values, fab, known = (ordered[name].to_numpy().reshape(shape)[:, columns] for name in (kind, "fab", "complexity"))
    points = {}
    for change in np.linspace(-1, 1, 2 * len(values) + 1):
        chosen = factors_at(known[:, 0], *thresholds(known[:, 0], change)) + 1
        place = np.arange(len(values))
        points[fab[place, chosen].mean()] = psnr(values[place, chosen]).mean()
    return pd.DataFrame(sorted(points.items()), columns=["fab", "psnr"])


def at_equal_bits(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return FAB and PSNR of each model's patches, and ``gain`` in dB on thresholds by quantiles at the same FAB.

    Without a gain where quantiles do not reach the FAB, because layers have other factors.
    """
    rows = []
    for (backbone, seed), here in units.groupby(["backbone", "seed"], sort=False):
        is_forced = here["method"].str.startswith("factor ")
        known = curve(here[is_forced], kind)
        for (method, target), own in here[~is_forced].groupby(["method", "target"], sort=False):
            fab, value = own["fab"].mean(), psnr(own[kind].to_numpy()).mean()
            reference = np.interp(fab, known["fab"], known["psnr"], left=np.nan, right=np.nan)
            row = dict(backbone=backbone, seed=seed, method=method, target=target, fab=fab, psnr=value)
            rows.append(row | dict(gain=value - reference))
    return pd.DataFrame(rows)


def figures(units: pd.DataFrame, bits: pd.DataFrame, trace: pd.DataFrame) -> dict[str, Figure]:
    """Draw bits along the tunings; and, apart, bits off the target, and PSNR against bits."""
    units, bits, trace = named(units), named(bits), named(trace)
    is_forced = units["method"].str.startswith("factor ")
    curves = [
        curve(here, "fp").assign(backbone=backbone, seed=seed)
        for (backbone, seed), here in units[is_forced].groupby(["backbone", "seed"], sort=False)
    ]
    off = bits[bits["method"].isin([RELEASED, MULTIPLIER, QUANTILES, OWN_QUANTILES])]
    off = off.assign(off=off["fab"] - off["target"])
    shown, models = _at_first_target(trace), _at_first_target(at_equal_bits(units, "fp"))
    shown = shown[shown["seed"] == shown["seed"].iloc[0]]
    return {
        "": plot_along(shown, RELEASED),
        "missed": plot_missed(off, RELEASED),
        "quality": plot_quality(models, pd.concat(curves), RELEASED),
    }


def _first_targets(frame: pd.DataFrame) -> pd.Series:
    return frame["backbone"].map(frame.groupby("backbone", sort=False)["target"].first())


def _at_first_target(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["target"] == _first_targets(frame)]


def _as_the_first_network(frame: pd.DataFrame) -> pd.DataFrame:
    """Move bits and targets of each network by as much as its first target is off that of the first network."""
    apart = _first_targets(frame) - frame["target"].iloc[0]
    return frame.assign(target=frame["target"] - apart, fab=frame["fab"] - apart)


def conclusion(units: pd.DataFrame, bits: pd.DataFrame) -> list[str]:
    """Tell whether the released loss meets its target, what that costs, and how to meet a budget."""
    units, bits = named(units), named(bits)
    alike, moved = _as_the_first_network(units), _as_the_first_network(bits)
    return [
        f"**{_verdict(moved)}** {_told(alike, moved)}{_other_targets(bits)}",
        practice(_advice(alike, moved)),
        *evidence(_rows(alike, moved)),
        *evidence(extents(units)),
    ]


def _other_targets(bits: pd.DataFrame) -> str:
    """Name the networks that aim at other bits than the first."""
    firsts = bits.groupby("backbone", sort=False)["target"].first()
    others = [f"{name} aims at {target:g} bits" for name, target in firsts.items() if target != firsts.iloc[0]]
    return f" {several(others)}; bits are told as if it aimed at {firsts.iloc[0]:g}." if others else ""


def _off(bits: pd.DataFrame, method: str, target: float | None = None) -> pd.Series:
    """Bits off the target on the calibration pictures, by network, seed and target."""
    here = bits[(bits["method"] == method) & (bits["where"] == CALIBRATION)]
    here = here if target is None else here[here["target"] == target]
    return here["fab"] - here["target"]


def _verdict(bits: pd.DataFrame) -> str:
    target, all_off = bits["target"].iloc[0], _off(bits, RELEASED)
    off = _off(bits, RELEASED, target)
    aimed, where = f"aiming at {target:g} bits it ends at", "on the calibration pictures"
    if all_off.abs().max() <= _MET:
        return f"The released bit loss meets its target: {aimed} {target + off.mean():.2f} {where}."
    if all_off.max() <= _MET:
        return f"The released bit loss undershoots its target: {aimed} {target + off.mean():.2f} {where}."
    if all_off.min() >= -_MET:
        return f"The released bit loss overshoots its target: {aimed} {target + off.mean():.2f} {where}."
    ends = f"{target + off.min():.2f} to {target + off.max():.2f}" if len(off) > 1 else f"{target + off.mean():.2f}"
    return f"The released bit loss misses its target to either side: {aimed} {ends} {where}."


def _told(units: pd.DataFrame, bits: pd.DataFrame) -> str:
    target = bits["target"].iloc[0]
    found = at_equal_bits(units, "fp").pivot(index=["backbone", "seed"], columns=["method", "target"])
    fewer = (found["fab", MULTIPLIER, target] - found["fab", RELEASED, target]).mean()
    return (
        f"{_spread(bits)}{_nearest(bits)} The loss punishes each batch of two patches that uses more than the target and rewards "
        "none that uses less, where a multiplier looks at the mean of all pictures. Against the multiplier at the same target it "
        f"uses {abs(fewer):.2f} bits {'fewer' if fewer >= 0 else 'more'} on the patches; thresholds by quantiles need no gradient at all."
    )


def _spread(bits: pd.DataFrame) -> str:
    """How far the released loss ends apart from run to run, and where it ends on the evaluated sets."""
    target = bits["target"].iloc[0]
    ended = target + _off(bits, RELEASED, target)
    here = bits[(bits["method"] == RELEASED) & (bits["target"] == target) & (bits["where"] != CALIBRATION)]
    runs = (
        f"From run to run that is {ended.min():.2f} to {ended.max():.2f} ({len(ended)} runs); "
        if len(ended) > 1
        else ""
    )
    told = f"{runs}on the evaluated sets it is {here['fab'].mean():.2f} in the mean."
    return f"{told[0].upper()}{told[1:]}"


def _nearest(bits: pd.DataFrame) -> str:
    """Tell which weight ends nearest to the target on the calibration pictures, where it is not the released one."""
    target = bits["target"].iloc[0]
    off = {method: _off(bits, method, target).mean() for method in dict.fromkeys(bits["method"]) if _weighted(method)}
    nearest = min(off, key=lambda method: abs(off[method]))
    if nearest == RELEASED:
        return ""
    return (
        f" The released weight is {RELEASED_WEIGHT}; {nearest.rpartition(', ')[2]} ends nearer to the target, at "
        f"{target + off[nearest]:.2f} on the calibration pictures."
    )


def _weighted(method: str) -> bool:
    return method.startswith("bit loss, ")


def _sets_off(bits: pd.DataFrame, target: float | None = None) -> pd.Series:
    """By method, how far the FAB of an evaluated set is from its target, above or below, in bits: mean of sets and runs."""
    sets = bits[bits["where"] != CALIBRATION]
    sets = sets if target is None else sets[sets["target"] == target]
    return (sets["fab"] - sets["target"]).abs().groupby(sets["method"]).mean()


def _rows(units: pd.DataFrame, bits: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by method at the first target; what equal bits are worth is told over all targets, least and most over runs."""
    target = bits["target"].iloc[0]
    off = _sets_off(bits, target)
    fp, truth = at_equal_bits(units, "fp"), at_equal_bits(units, "truth")
    gains = fp.groupby("method")["gain"].agg(["mean", "min", "max", "count"])
    rows = []
    for method in dict.fromkeys(bits["method"]):
        found = target + _off(bits, method, target)
        told = f"{method} (released)" if method == RELEASED else method
        row = {f"method, target {target:g}": told, "FAB, calibration pictures": f"{found.mean():.2f}"}
        row |= {
            "from run to run": f"{found.min():.2f} to {found.max():.2f}",
            "a set is off the target by (bits, either way)": f"{off[method]:.2f}",
        }
        own = [here[(here["method"] == method) & (here["target"] == target)]["psnr"] for here in (fp, truth)]
        if len(own[0]):
            row |= {
                "PSNR to full precision (dB)": f"{own[0].mean():.2f}",
                "to ground truth (dB)": f"{own[1].mean():.2f}",
            }
        if method in gains.index and gains.loc[method, "count"]:
            mean, least, most = (signed(gains.loc[method, name], 1) for name in ("mean", "min", "max"))
            row["against quantiles, equal bits (dB)"] = f"{mean} ({least} to {most})"
        rows.append(row)
    return rows


def _advice(units: pd.DataFrame, bits: pd.DataFrame) -> str:
    gain = at_equal_bits(units, "fp").query("method == @MULTIPLIER")["gain"].dropna()
    tuned = len(gain) > 0 and gain.min() > _LITTLE
    best = _sets_off(bits).reindex([RELEASED, MULTIPLIER, QUANTILES, OWN_QUANTILES]).idxmin()
    if best != OWN_QUANTILES:
        return f"Who must meet a budget does best with: {best}."
    told = (
        "Who must meet a budget sets both thresholds by quantiles of the complexities of pictures like those to come; that needs "
        "neither ground truth nor the network. Quantiles of other calibration pictures miss by more."
    )
    if not tuned:
        return told
    span = f" ({gain.min():+.1f} to {gain.max():+.1f} by run and target)" if len(gain) > 1 else ""
    return (
        f"{told} Who wants PSNR at equal bits tunes with the multiplier: {gain.mean():+.1f} dB{span} over quantiles, to full "
        "precision. Both together were not measured."
    )
