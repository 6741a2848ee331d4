"""Which sensitivity should a layer's bits follow?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import practice
from ..tables.question import Question
from .complexity import worth
from .probing import Probe, mapping_table, psnr
from .sensitivity_measures import MEASURES, ORACLE, OWN, RANDOM, UNIFORM, look

QUESTION = Question(
    "sensitivity",
    10,
    "Which sensitivity should a layer's bits follow?",
    "Measures of a layer's sensitivity against the measured worth of its bits, and bits dealt out by each at equal FAB.",
    "How well each measure of sensitivity ranks layers by the worth of their bits, and what Layer2Bit gains with it",
)
_RESAMPLED = 400
_LITTLE = 0.3  # rank correlation
_SAME = 0.05  # dB
_KEYS = ["backbone", "seed"]


def measure(
    bench: Bench, run: Run, pictures: int, side: int, count: int, directions: int, share: float, draws: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return layers, with measures and errors at a bit less, the same and one more, and patches, with errors by measure.

    Args:
        pictures: random calibration pictures.
        side: of a patch, LR pixels.
        count: patches of each set that are measured on.
        directions: random output vectors for each patch.
        share: of the layers that get a bit more, and of those that get one fewer.
        draws: of layers by chance.
    """
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    found = probe.found(look, side, count, directions, share, draws, run.seed)
    keys = dict(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)
    return pd.DataFrame(found["layers"]).assign(**keys), pd.DataFrame(found["patches"]).assign(**keys)


