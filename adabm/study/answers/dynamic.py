"""Fixed or dynamic layer factors?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages.dynamic_figure import plot_gains
from ..plan.cells import Run
from ..running.bench import Bench
from ..running.networks import Unit
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import least_to_most, several
from . import equal_fab
from .asked import checked_units
from .calibration import FULL_PRECISION
from .draws import patch_ends
from .dynamic_gains import COMPARED, DYNAMIC, comparable, gains, summary
from .layer_factors import FIXED, OTHER, OWN, SAME, outcomes, times
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "dynamic",
    15,
    "Fixed or dynamic layer factors?",
    "Factors of the layers as calibration fixed them, against factors computed for each picture from its own features, at equal FAB: "
    "that of each patch, to which fixed factors are interpolated between a bit fewer and a bit more for the whole patch. "
    "Another picture's percentiles are a control: what is gained with them has nothing to do with the picture. Models are not fine-tuned. "
    "Above are patches of all networks and the mean of the networks, below the layers of the first network.",
    "What layer factors of each picture's own gain at equal FAB, and how many of them differ from the fixed ones",
)
_NOTICED = 0.05  # dB
_ELSEWHERE = "All factors here go by the standard deviation; whether another measure deals layers' bits better is told on the page of sensitivity."


def checked(units: Sequence[Unit], methods: Mapping[str, Mapping]) -> Sequence[Unit]:
    """Return the units, once no method is one that :func:`measure` cannot use or would leave out; see :func:`.asked.checked_units`."""
    return checked_units(units, methods, ["method", "changes"], ["seeds"])


def measure(
    bench: Bench, setting: str, methods: Mapping[str, Mapping], seed: int, pictures: int, side: int, count: int
) -> pd.DataFrame:
    """Return a row a method, patch and rule: its errors on Y, FAB and factors.

    Args:
        methods: by name: ``method``, ``changes`` and, for one that has fewer than the others, ``seeds``; the first is
            the one that is concluded from; see :func:`checked`.
        pictures: random calibration pictures, others for each seed.
        side, count: of patches, see :func:`.probing.patches`.
    """
    found = []
    for name, method in methods.items():
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
    units = named(units)
    gained, chosen = main(gains(units)), main(units)
    return {"": plot_gains(gained, summary(gained), chosen[chosen["rule"].isin([FIXED, OWN])], FIXED)}


def conclusion(units: pd.DataFrame, seconds: pd.DataFrame) -> list[str]:
    """Tell whether factors of each picture's own are better than fixed ones, how far they differ, and what they cost.

    Args:
        units: what :func:`measure` gave, of all networks and seeds.
        seconds: what :func:`timed` gave, of all networks.
    """
    units = named(units)
    kept = comparable(units)
    everything = gains(kept)
    gained = main(everything)
    found, own = summary(gained), gained[gained["rule"] == OWN]
    told = (
        f"{answer(_verdict(found, gained) + _same_is_better(found, gained))} {_best_of(found, gained)}{_same_for_all(found, gained)} "
        f"A picture's own percentiles give {found.loc[OWN, 'differ']:.0%} "
        f"of the layers another factor than the fixed one, and are better on {(own['truth'] > 0).mean():.0%} of the patches. "
        f"{_control(found, gained)} Percentiles "
        "need all layers of a picture before its bits are known, so a pass in full precision comes first; thresholds decide on the way. "
        f"{_cost(named(seconds))}{equal_fab.told_left_out(units, kept)}"
    )
    rows = [_row(rule, found.loc[rule]) for rule in COMPARED]
    return [
        told,
        practice(_advice(found, gained)),
        *evidence(rows),
        *evidence(_by_network(everything)),
        *evidence(extents(main(kept))),
    ]


def _cost(seconds: pd.DataFrame) -> str:
    """Tell how many times as long a patch takes by each dynamic rule as with fixed factors: of medians, from network to network."""
    medians = seconds.groupby(["backbone", "rule"])["seconds"].median().unstack()
    told = []
    for rule in DYNAMIC:
        told.append(f"{least_to_most(medians[rule] / medians[FIXED])} times as long by {rule}")
    networks = ", by network" if len(medians) > 1 else ""
    return f"Measured, a patch takes {several(told)} as with fixed factors (medians{networks}; simulated bits, on one thread)."


def _control(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    """Tell whether what a picture's own percentiles change is due to the picture: whether another's do otherwise."""
    wide = gained.pivot_table(index=["backbone", "dataset", "patch"], columns="rule", values="truth", sort=False)
    apart = wide[OWN] - wide[OTHER]
    least, most = patch_ends([values.to_numpy() for _, values in apart.groupby(level="backbone", sort=False)])
    own, other = (signed(found.loc[rule, "truth"]) for rule in (OWN, OTHER))
    if least > 0 or most < 0:
        return (
            f"They are clearly {'better' if least > 0 else 'worse'} than another picture's ({own} against {other} dB)."
        )
    return f"They are not clearly different from another picture's ({own} against {other} dB): none of what they change is clearly due to the picture."


def _same_is_better(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    """Tell on which networks the same bits for all layers are better than fixed factors, if they are in the mean of all."""
    means = _same(gained)
    if not found.loc[SAME, "least"] > 0:
        return ""
    better = several(list(means.index[means > 0]))
    if found.loc[list(DYNAMIC), "least"].max() > 0:
        return f" The same bits for all layers are better than fixed ones, too, on {better}."
    return f" On {better} fixed ones are not worth it either: the same bits for all layers are better."


def _same_for_all(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    """Tell by how much the same bits for all layers are better, where they are."""
    means = _same(gained)
    if not found.loc[SAME, "least"] > 0:
        return ""
    whole = (
        f"; in the mean of all {len(means)} networks {signed(found.loc[SAME, 'truth'])} dB ({_ends(found.loc[SAME])})"
        if len(means) > 1
        else ""
    )
    return f" The same bits for all layers give {_better(means)}{whole}."


def _better(means: pd.Series) -> str:
    """What the same bits for all layers give on the networks on which they are better."""
    return several([f"{signed(gain)} dB on {name}" for name, gain in means[means > 0].items()])


def _same(gained: pd.DataFrame) -> pd.Series:
    """What the same bits for all layers give against fixed factors, dB to ground truth, by network."""
    return gained[gained["rule"] == SAME].groupby("backbone", sort=False)["truth"].mean()


def _row(rule: str, row: pd.Series) -> dict[str, str]:
    return {
        "factors": rule,
        "PSNR to ground truth against fixed (dB)": signed(row["truth"]),
        "95 % of draws of patches": _ends(row),
        "to full precision (dB)": signed(row["fp"]),
        "other factors than fixed": f"{row['differ']:.0%}",
    }


def _by_network(gained: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network and method: what each rule gives to ground truth, and between what 95 % of draws of patches lie."""
    rows = []
    for (backbone, series), here in gained.groupby(["backbone", "series"], sort=False):
        found = summary(here)
        told = {f"{rule} (dB)": _between(found.loc[rule]) for rule in COMPARED}
        rows.append({"network, 95 % of draws of patches": backbone, "method": series} | told)
    return rows


