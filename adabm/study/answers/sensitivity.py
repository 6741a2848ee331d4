"""Which sensitivity should a layer's bits follow?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from .dealing import worth
from .draws import DRAWN, from_to, with_ends
from .measured import extents, few_patches, signed, told_extents
from .probing import Probe, mapping_table, psnr
from .ranking import advantages, clearly_better
from .sensitivity_gains import SIDES, Drawn, as_good, by_network, drawn_gains, gains, mean_of_networks
from .sensitivity_measures import MEASURES, ORACLE, OWN, RANDOM, look
from .sensitivity_telling import told_hardly, told_not_most, told_practice, told_ranks

QUESTION = Question(
    "sensitivity",
    10,
    "Which sensitivity should a layer's bits follow?",
    "AdaBM gives a bit more to layers whose input has a large standard deviation. Three other measures ask how far rounding a layer's "
    "input moves the output. All use slopes: how much the output, or its error, moves with each value of the input. Projected output error "
    "multiplies the slope of the output by the rounding error itself. Fisher multiplies the squared slope by the squared step of rounding. "
    "These two are what the Hessian of the squared output error gives at full precision: its value along the rounding error, and its trace. "
    "Gradient is as Fisher, with the slope of the output's error. The order in which each measure puts layers "
    "is compared with that of what a bit more or fewer in one layer does to the output (rank correlation: 1 is the same order, 0 none). "
    "Then some layers get a bit more and as many one fewer, at the same mean bits (FAB), against the same bits for all; models are not "
    "fine-tuned. Gains to the full-precision output are PSNR of the error of all patches together; gains to ground truth are of mean PSNR.",
    "How well each measure of sensitivity ranks layers by the worth of their bits, and what bits by it gain to the full-precision output",
)
_REACH = 0.05  # rank correlation
_KEYS = ["backbone", "seed"]
_AGREEMENTS = {
    "rank correlation with the worth of bits": "both",
    "with the benefit of one more": "benefit",
    "with the harm of one fewer": "harm",
}
_GAINS = {"gain to full precision (dB)": "to_fp_db", "gain to ground truth (dB)": "truth_db"}


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
    layers = named(layers)
    both = agreements(layers).merge(gains(named(patches)), how="right", on=[*_KEYS, "measure"])
    place = {name: number for number, name in enumerate(layers["backbone"].unique())}
    both = both.sort_values("backbone", key=lambda names: names.map(place), kind="stable")
    both = both.groupby(["backbone", "measure"], sort=False)[["both", "to_fp_db"]].mean().reset_index()
    titles = {
        "both": "rank correlation with the\nmeasured worth of a layer's bits",
        "to_fp_db": "gain over equal bits, same FAB\n(dB, to the full-precision output)",
    }
    return {"": plot_ranking(both, titles, OWN, (ORACLE, RANDOM))}


def conclusion(layers: pd.DataFrame, patches: pd.DataFrame, share: float) -> list[str]:
    """Tell which measure follows the worth of a layer's bits best, and what it is worth at equal FAB."""
    layers, patches = named(layers), named(patches)
    agreed, gained = agreements(layers), gains(patches)
    mean = mean_of_networks(agreed, ["benefit", "harm", "both"])
    fp = mean_of_networks(gained, ["to_fp_db"])["to_fp_db"]
    winner, best = fp.drop(index=[ORACLE, RANDOM]).idxmax(), mean["both"].idxmax()
    winner = best if as_good(gained, best, winner) else winner
    rivals = _rivals(layers, mean["both"], fp, best)
    more = advantages(layers, [name for name in MEASURES if name != OWN], OWN)
    first = told_ranks([best, *rivals], mean["both"], by_network(agreed, OWN, "both"), more)
    few = few_patches(patches)
    hardly = told_hardly(best, by_network(agreed, best, "both"), by_network(gained, best, "to_fp_db"), few)
    drawn = drawn_gains(patches, list(dict.fromkeys([OWN, winner, *rivals])))
    return [
        f"{answer(first)}{hardly} A measure is judged by how it agrees with what a bit more or fewer in one layer does to the output. Bits by each: "
        f"one more for {share:.0%} of the layers, one fewer for as many. Gains rest on {told_extents(patches)}.{told_not_most(fp, winner)}",
        practice(told_practice(gained, drawn, winner, rivals if winner == best else [], few)),
        *evidence(_rows(mean, gained, more)),
        *evidence(_listed(gained, drawn)),
        *evidence(extents(layers)),
    ]


def _rows(agreed: pd.DataFrame, gained: pd.DataFrame, more: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
    """Rows by measure, what agrees best first, then what bits by chance and by their known worth give.

    Args:
        more: draws of by how much more than the standard deviation's each rank correlation is.
    """
    paid = mean_of_networks(gained, [*SIDES])
    order = [*agreed.sort_values("both", ascending=False, kind="stable").index, RANDOM, ORACLE]
    rows = []
    for name in order:
        known = agreed.loc[name] if name in agreed.index else None
        told = {} if known is None else {heading: f"{known[column]:.2f}" for heading, column in _AGREEMENTS.items()}
        told |= (
            {"more than the standard deviation's (95 % of draws of layers)": from_to(more[name])}
            if name in more
            else {}
        )
        told |= {heading: signed(paid.loc[name, column]) for heading, column in _GAINS.items()}
        rows.append({"bits by": name} | told)
    return rows


def _listed(gained: pd.DataFrame, drawn: Drawn) -> list[dict[str, str]]:
    """Rows by network: gains of some measures, with what draws make of them."""
    rows = []
    for network in next(iter(drawn.values())):
        row = {f"gain by network (dB to full precision; {DRAWN})": network}
        for name, values in drawn.items():
            row[name] = with_ends(by_network(gained, name, "to_fp_db")[network], values[network][:, 0])
        rows.append(row)
    return rows


def _rivals(layers: pd.DataFrame, agreed: pd.Series, fp: pd.Series, best: str) -> list[str]:
    """The measures that agree nearly as well as the best, not clearly worse, and gain more than it."""
    near = [name for name in MEASURES if fp[name] > fp[best] and agreed[name] >= agreed[best] - _REACH]
    return [name for name in near if name != OWN and not clearly_better(layers, best, name)]
