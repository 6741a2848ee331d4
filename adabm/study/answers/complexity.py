"""What is image complexity, and does it predict who needs bits?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.ranking_figures import plot_ranking
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .complexity_draws import (
    DECIBELS,
    ELSEWHERE,
    GAINS,
    ORACLE,
    RANDOM,
    SHOWN,
    Spreads,
    decibel_factors,
    errors_of,
    gains_of,
    with_elsewhere,
)
from .complexity_flat import flat_told
from .complexity_gains import UNIFORM
from .complexity_measures import FACTORS, OWN, errors
from .complexity_predicted import ALL_MEASURES, predictions
from .complexity_telling import advice, gained, measure_told, moved_told, networks_told, pictures_told, ranked
from .complexity_whole import rows_of, whole_told
from .dealing import factors_by, known_factors, worth
from .draws import ends
from .measured import extents, told_extents
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "complexity",
    8,
    "What is image complexity, and does it predict who needs bits?",
    "AdaBM calls an image complex whose gray values have large gradients (mean absolute Sobel), and gives it a bit more. Other "
    "measures are of gray values (variance, entropy), of neighbours that differ (total variation, Laplacian, residual of halving), of "
    "high frequencies and of JPEG. Two are predictions by the network in full precision: what rounding loses of its layers' inputs, and "
    "the error of the output that follows to first order. The order in which each puts patches is compared with that of what one more bit takes from a "
    "patch's squared error (rank correlation: 1 is the same order, 0 none). Then some patches get a bit more and as many one fewer, at "
    "the same mean bits (FAB), against the same bits for all; models are not fine-tuned. Gains to the full-precision output are PSNR of "
    "the error of all patches together, to which what bits are worth adds up; gains to ground truth are of mean PSNR, as benchmarks tell it. "
    "Brackets and whiskers hold 95 % of draws of patches and seeds. Where the worth in dB is known it is that of the other seeds.",
    "How well each measure of complexity ranks patches by the worth of a bit, and what bits by it gain to the full-precision output and to ground truth",
)
_DRAWS = 20


def measure(bench: Bench, run: Run, pictures: int, side: int, count: int) -> pd.DataFrame:
    """Return one row a patch: its measures, and its errors on Y in full precision and at one bit less, the same, one more.

    Args:
        pictures: random calibration pictures.
        side: of a patch, LR pixels.
        count: patches of each set.
    """
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    found = [pd.DataFrame(probe.found(compute, side, count)["rows"]) for compute in (errors, predictions)]
    return (
        found[0]
        .merge(found[1], on=["dataset", "patch"], validate="one_to_one")
        .assign(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)
    )


def agreements(units: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of each measure with benefit and harm: a row a network and measure, seeds' mean.

    It is 0 where there is no order: of one patch, or of patches that a measure or a bit has alike.
    """
    rows = []
    for (backbone, _), here in units.groupby(["backbone", "seed"], sort=False):
        truth = worth(here)
        for name in ALL_MEASURES:
            row = {side: np.nan_to_num(here[name].corr(truth[side], method="spearman")) for side in truth}
            rows.append(dict(backbone=backbone, measure=name, patches=len(here), **row))
    return _mean_of_seeds(rows)


def _mean_of_seeds(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).groupby(["backbone", "measure"], sort=False, as_index=False).mean()


def _choices(units: pd.DataFrame, share: float) -> dict[str, list[np.ndarray]]:
    """Factors of a network's patches by measure; several where chance decides."""
    chosen = {name: [factors_by(units[name].to_numpy(), share)] for name in ALL_MEASURES}
    draws = [np.random.default_rng(seed).random(len(units)) for seed in range(_DRAWS)]
    return chosen | {ORACLE: [known_factors(worth(units), share)], RANDOM: [factors_by(d, share) for d in draws]}