def _between(row: pd.Series) -> str:
    return f"{signed(row['truth'])} ({_ends(row)})"


def _ends(row: pd.Series) -> str:
    return f"{signed(row['least'])} to {signed(row['most'])}"


def _advice(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    dynamic = found.loc[list(DYNAMIC)]
    best = dynamic["truth"].idxmax()
    as_much = dynamic.loc[best, "truth"] >= found.loc[SAME, "truth"]
    if dynamic.loc[best, "least"] > 0 and (as_much or not found.loc[SAME, "least"] > 0):
        return f"Compute each picture's factors ({best}) where its time allows."
    means = _same(gained)
    worse = list(means.index[means <= 0])
    if found.loc[SAME, "least"] > 0 and worse:
        return f"Keep AdaBM's fixed factors on {several(worse)}, and the same bits for all layers where they are better: {_better(means)}. {_ELSEWHERE}"
    if found.loc[SAME, "least"] > 0:
        return (
            f"Give all layers the same bits: {signed(found.loc[SAME, 'truth'])} dB against fixed factors; no way of computing factors "
            f"{'clearly gains' if as_much else 'gains as much'}. {_ELSEWHERE}"
        )
    return f"Leave each layer's factor as calibration found it. {_ELSEWHERE}"


def _gained_on_one(gained: pd.DataFrame) -> str:
    """On which networks a way of computing factors gains in 95 % of draws, and the most of it."""
    clear = []
    for name, here in gained.groupby("backbone", sort=False):
        found = summary(here).loc[list(DYNAMIC)]
        clear += [
            (row["truth"], name, rule)
            for rule, row in found.iterrows()
            if row["least"] > 0 and row["truth"] >= _NOTICED
        ]
    if not clear or gained["backbone"].nunique() == 1:
        return ""
    names = several(list(dict.fromkeys(name for _, name, _ in clear)))
    most, _, rule = max(clear)
    return f" On {names} alone they gain, at most {signed(most)} dB ({rule})."


def _verdict(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    dynamic = found.loc[list(DYNAMIC)]
    best = dynamic["truth"].idxmax()
    if dynamic.loc[best, "least"] > 0:
        return "Dynamic: factors computed for each picture are better than fixed ones at equal FAB."
    worth = "Dynamic factors are not worth it: computed for each picture, they"
    if (dynamic["most"] < 0).all():
        return f"{worth} are worse than fixed ones at equal FAB."
    if dynamic.loc[best, "most"] < 0 or dynamic.loc[best, "truth"] <= 0:
        return f"{worth} gain nothing over fixed ones in the mean at equal FAB.{_gained_on_one(gained)}"
    alone = _gained_on_one(gained)
    return f"{worth} gain no more over fixed ones{' in the mean' * bool(alone)} at equal FAB than chance would.{alone}"


def _best_of(found: pd.DataFrame, gained: pd.DataFrame) -> str:
    """What the best way of computing factors gives, between what draws of patches have it, and on how many it is otherwise."""
    dynamic = found.loc[list(DYNAMIC)]
    best = dynamic["truth"].idxmax()
    mean, of_patches = dynamic.loc[best, "truth"], gained[gained["rule"] == best]["truth"]
    better = (of_patches > 0).mean()
    though = (
        f", though they are better on {better:.0%} of the patches: the others lose more"
        if mean < 0 and better > 0.5
        else ""
    )
    return f"The best dynamic factors, {best}, give {signed(mean)} dB (in 95 % of draws of patches {_ends(dynamic.loc[best])}){though}."
