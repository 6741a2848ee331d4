"""Fixed or dynamic layer factors?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.dynamic_figure import plot_gains
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench
from ..tables.conclusion import practice
from ..tables.question import Question
from .calibration import FULL_PRECISION
from .layer_factors import FEWER, FIXED, MORE, OTHER, OWN, SAME, THRESHOLDS, outcomes, times
from .measured import several, told_seeds
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "dynamic",
    15,
    "Fixed or dynamic layer factors?",
    "Factors of the layers as calibration fixed them, against factors computed for each picture from its own features, at equal FAB.",
    "What layer factors of each picture's own gain at equal FAB, and how many of them differ from the fixed ones",
)
DYNAMIC = (OWN, THRESHOLDS)
COMPARED = (*DYNAMIC, OTHER, SAME)  # with fixed factors
_DRAWS = 2000


def measure(
    bench: Bench, setting: str, methods: Mapping[str, Mapping], seed: int, pictures: int, side: int, count: int
) -> pd.DataFrame:
    """Return a row a method, patch and rule: its errors on Y, FAB and factors.

    Args:
        methods: by name: ``method``, ``changes`` and, for one that has fewer than the others, ``seeds``; the first is
            the one that is concluded from.
        pictures: random calibration pictures, others for each seed.
        side, count: of patches, see :func:`.probing.patches`.

    Raises:
        ConfigError: a method has an unknown key or lacks one.
    """
    found = []
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method", "changes"], ["seeds"])
        if seed not in method.get("seeds", [seed]):
            continue
        run = Run.at(method["method"], setting, seed, method["changes"])
        rows = Probe(bench, run, bench.choose("random", pictures, run)).found(outcomes, run, pictures, side, count)
        told = dict(backbone=bench.backbone.stem, series=name, setting=setting, seed=seed)
        found.append(pd.DataFrame(rows["rows"]).assign(**told))
    return pd.concat(found, ignore_index=True)


def timed(
    bench: Bench, setting: str, methods: Mapping[str, Mapping], seed: int, pictures: int, side: int, repeats: int
) -> pd.DataFrame:
    """Return measured seconds of upscaling a patch with fixed factors and by each dynamic rule: the first method's, all samples."""
    method = next(iter(methods.values()))
    run = Run.at(method["method"], setting, seed, method["changes"])
    rows = Probe(bench, run, bench.choose("random", pictures, run)).found(times, run, pictures, side, repeats)
    return pd.DataFrame(rows["rows"]).assign(backbone=bench.backbone.stem, seed=run.seed)


def gains(units: pd.DataFrame) -> pd.DataFrame:
    """Return what each rule gains on fixed factors at the FAB of that patch: a row a method, network, patch and rule.

    Values are means over seeds.

    Fixed factors at that FAB are interpolated between a bit fewer and a bit more for the whole image. Columns ``truth``
    and ``fp``: dB to ground truth and to full precision; ``fab``; ``differ``: share of layers with another factor.
    """
    rows = []
    keys = ["series", "backbone", "dataset", "patch"]
    for names, here in units.groupby([*keys, "seed"], sort=False):
        of = here.set_index("rule")
        curve = of.loc[[FEWER, FIXED, MORE]]
        for rule in COMPARED:
            told = dict(zip(keys, names), rule=rule, fab=of.loc[rule, "fab"])
            for kind in ("truth", "fp"):
                equal = np.interp(of.loc[rule, "fab"], curve["fab"], psnr(curve[kind].to_numpy()))
                told[kind] = psnr(of.loc[rule, kind]) - equal
            pairs = zip(of.loc[rule, "factors"], of.loc[FIXED, "factors"], strict=True)
            rows.append(told | dict(differ=np.mean([one != other for one, other in pairs])))
    return pd.DataFrame(rows).groupby([*keys, "rule"], sort=False, as_index=False).mean()


def summary(gained: pd.DataFrame) -> pd.DataFrame:
    """Return for each rule, in the mean over networks, the gain with ``least`` and ``most`` of 95 % of draws, and the rest.

    ``gained`` are those of one method. Patches are drawn with replacement within their network, 2,000 times, to see what chance does.
    """
    rows = {}
    for rule, here in gained.groupby("rule", sort=False):
        networks = [network for _, network in here.groupby("backbone", sort=False)]
        rng = np.random.default_rng(0)
        drawn = [
            network["truth"].to_numpy()[rng.integers(0, len(network), (_DRAWS, len(network)))].mean(1)
            for network in networks
        ]
        means = pd.DataFrame([network[["truth", "fp", "fab", "differ"]].mean() for network in networks]).mean()
        least, most = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
        rows[rule] = dict(means) | dict(least=least, most=most)
    return pd.DataFrame(rows).T