def rules(units: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return what a bit more for ``share`` of a network's patches and one fewer for as many gives, by each measure.

    Columns as ``GAINS``: gain over the same bits for all, of the PSNR of the pooled error to the full-precision output
    (``to_fp_db``) and of the mean PSNR to ground truth (``truth_db``), and each the other way; means over seeds. Chance is
    the mean of many draws. Where all networks have several seeds the worth of bits in dB to ground truth, as the other
    seeds tell it, is a measure, too.
    """
    rows, units = [], with_elsewhere(units)
    several_seeds = units[ELSEWHERE].notna().all(axis=None)
    for (backbone, _), here in units.groupby(["backbone", "seed"], sort=False):
        choices = _choices(here, share)
        if several_seeds:
            choices[DECIBELS] = [decibel_factors(here[ELSEWHERE].to_numpy(), share)]
        for name, of in choices.items():
            gains = np.mean([gains_of(errors_of(here), factors) for factors in of], axis=0)
            rows.append(dict(backbone=backbone, measure=name) | dict(zip(GAINS, gains)))
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
    """Draw the rank correlations beside what each measure gains, with whiskers between what draws of patches and seeds lie."""
    gained = rules(units, share)
    both = agreements(units).merge(gained, how="right", on=["backbone", "measure"])
    spreads = Spreads.of(units, share, [name for name in gained["measure"].unique() if name != RANDOM])
    titles = {
        "benefit": "rank correlation with\nthe benefit of one more bit",
        "to_fp_db": "gain at equal FAB (dB of the\npooled error to full precision)",
        "truth_db": "gain at equal FAB (dB of mean\nPSNR to ground truth)",
    }
    drawn = dict(zip(titles, (spreads.benefit, spreads.to_fp, spreads.truth)))
    whiskers = {
        value: {SHOWN.get(name, name): ends(draws.mean(1)) for name, draws in of.items()} for value, of in drawn.items()
    }
    references = [SHOWN[ORACLE], SHOWN[DECIBELS], RANDOM]
    return {"": plot_ranking(both.replace({"measure": SHOWN}), titles, OWN, references, whiskers)}


def conclusion(units: pd.DataFrame, whole: pd.DataFrame, share: float) -> list[str]:
    """Tell which measure follows the worth of a bit best, and what it is worth at equal FAB; and how sure that is.

    Args:
        whole: of :func:`.complexity_whole.measure_whole`.
    """
    agreed, by_network = agreements(units), rules(units, share)
    mean = agreed.groupby("measure", sort=False)[["benefit", "harm"]].mean()
    ranks = agreed.pivot(index="measure", columns="backbone", values="benefit")[list(dict.fromkeys(agreed["backbone"]))]
    gains = by_network.groupby("measure", sort=False)[[*GAINS]].mean()
    known = [name for name in (ORACLE, DECIBELS) if name in gains.index]
    best, paid = mean["benefit"].idxmax(), gains.drop(index=[RANDOM, *known])["to_fp_db"].idxmax()
    spreads = Spreads.of(units, share, list(dict.fromkeys([OWN, paid, *known])))
    told = f"{ranked(ranks, best, spreads)}. {gained(mean.loc[OWN, 'benefit'], gains.loc[OWN], spreads)}"
    why = (
        "A measure is judged by how it ranks patches beside what one more bit takes from the squared error. Bits by each: one more for "
        f"{share:.0%} of the patches, one fewer for as many{moved_told(units, share)}."
    )
    if gains.loc[OWN, "truth_db"] < min(0, gains.loc[RANDOM, "truth_db"]):
        why += " The mean PSNR to ground truth falls more than by chance."
    return [
        f"{answer(told)} {why} {whole_told(whole)} {flat_told(units, share)}",
        f"This rests on {told_extents(units)}{pictures_told(units)}.",
        practice(advice(gains, spreads, share)),
        *evidence([measure_told(name, mean, ranks, gains, spreads) for name in [*mean.index, RANDOM, *known]]),
        *evidence(networks_told(by_network, spreads)),
        *evidence(rows_of(whole)),
        *evidence(extents(units)),
    ]
