"""Which sensitivity should a layer's bits follow?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .dealing import worth
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr
from .ranking import clearly_better
from .sensitivity_measures import FISHER, MEASURES, ORACLE, OWN, PROJECTED, RANDOM, UNIFORM, look
from .significance import paired_difference

QUESTION = Question(
    "sensitivity",
    10,
    "Which sensitivity should a layer's bits follow?",
    "Measures of a layer's sensitivity against the measured worth of its bits, and bits dealt out by each at equal FAB.",
    "How well each measure of sensitivity ranks layers by the worth of their bits, and what Layer2Bit gains with it",
)
_LITTLE = 0.3  # rank correlation
_SAME = 0.05  # dB
_REACH = 0.05  # rank correlation
_DEFINED = {
    PROJECTED: "tells how far rounding a layer's input moves the output, to first order",
    FISHER: "is the squared slope of the output at that input times the squared step that it is rounded to",
}
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
    mean = _mean_of_networks(agreed, ["benefit", "harm", "both"])
    fp = _mean_of_networks(gained, ["to_fp_db"])["to_fp_db"]
    winner, best = fp.drop(index=[ORACLE, RANDOM]).idxmax(), mean["both"].idxmax()
    winner = best if _as_good(gained, best, winner) else winner
    rivals = _rivals(layers, mean["both"], fp, best)
    told = _defined([best, *rivals]) + _close(mean["both"], best, rivals)
    return [
        f"**{_first(layers, best, rivals, _by_network(agreed, OWN, 'both'))}**{told} Best is what agrees best with what a bit more or "
        f"fewer in one layer does to the output. Then bits are dealt out by each: a bit more for {share:.0%} of the layers and one fewer "
        f"for as many, so that FAB stays.{_hardly(_by_network(agreed, best, 'both'))}",
        practice(
            _practice(fp, winner, rivals if winner == best else [], _by_network(gained, OWN, "to_fp_db"))
            + " This is PSNR to the full-precision output."
        ),
        *evidence(_rows(mean, gained)),
        *evidence(
            _listed(gained, list(dict.fromkeys(layers["backbone"])), list(dict.fromkeys([OWN, winner, *rivals])))
        ),
        *evidence(extents(layers)),
    ]


def _rows(agreed: pd.DataFrame, gained: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by measure, what agrees best first, then what bits by chance and by their known worth give."""
    paid = _mean_of_networks(gained, ["to_fp_db", "truth_db"])
    order = [*agreed.sort_values("both", ascending=False, kind="stable").index, RANDOM, ORACLE]
    rows = []
    for name in order:
        known = agreed.loc[name] if name in agreed.index else None
        told = {} if known is None else {heading: f"{known[column]:.2f}" for heading, column in _AGREEMENTS.items()}
        told |= {heading: signed(paid.loc[name, column]) for heading, column in _GAINS.items()}
        rows.append({"bits by": name} | told)
    return rows


def _listed(gained: pd.DataFrame, networks: list[str], names: list[str]) -> list[dict[str, str]]:
    """Rows by network: gains of some measures, from the least to the most of several seeds."""
    rows = []
    for network in networks:
        row = {"gain by network (dB)": network}
        for name in names:
            values = gained.loc[(gained["backbone"] == network) & (gained["measure"] == name), "to_fp_db"]
            spread = f" ({signed(values.min())} to {signed(values.max())})" if len(values) > 1 else ""
            row[name] = signed(values.mean()) + spread
        rows.append(row)
    return rows


def _mean_of_networks(table: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Mean of values by measure, each network counting as much as any other, however many seeds it has."""
    own = table.groupby(["measure", "backbone"], sort=False)[values].mean()
    return own.groupby(level="measure", sort=False).mean()


def _by_network(table: pd.DataFrame, name: str, value: str) -> pd.Series:
    """Mean of a measure's values over seeds, by network."""
    return table[table["measure"] == name].groupby("backbone", sort=False)[value].mean()


def _as_good(gained: pd.DataFrame, one: str, other: str) -> bool:
    """Whether bits by one measure gain no less than by another, but for 0.05 dB or the spread over seeds."""
    values = gained.pivot_table(index="seed", columns="measure", values="to_fp_db")  # means of networks
    gap = paired_difference(values[one], values[other])
    return gap.mean >= -max(_SAME, gap.spread)


def _hardly(best: pd.Series) -> str:
    """Tell on which networks even the best measure hardly ranks layers, where it does on others."""
    weak = list(best.index[best < _LITTLE])
    if not weak or len(weak) == len(best):
        return ""
    return f" On {several(weak)} even the best hardly ranks single layers ({several([f'{best[name]:.2f}' for name in weak])})."


def _rivals(layers: pd.DataFrame, agreed: pd.Series, fp: pd.Series, best: str) -> list[str]:
    """The measures that agree nearly as well as the best, not clearly worse, and gain more than it."""
    near = [name for name in MEASURES if fp[name] > fp[best] and agreed[name] >= agreed[best] - _REACH]
    return [name for name in near if name != OWN and not clearly_better(layers, best, name)]


def _close(agreed: pd.Series, best: str, rivals: list[str]) -> str:
    """How near the rivals come to the best."""
    if not rivals:
        return ""
    ranks = several([f"{agreed[name]:.2f}" for name in (best, *rivals)])
    return f" Their rank correlations with the worth of bits are {ranks}."


def _defined(names: list[str]) -> str:
    """Say in a sentence what the measures are that the answer names and a reader can't guess."""
    told = [f"{name} {_DEFINED[name]}" for name in (PROJECTED, FISHER) if name in names]
    if FISHER in names and PROJECTED not in names:
        return ""
    return f" {told[0][0].upper()}{'; '.join(told)[1:]}." if told else ""


def _practice(fp: pd.Series, winner: str, rivals: list[str], own: pd.Series) -> str:
    if fp[winner] <= 0:
        return "The same bits for all layers are better than a bit moved by any of the measures."
    if own.min() <= 0 < own.max():
        ways = [winner, *rivals]
        worth = several([f"{fp[name] - fp[OWN]:.2f}" for name in ways])
        other = "" if winner == OWN else f"; {' or '.join(ways)} is worth {worth} dB more in the mean"
        return f"Bits by the standard deviation gain on {several(list(own[own > 0].index))} alone{other}."
    if fp[OWN] <= 0:
        return f"The same bits for all layers are better than bits by the standard deviation; {winner} does gain."
    if fp[winner] - fp[OWN] < _SAME:
        return "The standard deviation, which costs no backward pass, is good enough."
    return f"{winner[:1].upper()}{winner[1:]} is worth {fp[winner] - fp[OWN]:.2f} dB more than the standard deviation at the same bits."


def _first(layers: pd.DataFrame, best: str, rivals: list[str], own: pd.Series) -> str:
    if best == OWN:
        return "A layer's bits should follow the standard deviation of its input, as AdaBM's do: nothing tells better which layers need bits."
    sure = clearly_better(layers, best, OWN)
    if own.min() < _LITTLE:
        told = own[own >= _LITTLE].index
        where = f"tells on {several(list(told))} alone" if len(told) else "hardly tells"
        best = " or ".join([best, *rivals])
        return f"AdaBM's standard deviation {where} which layers need bits; {best} does it best{'' if sure else ', not clearly'}."
    if sure:
        return f"AdaBM's standard deviation tells which layers need bits, and {best} tells it better."
    return (
        f"AdaBM's standard deviation tells which layers need bits; no measure is clearly better, the first is {best}."
    )