def table(units: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth and FAB of each rule, on each set and by seed."""
    rows, full = [], {}
    keys = ["backbone", "dataset", "series", "rule", "seed"]
    for (backbone, dataset, series, rule, seed), here in units.groupby(keys, sort=False):
        value = psnr(here["truth"].to_numpy()).mean()
        if rule == FULL_PRECISION:
            full[backbone, dataset] = value
            continue
        told = dict(backbone=backbone, dataset=dataset, setting=here["setting"].iloc[0], series=series)
        told |= dict(variable="factors", level=rule, seed=int(seed), pictures=len(here))
        rows.append(told | dict(psnr_y_db=value, fab=here["fab"].mean()))
    return mapping_table(QUESTION.id, rows, full)


def main(units: pd.DataFrame) -> pd.DataFrame:
    """Return the part of a table of :func:`measure` or :func:`gains` that is the first method's."""
    return units[units["series"] == units["series"].iloc[0]]


def figures(units: pd.DataFrame) -> dict[str, Figure]:
    """Draw each rule's gain patch by patch beside the layers whose factor differs."""
    gained, chosen = main(gains(units)), main(units)
    return {"": plot_gains(gained, summary(gained), chosen[chosen["rule"].isin([FIXED, OWN])], FIXED)}


def conclusion(units: pd.DataFrame) -> list[str]:
    """Tell whether factors of each picture's own are better than fixed ones, how far they differ, and what they cost."""
    everything = gains(units)
    gained = main(everything)
    found = summary(gained)
    sizes = several([f"{_patches(here)} patches on {name}" for name, here in gained.groupby("backbone", sort=False)])
    told = [f"**{_verdict(found)}** {_numbers(found)} ({sizes}; {told_seeds(main(units))})."]
    networks = gained.groupby("backbone", sort=False)
    if networks.ngroups > 1:
        listed = [f"{_both(here)} on {name}" for name, here in networks]
        told[0] += f" By network, with percentiles and with thresholds: {several(listed)}."
    own = gained[gained["rule"] == OWN]
    better, ceiling = (own["truth"] > 0).mean(), own["truth"].clip(lower=0).mean()
    differ = found["differ"]
    told.append(
        f"A picture's own percentiles give {differ[OWN]:.0%} of the layers another factor than the fixed one, calibrated thresholds "
        f"{differ[THRESHOLDS]:.0%}; percentiles leave all factors as they are on {(own['differ'] == 0).mean():.0%} of the patches and "
        f"are better on {better:.0%}: who knew on which would gain {ceiling:.2f} dB. Percentiles need all layers of a picture before "
        "its bits are known, so a pass in full precision comes first; thresholds decide on the way."
    )
    for name, here in everything.groupby("series", sort=False):
        if name != gained["series"].iloc[0]:
            told[-1] += f" {name}, percentiles change PSNR by {_both(here).replace(' and ', ' dB and thresholds by ')}."
    return [*told, practice(_advice(found))]


def _patches(gained: pd.DataFrame) -> int:
    return len(gained[["dataset", "patch"]].drop_duplicates())  # patches of two sets may have one name


def _advice(found: pd.DataFrame) -> str:
    dynamic = found.loc[list(DYNAMIC)]
    best = dynamic["truth"].idxmax()
    if dynamic.loc[best, "least"] > 0:
        return f"Compute each picture's factors ({best}) where its time allows."
    return "Leave each layer's factor as calibration found it."


def _verdict(found: pd.DataFrame) -> str:
    dynamic = found.loc[list(DYNAMIC)]
    best = dynamic["truth"].idxmax()
    if dynamic.loc[best, "least"] > 0:
        return f"Dynamic: factors computed for each picture ({best}) are better than fixed ones at equal FAB."
    if (dynamic["most"] < 0).all():
        return "Fixed: factors computed for each picture are worse at equal FAB."
    if dynamic.loc[best, "most"] < 0 or dynamic.loc[best, "truth"] <= 0:
        return "Fixed is enough: factors computed for each picture gain nothing at equal FAB."
    return "Fixed is enough: what factors computed for each picture gain at equal FAB is within chance."


def _numbers(found: pd.DataFrame) -> str:
    parts = [
        f"{_gain(found.loc[rule])} with {rule}, {found.loc[rule, 'fp']:+.2f} dB to full precision" for rule in DYNAMIC
    ]
    return (
        f"Against fixed factors PSNR to ground truth changes by {'; by '.join(parts)}. With another picture's percentiles "
        f"it changes by {found.loc[OTHER, 'truth']:+.2f} dB, with the same bits for all layers by {found.loc[SAME, 'truth']:+.2f} dB"
    )


def _gain(row: pd.Series) -> str:
    return f"{row['truth']:+.2f} dB (95 % of draws of patches: {row['least']:+.2f} to {row['most']:+.2f})"


def _both(gained: pd.DataFrame) -> str:
    means = gained.groupby("rule")["truth"].mean()
    return f"{means[OWN]:+.2f} and {means[THRESHOLDS]:+.2f} dB"
