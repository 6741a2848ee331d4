"""What is image complexity, and does it predict who needs bits?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .complexity_draws import ORACLE, Spreads, errors_of, gains_of
from .complexity_measures import FACTORS, MEASURES, OWN, errors
from .dealing import factors_by, known_factors, worth
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import extents, signed, told_extents
from .probing import Probe, mapping_table, psnr
from .ranking import clearly_better

QUESTION = Question(
    "complexity",
    8,
    "What is image complexity, and does it predict who needs bits?",
    "Measures of complexity against the measured worth of a bit, and bits dealt out by each of them at equal FAB.",
    "How well each measure of complexity ranks pictures by the worth of a bit, and what Image2Bit gains with it",
)
RANDOM, UNIFORM = "chance", "same for all"
_DRAWS = 20
_LITTLE = 0.3  # rank correlation
_NOTHING = 0.01  # dB


def measure(bench: Bench, run: Run, pictures: int, side: int, count: int) -> pd.DataFrame:
    """Return one row a patch: its measures, and its errors on Y in full precision and at one bit less, the same, one more.

    Args:
        pictures: random calibration pictures.
        side: of a patch, LR pixels.
        count: patches of each set.
    """
    rows = Probe(bench, run, bench.choose("random", pictures, run)).found(errors, side, count)["rows"]
    return pd.DataFrame(rows).assign(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)


def agreements(units: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of each measure with benefit and harm: a row a network and measure, seeds' mean."""
    rows = []
    for (backbone, _), here in units.groupby(["backbone", "seed"], sort=False):
        truth = worth(here)
        for name in MEASURES:
            row = {side: here[name].corr(truth[side], method="spearman") for side in truth}
            rows.append(dict(backbone=backbone, measure=name, patches=len(here), **row))
    return _mean_of_seeds(rows)


def _mean_of_seeds(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).groupby(["backbone", "measure"], sort=False, as_index=False).mean()


def _choices(units: pd.DataFrame, share: float) -> dict[str, list[np.ndarray]]:
    """Factors of a network's patches by measure; several where chance decides."""
    chosen = {name: [factors_by(units[name].to_numpy(), share)] for name in MEASURES}
    draws = [np.random.default_rng(seed).random(len(units)) for seed in range(_DRAWS)]
    return chosen | {ORACLE: [known_factors(worth(units), share)], RANDOM: [factors_by(d, share) for d in draws]}


