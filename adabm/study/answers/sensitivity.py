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
from ..tables.wording import several
from .dealing import worth
from .draws import from_to
from .measured import extents, signed, told_extents
from .probing import Probe, mapping_table, psnr
from .ranking import advantages, clearly_better, is_clear
from .sensitivity_measures import MEASURES, ORACLE, OWN, RANDOM, UNIFORM, look
from .significance import paired_difference

QUESTION = Question(
    "sensitivity",
    10,
    "Which sensitivity should a layer's bits follow?",
    "AdaBM gives a bit more to layers whose input has a large standard deviation. Three other measures ask how far rounding a layer's "
    "input moves the output. All use slopes: how much the output, or its error, moves with each value of the input. Projected output error "
    "multiplies the slope of the output by the rounding error itself. Fisher multiplies the squared slope by the squared step of rounding. "
    "Gradient does so too, with the slope of the output's error. The order in which each measure puts layers "
    "is compared with that of what a bit more or fewer in one layer does to the output (rank correlation: 1 is the same order, 0 none). "
    "Then some layers get a bit more and as many one fewer, at the same mean bits (FAB), against the same bits for all; models are not "
    "fine-tuned.",
    "How well each measure of sensitivity ranks layers by the worth of their bits, and what bits by it gain to the full-precision output",
)
_LITTLE = 0.3  # rank correlation
_SAME = 0.05  # dB
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
    more = advantages(layers, [name for name in MEASURES if name != OWN], OWN)
    first = _first([best, *rivals], mean["both"], _by_network(agreed, OWN, "both"), more)
    hardly = _hardly(_by_network(agreed, best, "both"), _by_network(gained, best, "to_fp_db"))
    return [
        f"{answer(first + hardly)} Best is what agrees best with what a bit more or fewer in one "
        f"layer does to the output. Then bits are dealt out by each: a bit more for {share:.0%} of the layers and one fewer for as many, "
        f"so that FAB stays. Gains rest on {told_extents(patches)}.{_not_most(fp, winner)}",
        practice(_practice(gained, winner, rivals if winner == best else [])),
        *evidence(_rows(mean, gained, more)),
        *evidence(
            _listed(gained, list(dict.fromkeys(layers["backbone"])), list(dict.fromkeys([OWN, winner, *rivals])))
        ),
        *evidence(extents(layers)),
    ]


