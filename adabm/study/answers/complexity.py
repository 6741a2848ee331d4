"""What is image complexity, and does it predict who needs bits?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from ..tables.wording import several, told_count
from .complexity_draws import ORACLE, Spreads, errors_of, gains_of
from .complexity_flat import flat_told
from .complexity_measures import FACTORS, MEASURES, OWN, errors
from .dealing import factors_by, known_factors, worth
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import extents, signed, told_extents
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "complexity",
    8,
    "What is image complexity, and does it predict who needs bits?",
    "AdaBM calls an image complex whose gray values have large gradients (mean absolute Sobel), and gives it a bit more. Other "
    "measures are of gray values (variance, entropy), of neighbours that differ (total variation, Laplacian, residual of halving), of "
    "high frequencies and of JPEG. The order in which each puts patches is compared with that of what one more bit takes from a "
    "patch's squared error (rank correlation: 1 is the same order, 0 none). Then some patches get a bit more and as many one fewer, at "
    "the same mean bits (FAB), against the same bits for all; models are not fine-tuned. Gains to the full-precision output are PSNR of "
    "the error of all patches together, to which what bits are worth adds up; gains to ground truth are of mean PSNR, as benchmarks tell it. "
    "Brackets hold 95 % of draws of patches and seeds.",
    "How well each measure of complexity ranks patches by the worth of a bit, and what bits by it gain to the full-precision output",
)
RANDOM, UNIFORM = "chance", "same for all"
_DRAWS = 20
_LITTLE, _MUCH = 0.3, 0.7  # rank correlation
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
    agreed, by_network = agreements(units), rules(units, share)
    mean = agreed.groupby("measure", sort=False)[["benefit", "harm"]].mean()
    ranks = agreed.pivot(index="measure", columns="backbone", values="benefit")[list(dict.fromkeys(agreed["backbone"]))]
    gains = by_network.groupby("measure", sort=False)[["to_fp_db", "truth_db"]].mean()
    best, paid = mean["benefit"].idxmax(), gains.drop(index=[ORACLE, RANDOM])["to_fp_db"].idxmax()
    spreads = Spreads.of(units, share, list(dict.fromkeys([OWN, paid, ORACLE])))
    ranked = f"{_ranked(ranks, best, spreads)}. {_gained(mean.loc[OWN, 'benefit'], gains.loc[OWN], spreads)}"
    why = (
        "Best is what ranks patches most alike with what one more bit takes from the squared error. Bits by each: one more for "
        f"{share:.0%} of the patches, one fewer for as many."
    )
    if gains.loc[OWN, "truth_db"] < min(0, gains.loc[RANDOM, "truth_db"]):
        why += " The mean PSNR to ground truth falls more than by chance."
    return [
        f"{answer(ranked)} {why} {flat_told(units)}",
        f"This rests on {told_extents(units)}.",
        practice(_advice(gains, spreads, share)),
        *evidence([_measure_told(name, mean, ranks, gains, spreads) for name in [*mean.index, RANDOM, ORACLE]]),
        *evidence(_networks_told(by_network, spreads)),
        *evidence(extents(units)),
    ]


def _measure_told(
    name: str, mean: pd.DataFrame, ranks: pd.DataFrame, gains: pd.DataFrame, spreads: Spreads
) -> dict[str, str]:
    row = {"bits by": name}
    if name in mean.index:
        own = [f"{rank:.2f}" for rank in ranks.loc[name]]
        row |= {
            "rank correlation with the benefit of one more bit": f"{mean.loc[name, 'benefit']:.2f}",
            **({f"on {several(list(ranks))}": ", ".join(own)} if len(own) > 1 else {}),
            DRAWN: from_to(spreads.benefit[name].mean(1)),
            "above the gradient's": "" if name == OWN else from_to(_above(spreads, name)),
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


def _above(spreads: Spreads, name: str) -> np.ndarray:
    """By how much a measure's rank correlation exceeds the gradient's, in each draw."""
    return (spreads.benefit[name] - spreads.benefit[OWN]).mean(1)


def _ranked(ranks: pd.DataFrame, best: str, spreads: Spreads) -> str:
    """How well the gradient ranks patches, by network where that differs, and which measure does it better.

    Args:
        ranks: rank correlations with the benefit, a row a measure and a column a network.
    """
    own, mean = ranks.loc[OWN], ranks.mean(axis=1)
    alike = own.groupby(own.map(_how_well), sort=False)
    if len(alike) == 1:
        told = f"{_how_well(mean[OWN])} which patches need bits (rank correlation {mean[OWN]:.2f}, {from_to(spreads.benefit[OWN].mean(1))})"
    else:
        (first, of), *others = alike
        told = f"{first} which patches need bits on {several(list(of.index))} (rank correlation {_listed(of)})"
        told += "".join(
            f", {how.replace('ranks', '').strip()} on {several(list(of.index))} ({_listed(of)})" for how, of in others
        )
    if best == OWN:
        return f"AdaBM's gradient {told}, best of all measures"
    better = "clearly better" if one_sided(_above(spreads, best)) else "better, but not clearly"
    reached = f"{mean[best]:.2f}" + (f" against {mean[OWN]:.2f} in the mean" if len(alike) > 1 else "")
    return (
        f"AdaBM's gradient {told}; {best} does {better} ({reached}; {len(ranks) - 1} measures compared, not adjusted)"
    )


def _how_well(rank: float) -> str:
    return "hardly ranks" if rank < _LITTLE else "ranks fairly well" if rank < _MUCH else "ranks well"


def _listed(ranks: pd.Series) -> str:
    return several([f"{rank:.2f}" for rank in ranks])


def _gained(rank: float, own: pd.Series, spreads: Spreads) -> str:
    """What moving bits by the gradient brings (dB); ``rank``: its rank correlation with the worth of bits."""
    fp, truth = own["to_fp_db"], own["truth_db"]
    if min(fp, truth) >= _NOTHING:
        how = "gains"
    elif max(fp, truth) >= _NOTHING:
        how = "gains on one side alone"
    else:
        how = "changes nothing" if min(fp, truth) > -_NOTHING else "loses"
    but = "But moving" if rank >= _LITTLE and max(fp, truth) < _NOTHING else "Moving"
    sides = f"{_certain(fp, spreads.to_fp[OWN])} to the full-precision output, {_certain(truth, spreads.truth[OWN])} to ground truth"
    return f"{but} bits by the gradient {how}: {sides}."


def _certain(value: float, values: np.ndarray) -> str:
    """A difference in dB with the ends of its draws, and whether they have one sign."""
    means = values.mean(1)
    return f"{signed(value)} dB ({'' if one_sided(means) else 'not clearly, '}{from_to(means)})"


def _advice(gains: pd.DataFrame, spreads: Spreads, share: float) -> str:
    """What follows from the gains to the full-precision output and to ground truth (dB), by measure."""
    fp, truth = gains.loc[OWN, "to_fp_db"], gains.loc[OWN, "truth_db"]
    if min(fp, truth) >= _NOTHING:
        return "let bits follow the gradient." + ("" if _clear(spreads) else " What that gains is not clear.")
    known = gains.loc[ORACLE]
    by_worth = "even by" if known["truth_db"] <= -_NOTHING else "by"
    told = (
        f"give all images the same bits. Moving {share:.0%} of the patches up and {share:.0%} down by one bit, {by_worth} their measured "
        f"worth, changes PSNR by {signed(known['to_fp_db'])} dB to the full-precision output and {signed(known['truth_db'])} dB to ground truth."
    )
    if truth <= -_NOTHING:
        told += " The patches that give up a bit lose more decibels than those that get one gain."
    if fp >= _NOTHING and one_sided(spreads.to_fp[OWN].mean(1)):
        told += " Let them follow the gradient only where the largest errors count, not the mean PSNR."
    return told


def _clear(spreads: Spreads) -> bool:
    """Whether what bits by the gradient change, to full precision and to ground truth, has one sign in 95 % of draws."""
    return one_sided(spreads.to_fp[OWN].mean(1)) and one_sided(spreads.truth[OWN].mean(1))


def image_gain(table: pd.DataFrame, by: str = OWN) -> pd.DataFrame | None:
    """Return what bits by a measure of the image change at equal FAB: PSNR to ground truth in dB, a row a seed, a column a network.

    None where the measure was not tried.

    Args:
        table: the question's, as :func:`table` returned it.
        by: the measure; AdaBM's, another, or the known worth.
    """
    rows = table[table["psnr_y_db"].notna()]
    wide = rows.pivot_table(index=["backbone", "dataset", "seed", "pictures"], columns="level", values="psnr_y_db")
    if not {by, UNIFORM} <= set(wide):
        return None
    gained = (wide[by] - wide[UNIFORM]).dropna().reset_index(name="gain")
    rows = [
        (*keys, np.average(here["gain"], weights=here["pictures"]))
        for keys, here in gained.groupby(["backbone", "seed"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["backbone", "seed", "gain"]).pivot(index="seed", columns="backbone")["gain"]


def image_worth(table: pd.DataFrame) -> str:
    """Tell in one sentence what it changes, at equal FAB, that bits follow AdaBM's measure of the image; nothing if not tried."""
    by_seed, known = image_gain(table), image_gain(table, ORACLE)
    if by_seed is None:
        return ""
    means, of_seeds = by_seed.mean(), by_seed.mean(axis=1)
    spans = [f"{means.min():+.2f} to {means.max():+.2f} by network"] if len(means) > 1 else []
    spans += [f"{of_seeds.min():+.2f} to {of_seeds.max():+.2f} by seed"] if len(of_seeds) > 1 else []
    spread = f" ({', '.join(spans)})" if spans else ""
    worth = np.nan if known is None else float(known.mean().mean())
    by_worth = "" if np.isnan(worth) else f", {'even ' if worth < 0 else ''}by their measured worth {worth:+z.2f} dB"
    return (
        f"At equal FAB, moving some patches by one bit as it says changes PSNR to ground truth by {means.mean():+.2f} dB{spread}"
        f"{by_worth}, not fine-tuned, on {told_count(len(means), 'network')}; more on the page of complexity."
    )
