"""What does the bit loss do?"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.bit_loss_figures import plot_along, plot_missed, plot_quality
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from . import bit_loss_measures as measures
from .bit_loss_advice import advice, nearest_weight
from .bit_loss_bits import (
    method_rows,
    off_target,
    set_rows,
    target_rows,
    told_other_targets,
    told_sets,
)
from .bit_loss_changes import gain_rows, told_changes
from .bit_loss_gains import at_equal_bits, curve
from .bit_loss_measures import CALIBRATION, Tuning, factors_at, thresholds
from .bit_loss_methods import (
    AS_CALIBRATED,
    MULTIPLIER,
    OWN_QUANTILES,
    QUANTILES,
    RELEASED,
    RELEASED_WEIGHT,
    loss_of,
)
from .bit_loss_worth import gains, in_the_mean, told_worth
from .draws import DRAWN
from .measured import extents
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "bit_loss",
    13,
    "What does the bit loss do?",
    "The bit loss is to keep the mean bits (FAB) at a target while the mapping of images and layers is tuned: a weight times the bits above "
    "it. Mappings alone are tuned, for more steps and faster than their turns in the released recipe. "
    "A Lagrange multiplier is a weight that rises while the calibration pictures exceed the target in the mean, and else falls. "
    "Quantiles tune nothing: the two thresholds of the images' bits are set where as many pictures get a bit more or less as the target "
    "asks. Told is where bits stand after these steps; whether they still move shows the figure. PSNR is to the full-precision output.",
    "Bits of the calibration pictures along the tuning, by weight of the bit loss and with the multiplier; one seed. The multiplier's "
    "line ends at the step that is kept, the last one near the target",
    others={
        "missed": "Bits off the target at the end, of the calibration pictures and of whole pictures of each set; mean of seeds",
        "quality": "PSNR against bits of the patches, mean of seeds; lines: thresholds by quantiles, a line a seed",
    },
)
_MET = 0.1  # bits
_BY_LAYERS = (
    " What is gained over quantiles may be due to layers, whose mapping is tuned too; quantiles and layers tuned together were not "
    "measured."
)


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
        targets: of the multiplier and of each weight; weight 0 aims at none and is tuned once.
        rate: of the multiplier.
        steps, speed, side, count: see :class:`Tuning`.
    """
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    tuning = Tuning(tuple(path.name for path in probe.calibration), run.seed, steps, speed, side, count)
    known = Probe(counted, run, probe.calibration).found(measures.complexities, tuning.names)
    plain = probe.found(measures.calibrated, known, side, count)
    found = {(AS_CALIBRATED, targets[0]): plain}
    for target in targets:
        for weight in [weight for weight in weights if weight or target == targets[0]]:
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


def figures(units: pd.DataFrame, bits: pd.DataFrame, trace: pd.DataFrame) -> dict[str, Figure]:
    """Draw bits along the tunings; and, apart, bits off the target, and PSNR against bits."""
    units, bits, trace = named(units), named(bits), named(trace)
    is_forced = units["method"].str.startswith("factor ")
    curves = [
        curve(here, "fp").assign(backbone=backbone, seed=seed)
        for (backbone, seed), here in units[is_forced].groupby(["backbone", "seed"], sort=False)
    ]
    off = _at_first_target(bits.assign(off=bits["fab"] - bits["target"]))
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
    found = gains(units)
    means = in_the_mean(found)
    return [
        f"{answer(_verdict(moved, _aims(bits)))} {told_worth(found)} {_told(alike, moved, any(gain.helps for gain in found))}"
        f'{_other_targets(bits)} "Clearly" is said where {DRAWN} have one sign.',
        practice(advice(found, moved)),
        *evidence(method_rows(alike, moved, means)),
        *evidence(gain_rows(found, units, bits)),
        *evidence(set_rows(units, bits)),
        *evidence(target_rows(moved)),
        *evidence(extents(units)),
    ]


def _other_targets(bits: pd.DataFrame) -> str:
    """Say how bits are told where networks aim at others than the first."""
    firsts = bits.groupby("backbone", sort=False)["target"].first()
    others = [f"{name} aims at {target:g} bits" for name, target in firsts.items() if target != firsts.iloc[0]]
    return f" {several(others)}; in the means bits are told as if it aimed at {firsts.iloc[0]:g}." if others else ""


def _aims(bits: pd.DataFrame) -> str:
    """The bits that are aimed at: ``4 bits (net: 6)``."""
    firsts = bits.groupby("backbone", sort=False)["target"].first()
    others = [f"{name}: {target:g}" for name, target in firsts.items() if target != firsts.iloc[0]]
    return f"{firsts.iloc[0]:g} bits" + (f" ({', '.join(others)})" if others else "")


def _verdict(bits: pd.DataFrame, aims: str) -> str:
    all_off = off_target(bits, RELEASED)
    if all_off.abs().max() <= _MET:
        does = "meets its target"
    elif all_off.max() <= _MET:
        does = "undershoots its target"
    elif all_off.min() >= -_MET:
        does = "overshoots its target"
    else:
        does = "misses its target to either side"
    off, met = (off_target(bits, method, bits["target"].iloc[0]) for method in (RELEASED, MULTIPLIER))
    told = f"aiming at {aims} it ends {_beside(off.mean())} on the calibration pictures{_spread(off)}"
    kept = f"a multiplier, of which the last step near the target is kept, misses by {met.abs().mean():.2f}"
    return f"Tuned alone and faster than released, the bit loss of the released weight {does}: {told}; {kept}."


def _beside(off: float) -> str:
    return f"{abs(off):.2f} bits {'below' if off < 0 else 'above'}"


def _spread(off: pd.Series) -> str:
    """Between what runs lie, in brackets: without signs where all are on one side."""
    if len(off) < 2:
        return ""
    if off.min() < 0 < off.max():
        return f" ({off.min():+.2f} to {off.max():+.2f} by run)"
    ends = sorted(off.abs())
    return f" ({ends[0]:.2f} to {ends[-1]:.2f} by run)"


def _told(units: pd.DataFrame, bits: pd.DataFrame, gained: bool) -> str:
    return (
        f"{told_sets(units, bits)}{_nearest(bits)}{told_other_targets(bits)} The loss punishes each batch of two patches that uses "
        "more than the target and rewards none that uses less, where a multiplier looks at the mean of all pictures."
        f"{told_changes(units)}{_BY_LAYERS * gained}"
    )


def _nearest(bits: pd.DataFrame) -> str:
    """Tell which weight ends nearest to the target on the calibration pictures, where it is not the released one."""
    target, nearest = bits["target"].iloc[0], nearest_weight(bits)
    if nearest == RELEASED:
        return ""
    return (
        f" The released weight is {RELEASED_WEIGHT}; {nearest.rpartition(', ')[2]} ends nearer to the target, at "
        f"{target + off_target(bits, nearest, target).mean():.2f} on the calibration pictures."
    )