def agreements(layers: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of each measure with benefit of a bit more, harm of one fewer, and their mean."""
    rows = []
    for (backbone, seed), here in layers.groupby(_KEYS, sort=False):
        truth = worth(here)
        for name in MEASURES:
            row = {side: here[name].corr(truth[side], method="spearman") for side in truth}
            row["both"] = np.mean(list(row.values()))
            rows.append(dict(backbone=backbone, seed=seed, measure=name, layers=len(here), **row))
    return pd.DataFrame(rows)


def gains(patches: pd.DataFrame) -> pd.DataFrame:
    """Return what bits by each measure give over the same for all: a row a network, seed and measure.

    Columns ``to_fp_db``: of the PSNR of the pooled error to the full-precision output; ``truth_db``: of the mean PSNR to
    ground truth. Chance is the mean of its draws.
    """
    rows = []
    for (backbone, seed), here in patches.groupby(_KEYS, sort=False):
        found = {name: _quality(one) for name, one in here.groupby("measure", sort=False)}
        for name in found.keys() - {UNIFORM}:
            fp, truth = np.subtract(found[name], found[UNIFORM])
            rows.append(dict(backbone=backbone, seed=seed, measure=name, to_fp_db=fp, truth_db=truth))
    return pd.DataFrame(rows).sort_values([*_KEYS, "measure"], ignore_index=True)


def _quality(patches: pd.DataFrame) -> tuple[float, float]:
    """PSNR to full precision, pooled over patches, and to ground truth; each the mean over draws of equal size."""
    draw = patches.groupby(["dataset", "patch"]).cumcount()
    return psnr(patches["fp"].groupby(draw).mean()).mean(), psnr(patches["truth"].to_numpy()).mean()


def table(patches: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on each set, with bits by each measure at equal FAB."""
    rows, full = [], {}
    told = patches[patches["measure"] != RANDOM]
    for (backbone, dataset, seed, name), here in told.groupby(["backbone", "dataset", "seed", "measure"], sort=False):
        full[backbone, dataset] = psnr(here["truth fp"].to_numpy()).mean()
        keys = dict(backbone=backbone, dataset=dataset, setting=here["setting"].iloc[0], series="Layer2Bit")
        keys |= dict(variable="measure", level=name, seed=int(seed), pictures=len(here))
        rows.append(keys | dict(psnr_y_db=psnr(here["truth"].to_numpy()).mean(), fab=here["fab"].mean()))
    return mapping_table(QUESTION.id, rows, full)


def figures(layers: pd.DataFrame, patches: pd.DataFrame) -> dict[str, Figure]:
    """Draw the rank correlations beside what each measure gains."""
    both = agreements(layers).merge(gains(patches), how="right", on=[*_KEYS, "measure"])
    both = both.groupby(["backbone", "measure"], sort=False)[["both", "to_fp_db"]].mean().reset_index()
    titles = {
        "both": "rank correlation with the\nmeasured worth of a layer's bits",
        "to_fp_db": "gain over equal bits, same FAB\n(dB, to the full-precision output)",
    }
    return {"": plot_ranking(both, titles, OWN, (ORACLE, RANDOM))}


def conclusion(layers: pd.DataFrame, patches: pd.DataFrame, share: float) -> list[str]:
    """Tell which measure follows the worth of a layer's bits best, and what it is worth at equal FAB."""
    agreed = agreements(layers)
    mean = agreed.groupby("measure", sort=False)[["benefit", "harm", "both"]].mean()
    gained = gains(patches)
    paid = gained.groupby("measure", sort=False)[["to_fp_db", "truth_db"]].mean()
    best, least = mean["both"].idxmax(), mean["both"].idxmin()
    told = [
        f"**{_first(layers, best, _by_network(agreed, OWN, 'both'))}** Its rank correlation with what a bit more or fewer in one layer does to "
        f"the output is {mean.loc[best, 'both']:.2f} ({mean.loc[best, 'benefit']:.2f} with the benefit, {mean.loc[best, 'harm']:.2f} "
        f"with the harm); that of the standard deviation {mean.loc[OWN, 'both']:.2f}, that of {least}, the worst, "
        f"{mean.loc[least, 'both']:.2f} ({_sizes(layers)})."
    ]
    fp, truth = paid["to_fp_db"], paid["truth_db"]
    winner = fp.drop(index=[ORACLE, RANDOM]).idxmax()
    own = _by_network(gained, OWN, "to_fp_db")
    most = f" {fp[winner]:+.2f} dB with what pays most ({winner}: {_listed(gained, winner)})," if winner != OWN else ""
    most_truth = f" {truth[winner]:+.2f}," if winner != OWN else ""
    told.append(
        f"With a bit more for {share:.0%} of the layers and one fewer for as many, so that FAB stays, PSNR to the full-precision "
        f"output (pooled) changes by {fp[OWN]:+.2f} dB with the standard deviation ({_listed(gained, OWN)}),{most} {fp[RANDOM]:+.2f} dB by chance "
        f"and {fp[ORACLE]:+.2f} dB if the worth of bits were known; the mean PSNR to ground truth by {truth[OWN]:+.2f},{most_truth} "
        f"{truth[RANDOM]:+.2f} and {truth[ORACLE]:+.2f} dB."
    )
    told.append(practice(_practice(fp, winner, own)))
    return told


def _by_network(table: pd.DataFrame, name: str, value: str) -> pd.Series:
    """Mean of a measure's values over seeds, by network."""
    return table[table["measure"] == name].groupby("backbone", sort=False)[value].mean()


def _listed(gained: pd.DataFrame, name: str) -> str:
    """A measure's gain on each network, from the least to the most of several seeds."""
    told = []
    for network, here in gained[gained["measure"] == name].groupby("backbone", sort=False)["to_fp_db"]:
        most = f" to {here.max():+.2f}" if len(here) > 1 else ""
        told.append(f"{here.min():+.2f}{most} on {network}")
    return ", ".join(told)


def _practice(fp: pd.Series, winner: str, own: pd.Series) -> str:
    if fp[winner] <= 0:
        return "The same bits for all layers are better than a bit moved by any of the measures."
    if own.min() <= 0 < own.max():
        other = "" if winner == OWN else f"; {winner} is worth {fp[winner] - fp[OWN]:.2f} dB more in the mean"
        return f"Bits by the standard deviation gain on {' and '.join(own[own > 0].index)} alone{other}."
    if fp[OWN] <= 0:
        return f"The same bits for all layers are better than bits by the standard deviation; {winner} does gain."
    if fp[winner] - fp[OWN] < _SAME:
        return "The standard deviation, which costs no backward pass, is good enough."
    return f"{winner[:1].upper()}{winner[1:]} is worth {fp[winner] - fp[OWN]:.2f} dB more than the standard deviation at the same bits."


def clearly_better(layers: pd.DataFrame, one: str, other: str) -> bool:
    """Whether a measure agrees better with the worth of bits than another in 97.5 % of 400 draws of layers.

    Layers are drawn with replacement within their network, the same for all its seeds. That the better of many measures
    was chosen by looking does not count.
    """
    rng, differences = np.random.default_rng(0), []
    networks = []
    for _, network in layers.groupby("backbone", sort=False):
        networks.append([here.assign(**worth(here)) for _, here in network.groupby("seed")])
    for _ in range(_RESAMPLED):
        gaps = []
        for seeds in networks:
            places = rng.integers(0, len(seeds[0]), len(seeds[0]))
            for ranks in (here.iloc[places][[one, other, "benefit", "harm"]].rank() for here in seeds):
                agreed = ranks.corr().loc[["benefit", "harm"], [one, other]].mean()
                gaps.append(agreed[one] - agreed[other])
        differences.append(np.mean(gaps))
    return bool(np.quantile(differences, 0.025) > 0)


def _first(layers: pd.DataFrame, best: str, own: pd.Series) -> str:
    if best == OWN:
        return "A layer's bits should follow the standard deviation of its input, as AdaBM's do: nothing tells better which layers need bits."
    sure = clearly_better(layers, best, OWN)
    if own.min() < _LITTLE:
        told = own[own >= _LITTLE].index
        where = f"tells on {' and '.join(told)} alone" if len(told) else "hardly tells"
        return f"AdaBM's standard deviation {where} which layers need bits; {best} does it best{'' if sure else ', not clearly'}."
    if sure:
        return f"AdaBM's standard deviation tells which layers need bits, and {best} tells it better."
    return (
        f"AdaBM's standard deviation tells which layers need bits; no measure is clearly better, the first is {best}."
    )


def _sizes(layers: pd.DataFrame) -> str:
    return "; ".join(
        f"{here['layer'].nunique()} layers of {name}, {here['seed'].nunique()} seed{'s' if here['seed'].nunique() > 1 else ''}"
        for name, here in layers.groupby("backbone", sort=False)
    )