def rules(units: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return what a bit more for ``share`` of a network's patches and one fewer for as many gives, by each measure.

    Columns ``to_fp_db`` and ``truth_db``: gain over the same bits for all, of the PSNR of the pooled error to the
    full-precision output, and of the mean PSNR to ground truth; means over seeds. Chance is the mean of many draws.
    """
    rows = []
    for (backbone, _), here in units.groupby(["backbone", "seed"], sort=False):
        for name, choices in _choices(here, share).items():
            gains = np.mean([gains_of(errors_of(here), factors) for factors in choices], axis=0)
            rows.append(dict(backbone=backbone, measure=name, to_fp_db=gains[0], truth_db=gains[1]))
    return _mean_of_seeds(rows)


def _chosen(units: pd.DataFrame, kind: str, factors: np.ndarray) -> np.ndarray:
    values = units[[f"{kind} {factor:+d}" for factor in FACTORS]].to_numpy()
    return values[np.arange(len(units)), factors + 1]


def table(units: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on each set, with bits by each measure at equal FAB."""
    rows, full = [], {}
    for (backbone, dataset, seed), here in units.groupby(["backbone", "dataset", "seed"], sort=False):
        full[backbone, dataset] = psnr(here["truth fp"].to_numpy()).mean()
        whole = units[(units["backbone"] == backbone) & (units["seed"] == seed)]
        place = whole.index.get_indexer(here.index)
        choices = {UNIFORM: [np.zeros(len(whole), int)]} | _choices(whole, share)
        del choices[RANDOM]
        for name, (all_factors,) in choices.items():
            factors = all_factors[place]
            value = psnr(_chosen(here, "truth", factors)).mean()
            keys = dict(backbone=backbone, dataset=dataset, setting=here["setting"].iloc[0], series="Image2Bit")
            keys |= dict(variable="measure", level=name, seed=int(seed), pictures=len(here))
            rows.append(keys | dict(psnr_y_db=value, fab=(here["fab"] + factors).mean()))
    return mapping_table(QUESTION.id, rows, full)


def figures(units: pd.DataFrame, share: float) -> dict[str, Figure]:
    """Draw the rank correlations beside what each measure gains."""
    both = agreements(units).merge(rules(units, share), how="right", on=["backbone", "measure"])
    titles = {
        "benefit": "rank correlation with\nthe benefit of one more bit",
        "to_fp_db": "gain at equal FAB (dB,\nto the full-precision output)",
    }
    return {"": plot_ranking(both, titles, OWN, (ORACLE, RANDOM))}


def conclusion(units: pd.DataFrame, share: float) -> list[str]:
    """Tell which measure follows the worth of a bit best, and what it is worth at equal FAB; and how sure that is."""
    mean = agreements(units).groupby("measure", sort=False)[["benefit", "harm"]].mean()
    by_network = rules(units, share)
    gains = by_network.groupby("measure", sort=False)[["to_fp_db", "truth_db"]].mean()
    best, paid = mean["benefit"].idxmax(), gains.drop(index=[ORACLE, RANDOM])["to_fp_db"].idxmax()
    spreads = Spreads.of(units, share, list(dict.fromkeys([OWN, paid, ORACLE])))
    why = (
        "Best is what ranks patches most alike with what one more bit takes from the squared error. Then bits are dealt out by "
        f"each: a bit more for {share:.0%} of the patches and one fewer for as many, so that FAB stays."
    )
    if gains.loc[OWN, "truth_db"] < 0:
        by_chance = ", more than by chance" if gains.loc[OWN, "truth_db"] < gains.loc[RANDOM, "truth_db"] else ""
        why += f" The mean PSNR to ground truth falls{by_chance}: the patches that give up a bit lose more decibels together than those that get one gain."
    first = _first(units, best, mean.loc[OWN, "benefit"]) + _gained(gains.loc[OWN], _sure(spreads))
    return [
        f"{answer(first)} {why}",
        _how_sure(units, spreads),
        practice(_advice(gains)),
        *evidence([_measure_told(name, mean, gains, spreads) for name in [*mean.index, RANDOM, ORACLE]]),
        *evidence(_networks_told(by_network, spreads)),
        *evidence(extents(units)),
    ]


def _sure(spreads: Spreads) -> dict[str, bool]:
    """Whether what bits by the gradient change, to full precision and to ground truth, has one sign in 95 % of draws."""
    return {"to_fp_db": one_sided(spreads.to_fp[OWN].mean(1)), "truth_db": one_sided(spreads.truth[OWN].mean(1))}


def _how_sure(units: pd.DataFrame, spreads: Spreads) -> str:
    mean = lambda values: from_to(values.mean(1))
    return (
        f"This rests on {told_extents(units)}. In {DRAWN} the gradient's rank correlation is from {mean(spreads.benefit[OWN])}, and bits by "
        f"it change PSNR to the full-precision output by {mean(spreads.to_fp[OWN])} dB and to ground truth by "
        f"{mean(spreads.truth[OWN])} dB."
    )


def _measure_told(name: str, mean: pd.DataFrame, gains: pd.DataFrame, spreads: Spreads) -> dict[str, str]:
    row = {"bits by": name}
    if name in mean.index:
        row |= {
            "rank correlation with the benefit of one more bit": f"{mean.loc[name, 'benefit']:.2f}",
            DRAWN: from_to(spreads.benefit[name].mean(1)),
            "with the harm of one fewer": f"{mean.loc[name, 'harm']:.2f}",
        }
    return row | {
        "gain to full precision, pooled (dB)": signed(gains.loc[name, "to_fp_db"]),
        "gain to ground truth, mean (dB)": signed(gains.loc[name, "truth_db"]),
    }


def _networks_told(by_network: pd.DataFrame, spreads: Spreads) -> list[dict[str, str]]:
    """Rows by measure and network, the mean of several networks first: gains between the ends of draws."""
    rows, networks = [], list(dict.fromkeys(by_network["backbone"]))
    columns = {"full precision": ("to_fp_db", spreads.to_fp), "ground truth": ("truth_db", spreads.truth)}
    for name in spreads.to_fp:
        own = by_network[by_network["measure"] == name].set_index("backbone")
        places = {network: (own.loc[[network]], [place]) for place, network in enumerate(networks)}
        if len(networks) > 1:
            places = {"all, in the mean": (own, list(range(len(networks))))} | places
        for network, (here, place) in places.items():
            rows.append(
                {"bits by": name, "network": network}
                | {
                    f"gain to {side} (dB), {DRAWN}": with_ends(here[column].mean(), of[name][:, place].mean(1))
                    for side, (column, of) in columns.items()
                }
            )
    return rows


def _gained(own: pd.Series, sure: Mapping[str, bool]) -> str:
    """What moving bits by the gradient brings (dB), as the end of a sentence."""
    fp, truth = own["to_fp_db"], own["truth_db"]
    doubt = lambda side: "" if sure[side] else ", not clearly"
    if max(fp, truth) < _NOTHING:
        cost, side = -min(fp, truth), "to_fp_db" if fp <= truth else "truth_db"
        lost = "gains nothing" if cost < _NOTHING else "loses"
        return f"; but moving bits by the gradient {lost} at equal FAB{doubt(side) if cost >= _NOTHING else ''}."
    if min(fp, truth) < _NOTHING:
        nearer, farther = ("to_fp_db", "truth_db") if fp > truth else ("truth_db", "to_fp_db")
        called = {"to_fp_db": "full precision", "truth_db": "ground truth"}
        near = f"{called[nearer]}{doubt(nearer)}{',' * (not sure[nearer])}"
        return f"; moving bits by the gradient leads nearer to {near} and away from {called[farther]}{doubt(farther)}, at equal FAB."
    return f"; moving bits by the gradient gains at equal FAB{'' if all(sure.values()) else ', not clearly'}."


def _advice(gains: pd.DataFrame) -> str:
    """What follows from the gains to the full-precision output and to ground truth (dB), by measure."""
    fp, truth = gains.loc[OWN, "to_fp_db"], gains.loc[OWN, "truth_db"]
    if min(fp, truth) >= _NOTHING:
        return (
            f"let bits follow the gradient: {fp:+.2f} dB to the full-precision output, {truth:+.2f} dB to ground truth."
        )
    known = gains.loc[ORACLE]
    told = (
        "give all images the same bits: bits by the gradient change the PSNR to the full-precision output by "
        f"{fp:+.2f} dB and to ground truth by {truth:+.2f} dB. Bits by the "
        f"measured worth of each change the former by {known['to_fp_db']:+.2f} dB, the latter by {known['truth_db']:+.2f} dB."
    )
    if fp >= _NOTHING:
        told += " Let them follow the gradient only where the largest errors count, not the mean PSNR."
    return told


def image_gain(table: pd.DataFrame) -> pd.DataFrame | None:
    """Return what bits by AdaBM's measure of the image change at equal FAB: PSNR to ground truth in dB, a row a seed, a column a network.

    Args:
        table: the question's, as :func:`table` returned it.

    Returns:
        None where the measure was not tried.
    """
    rows = table[table["psnr_y_db"].notna()]
    wide = rows.pivot_table(index=["backbone", "dataset", "seed", "pictures"], columns="level", values="psnr_y_db")
    if not {OWN, UNIFORM} <= set(wide):
        return None
    gained = (wide[OWN] - wide[UNIFORM]).dropna().reset_index(name="gain")
    rows = [
        (*keys, np.average(here["gain"], weights=here["pictures"]))
        for keys, here in gained.groupby(["backbone", "seed"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["backbone", "seed", "gain"]).pivot(index="seed", columns="backbone")["gain"]


def image_worth(table: pd.DataFrame) -> str:
    """Tell in one sentence what it changes, at equal FAB, that bits follow AdaBM's measure of the image; nothing if not tried."""
    by_seed = image_gain(table)
    if by_seed is None:
        return ""
    means, of_seeds = by_seed.mean(), by_seed.mean(axis=1)
    networks = "one network" if len(means) == 1 else f"{len(means)} networks"
    by_network = f"; by network {means.min():+.2f} to {means.max():+.2f} dB" if len(means) > 1 else ""
    spread = (
        f"; the mean of each of {len(of_seeds)} seeds is {of_seeds.min():+.2f} to {of_seeds.max():+.2f} dB"
        if len(of_seeds) > 1
        else ""
    )
    return (
        "At equal FAB (some patches get a bit more, as many one fewer; models that are not fine-tuned) it changes PSNR to ground "
        f"truth by {means.mean():+.2f} dB, the mean of patches on {networks}{by_network}{spread}; intervals stand on the page of complexity."
    )


def _first(units: pd.DataFrame, best: str, own: float) -> str:
    if best == OWN:
        return "AdaBM's mean gradient predicts best who needs bits"
    sure = clearly_better(units, best, OWN, ["benefit"])
    if own < _LITTLE:
        return f"AdaBM's gradient hardly predicts who needs bits; {best} does it best{'' if sure else ', not clearly'}"
    if sure:
        return f"AdaBM's gradient predicts who needs bits, and {best} does it better"
    return f"AdaBM's gradient predicts who needs bits; no measure is clearly better, the first is {best}"