def _rows(agreed: pd.DataFrame, gained: pd.DataFrame, more: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
    """Rows by measure, what agrees best first, then what bits by chance and by their known worth give.

    Args:
        more: draws of by how much more than the standard deviation's each rank correlation is.
    """
    paid = _mean_of_networks(gained, ["to_fp_db", "truth_db"])
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


def _listed(gained: pd.DataFrame, networks: list[str], names: list[str]) -> list[dict[str, str]]:
    """Rows by network: gains of some measures, from the least to the most of several seeds."""
    rows = []
    for network in networks:
        row = {"gain by network (dB; least and most of the seeds)": network}
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


def _hardly(best: pd.Series, gains: pd.Series) -> str:
    """Tell on which networks even the best measure hardly ranks layers, where it does on others, and what bits by it gain there.

    Args:
        best, gains: rank correlations of that measure and what it gives over equal bits (dB to full precision), by network.
    """
    weak = list(best.index[best < _LITTLE])
    if not weak or len(weak) == len(best):
        return ""
    ranks, paid = (
        several([form(name) for name in weak]) for form in (lambda n: f"{best[n]:.2f}", lambda n: signed(gains[n]))
    )
    linked = "and yet" if min(gains[name] for name in weak) > 0 else "and"
    return f" On {several(weak)} even the best hardly ranks them ({ranks}), {linked} bits dealt by it give {paid} dB there."


def _not_most(fp: pd.Series, winner: str) -> str:
    """Explain why bits by a measure can gain more than those by the known worth, where they do."""
    if fp[winner] <= fp[ORACLE]:
        return ""
    return (
        f" Bits by the known worth gain less than by {winner} ({signed(fp[ORACLE])} against {signed(fp[winner])} dB): what is known is the worth "
        "in each layer alone, not how layers act together."
    )


def _rivals(layers: pd.DataFrame, agreed: pd.Series, fp: pd.Series, best: str) -> list[str]:
    """The measures that agree nearly as well as the best, not clearly worse, and gain more than it."""
    near = [name for name in MEASURES if fp[name] > fp[best] and agreed[name] >= agreed[best] - _REACH]
    return [name for name in near if name != OWN and not clearly_better(layers, best, name)]


def _practice(gained: pd.DataFrame, winner: str, rivals: list[str]) -> str:
    """By what to deal the bits of layers, and what that gains over the same bits for all."""
    fp, truth = (_mean_of_networks(gained, [column])[column] for column in ("to_fp_db", "truth_db"))
    own, ways = _by_network(gained, OWN, "to_fp_db"), [winner, *rivals]
    if fp[winner] <= 0:
        told, ways = (
            f"Give all layers the same bits: {winner} does best, and against them gives {_over_same(gained, winner, fp)}",
            [winner],
        )
    elif winner == OWN:
        told = f"Deal the bits of layers by the standard deviation: over the same bits for all it gives {_over_same(gained, OWN, fp)}"
        ways = [OWN]
    elif own.min() > 0 and _as_good(gained, OWN, winner):
        told, ways = (
            "The standard deviation, which costs no backward pass, is good enough: over the same bits for all it gives ",
            [OWN, winner],
        )
        told += f"{_over_same(gained, OWN, fp)}, {winner} {signed(fp[winner])} dB"
    else:
        told = f"Deal the bits of layers by {' or '.join(ways)}, not by the standard deviation: over the same bits for all "
        told += f"{'they give' if rivals else 'it gives'} {several([_over_same(gained, way, fp) for way in ways])}{_doubt(gained, ways)}, "
        told += f"the standard deviation {_over_same(gained, OWN, fp)}"
        ways = [*ways, OWN]
    return f"{told}. This is PSNR to the full-precision output; to ground truth it is {several([signed(truth[way]) for way in ways])} dB."


def _doubt(gained: pd.DataFrame, ways: list[str]) -> str:
    """On which networks bits by some of the measures gain with some seeds and lose with others."""
    doubtful = [
        name for name, here in gained.groupby("backbone", sort=False) if any(_both_signs(here, way) for way in ways)
    ]
    return f", on {several(doubtful)} not with every seed" if doubtful else ""


def _over_same(gained: pd.DataFrame, name: str, fp: pd.Series) -> str:
    """What bits by a measure gain to the full-precision output, from the least to the most of networks, or of one network's seeds."""
    of, by = _by_network(gained, name, "to_fp_db"), "network"
    if len(of) == 1:
        of, by = gained.loc[gained["measure"] == name, "to_fp_db"], "seed"
    return f"{signed(fp[name])} dB" + (f" ({signed(of.min())} to {signed(of.max())} by {by})" if len(of) > 1 else "")


def _both_signs(gained: pd.DataFrame, name: str) -> bool:
    """Whether bits by a measure gain with some seeds of a network and lose with others."""
    values = gained.loc[gained["measure"] == name, "to_fp_db"]
    return values.min() <= 0 < values.max()


def _first(names: list[str], agreed: pd.Series, own: pd.Series, more: Mapping[str, np.ndarray]) -> str:
    """How well the standard deviation ranks layers, and what does it better.

    Args:
        names: of the measures that do it best.
        agreed: rank correlations by measure, means of networks.
        own: that of the standard deviation, by network.
        more: draws of each measure's advantage over the standard deviation.
    """
    if names[0] == OWN:
        return (
            "A layer's bits should follow the standard deviation of its input, as AdaBM's do: nothing tells better which layers need "
            f"bits (rank correlation {agreed[OWN]:.2f})."
        )
    where, ranks = "", f"rank correlation {agreed[OWN]:.2f}"
    told = list(own[own >= _LITTLE].index)
    if len(told) < len(own):
        where = f" on {several(told)} alone" if told else ""
        ranks += f" in the mean, there {several([f'{own[name]:.2f}' for name in told])}" if told else ""
    hardly = "" if told else "hardly "
    sure = all(is_clear(more[name]) for name in names)
    others, verb = several(names), "tell" if len(names) > 1 else "tells"
    ends = several([from_to(more[name]) for name in names])
    better = "clearly better" if sure else "better, but not clearly"
    reached = several([f"{agreed[name]:.2f}" for name in names])
    return (
        f"AdaBM's standard deviation {hardly}tells{where} which layers need bits ({ranks}). "
        f"{others[:1].upper()}{others[1:]} {verb} it {better} ({reached}; in 95 % of draws of layers by {ends} more)."
    )
