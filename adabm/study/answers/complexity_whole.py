"""Whether a measure of complexity ranks whole pictures, too, by the worth of a bit."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ..plan.cells import Run
from ..plan.options import check_choices
from ..running.bench import Bench
from ..tables.wording import several, told_count
from .complexity_measures import MEASURES, OWN, errors
from .dealing import worth
from .probing import Probe

_SAME = 1e-9  # rank correlation; less is rounding


def measure_whole(bench: Bench, run: Run, pictures: int, own: Mapping[str, object]) -> pd.DataFrame:
    """Return one row a picture of the bench's sets, as :func:`.complexity.measure` does of patches.

    Args:
        pictures: random calibration pictures.
        own: what the network has of its own; ``whole`` limits it to some of the sets.

    Raises:
        ConfigError: ``whole`` names a set that the bench does not have.
    """
    names = [of.name for of in bench.sets]
    wanted = own.get("whole", names)
    check_choices(f"backbones, {bench.backbone.stem}: whole", wanted, names)
    bench = replace(bench, sets=tuple(of for of in bench.sets if of.name in wanted))
    rows = Probe(bench, run, bench.choose("random", pictures, run)).found(errors, None, None)["rows"]
    return pd.DataFrame(rows).assign(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)


def ranks_of(whole: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of each measure with the benefit of one more bit: a column a network, seeds' mean."""
    rows = [
        dict(backbone=backbone, measure=name, rank=here[name].corr(worth(here)["benefit"], method="spearman"))
        for (backbone, _), here in whole.groupby(["backbone", "seed"], sort=False)
        for name in MEASURES
    ]
    means = (
        pd.DataFrame(rows).groupby(["measure", "backbone"], sort=False)["rank"].mean().unstack().fillna(0.0)
    )  # one picture
    return means.loc[list(MEASURES), list(dict.fromkeys(whole["backbone"]))]


def whole_told(whole: pd.DataFrame) -> str:
    """Tell how well the gradient ranks whole pictures, and which measure does best in the mean of the networks."""
    ranks = ranks_of(whole)
    mean, own = ranks.mean(axis=1), ranks.loc[OWN]
    best = [name for name in ranks.index if mean[name] > mean.max() - _SAME]
    listed = several([f"{rank:.2f} on {name} ({_extent(whole, name)})" for name, rank in own.items()])
    told = f"Of whole pictures the gradient's rank correlation is {listed}"
    if OWN in best:
        alike = _alike(whole)
        order = (
            f", and {told_count(len(alike), 'other')} put{'s' * (len(alike) == 1)} them in the same order"
            if alike
            else ""
        )
        return f"{told}; no other measure's is higher{' in the mean' * (len(own) > 1)}{order}."
    reached = f"{mean[best[0]]:.2f}" + (f" against {mean[OWN]:.2f} in the mean" if len(own) > 1 else "")
    named = several(best) if len(best) < 3 else f"{best[0]} and {len(best) - 1} others"
    return f"{told}; {named} {'has' if len(best) == 1 else 'have'} the highest ({reached})."


def _alike(whole: pd.DataFrame) -> list[str]:
    """The other measures that put the pictures of every network in the gradient's order."""
    networks = [
        here.groupby(["dataset", "patch"])[list(MEASURES)].mean().rank() for _, here in whole.groupby("backbone")
    ]
    return [name for name in MEASURES if name != OWN and all(ranks[name].equals(ranks[OWN]) for ranks in networks)]


def _extent(whole: pd.DataFrame, network: str) -> str:
    here = whole[whole["backbone"] == network].drop_duplicates(["dataset", "patch"])
    return several([f"{len(of)} of {dataset}" for dataset, of in here.groupby("dataset", sort=False)])


def rows_of(whole: pd.DataFrame) -> list[dict[str, str]]:
    """Return rows of evidence, one a measure, the best in the mean first."""
    ranks = ranks_of(whole)
    ordered = ranks.mean(axis=1).sort_values(ascending=False, kind="stable")
    return [
        {"of whole pictures": name, "rank correlation with the benefit of one more bit": f"{mean:.2f}"}
        | {f"on {network}": f"{rank:.2f}" for network, rank in ranks.loc[name].items() if ranks.shape[1] > 1}
        for name, mean in ordered.items()
    ]
