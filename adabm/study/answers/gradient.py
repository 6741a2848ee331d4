"""Which approximation of the gradient works?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...validation import Count
from ..pages.ranking_figures import plot_ranking
from ..pages.small_multiples import plot_small_multiples
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from . import equal_fab
from .draws import span
from .gradient_bits import fab_along, fab_ended, slow, told_bits
from .gradient_probe import FEWER, LAYER, MORE, UNTUNED, agreement, tunings
from .gradient_telling import advice, against, by_network, median_patch, of_few, of_networks, verdict
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr
from .surrogates import RELEASED, SURROGATES

QUESTION = Question(
    "gradient",
    14,
    "Which approximation of the gradient works?",
    "The bits of images and layers are steps, whose gradient is made up: seven ways to do so, against finite differences of the loss and by what they tune "
    "to. Gains are dB to ground truth over the calibrated mappings at the same mean bits (FAB, interpolated patch by patch between a bit "
    "fewer and a bit more for all images; patches on which bits end beyond these are left out); networks count alike, however few their "
    "patches; brackets hold 95 % of draws of patches.",
    "How each approximation of the gradient agrees with finite differences, and where tuning the bits with it ends",
    others={
        "steps": "Change of average bits (FAB) along the tuning, by approximation",
    },
)
TUNED = tuple(SURROGATES)
_CURVE = (FEWER, UNTUNED, MORE)
_DRAWS = 2000
_SIGNS = {"layers: right sign": "layer sign", "thresholds: right sign": "threshold sign"}
_AGREEMENTS = {
    "layers: cosine": "layer cosine",
    "layers: rank correlation": "layer rank",
    "thresholds: cosine": "threshold cosine",
}


def measure(
    bench: Bench,
    run: Run,
    pictures: int,
    side: int,
    compared: Mapping[str, int],
    tuned: Mapping[str, float],
    count: int,
) -> dict[str, pd.DataFrame]:
    """Return the tables ``gradients``, ``steps`` and ``patches`` of one model.

    Args:
        pictures: random calibration pictures.
        side: of the patches that gradients are taken on, LR pixels.
        compared: ``size`` of a batch and number of ``batches`` that are compared with finite differences.
        tuned: ``size`` of a batch, number of ``steps`` and learning rate ``lr`` of layers of the tunings.
        count: patches of each set that are measured.

    Raises:
        ConfigError: ``compared`` or ``tuned`` has an unknown key or lacks one.
    """
    check_keys("compared", compared, ["size", "batches"], kinds={"size": Count, "batches": Count})
    check_keys("tuned", tuned, ["size", "steps", "lr"], kinds={"size": Count, "steps": Count})
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    truth = probe.found(agreement, run, pictures, side, compared["size"], compared["batches"])
    ends = probe.found(tunings, run, pictures, side, tuned["size"], tuned["steps"], tuned["lr"], count)
    found = {"gradients": truth["rows"], "steps": ends["steps"], "patches": ends["rows"]}
    keys = dict(backbone=bench.backbone.stem, setting=run.setting, seed=run.seed)
    return {name: pd.DataFrame(rows).assign(**keys) for name, rows in found.items()}


def joined(found: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return the tables of several models as one each, values rounded to what is kept."""
    tables = {name: pd.concat([tables[name] for tables in found], ignore_index=True) for name in found[0]}
    return {name: table.map(_rounded) for name, table in tables.items()}


def _rounded(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def agreements(gradients: pd.DataFrame) -> pd.DataFrame:
    """Return how gradients agree with finite differences: a row a network and surrogate, means over batches and seeds.

    Columns ``layer sign`` and ``threshold sign``: share of parameters whose gradient has the sign of the difference, where
    that is not 0; ``layer cosine`` and ``threshold cosine``: between the vectors; ``layer rank``: Spearman's correlation.
    """
    rows = []
    for (backbone, _seed, _batch), here in gradients.groupby(["backbone", "seed", "batch"], sort=False):
        layer = here["parameter"] == LAYER
        for name in TUNED:
            row: dict[str, object] = dict(backbone=backbone, surrogate=name)
            for kind, chosen in (("layer", here[layer]), ("threshold", here[~layer])):
                one, truth = chosen[name].to_numpy(), chosen["difference"].to_numpy()
                moved = truth != 0
                row[f"{kind} sign"] = (np.sign(one) == np.sign(truth))[moved].mean() if moved.any() else np.nan
                row[f"{kind} cosine"] = _cosine(one, truth)
            row["layer rank"] = here.loc[layer, name].corr(here.loc[layer, "difference"], method="spearman")
            rows.append(row)
    return pd.DataFrame(rows).groupby(["backbone", "surrogate"], sort=False, as_index=False).mean()


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths else np.nan


def _comparable(patches: pd.DataFrame) -> pd.DataFrame:
    return equal_fab.reached(patches, "surrogate", TUNED, _CURVE)


def ends(patches: pd.DataFrame) -> pd.DataFrame:
    """Return what tuning gained on the mappings as calibrated at the FAB of that patch: a row a network, patch and surrogate.

    What was calibrated has that FAB between a bit fewer and one more for all images, interpolated; a patch and seed at which some
    surrogate ends beyond these is left out. Columns ``truth`` and ``fp``: dB to ground truth and to full precision; ``fab``. Means
    over seeds.
    """
    keys, rows = ["backbone", "dataset", "patch"], []
    for names, here in _comparable(patches).groupby([*keys, "seed"], sort=False):
        of = here.set_index("surrogate")
        rows += [dict(zip(keys, names), surrogate=name, **equal_fab.gains(of, name, _CURVE)) for name in TUNED]
    return pd.DataFrame(rows).groupby([*keys, "surrogate"], sort=False, as_index=False).mean()


def gains(ended: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Return by surrogate the mean gain to ground truth, with ``least`` and ``most`` of 95 % of 2,000 draws of patches.

    Patches are drawn with replacement within their network; networks count alike. ``median``: that of a network's patches,
    which one patch alone does not move, in the mean of the networks.

    Args:
        reference: surrogate that the gain is on; None: the mappings as calibrated.
    """
    wide = ended.pivot_table(index=["backbone", "dataset", "patch"], columns="surrogate", values="truth", sort=False)
    wide = wide if reference is None else wide.sub(wide[reference], axis=0)
    rng = np.random.default_rng(0)
    networks = [here for _, here in wide.groupby("backbone", sort=False)]
    places = [rng.integers(0, len(here), (_DRAWS, len(here))) for here in networks]
    rows = {}
    for name in TUNED:
        drawn = np.mean([here[name].to_numpy()[place].mean(1) for here, place in zip(networks, places)], axis=0)
        least, most = np.quantile(drawn, [0.025, 0.975])
        median, mean = (np.mean([of(here[name]) for here in networks]) for of in (np.median, np.mean))
        rows[name] = dict(mean=mean, least=least, most=most, median=median)
    return pd.DataFrame(rows).T


def summary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return agreement, and gain and FAB at the end, a row a network and surrogate."""
    ended = ends(tables["patches"])
    means = ended.groupby(["backbone", "surrogate"], sort=False, as_index=False)[["truth", "fp", "fab"]].mean()
    return agreements(tables["gradients"]).merge(means, on=["backbone", "surrogate"])


def table(patches: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth and FAB after tuning with each surrogate, on each set and by seed."""
    rows, full = [], {}
    keys = ["backbone", "dataset", "surrogate", "seed"]
    for (backbone, dataset, name, seed), here in patches.groupby(keys, sort=False):
        full[backbone, dataset] = psnr(here["full"].to_numpy()).mean()
        told = dict(backbone=backbone, dataset=dataset, setting=here["setting"].iloc[0], series="tuned mappings")
        told |= dict(variable="surrogate", level=name, seed=int(seed), pictures=len(here))
        rows.append(told | dict(psnr_y_db=psnr(here["truth"].to_numpy()).mean(), fab=here["fab"].mean()))
    return mapping_table(QUESTION.id, rows, full)


def figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw gain and agreement of each surrogate; and, apart, FAB along the tuning."""
    titles = {
        "truth": "gain of tuning at equal\nFAB (dB to ground truth)",
        "layer cosine": "gradients of layers: cosine\nwith finite differences",
    }
    tables = {name: named(table) for name, table in tables.items()}
    ranked = summary(tables).rename(columns={"surrogate": "measure"})
    along = fab_along(tables["steps"])
    drawn = plot_small_multiples(along, "surrogate", "step", "fab", "step of tuning", "change of FAB (simulated bits)")
    return {"": plot_ranking(ranked, titles, RELEASED), "steps": drawn}


def conclusion(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Tell which surrogate tunes the mappings best at equal FAB, and how its gradient agrees with finite differences."""
    tables = {name: named(table) for name, table in tables.items()}
    kept = _comparable(tables["patches"])
    ended = ends(kept)
    gained, gaps = gains(ended), gains(ended, RELEASED)
    steps = int(tables["steps"]["step"].max())
    found = agreements(tables["gradients"]).groupby("surrogate", sort=False).mean(numeric_only=True)
    own = by_network(ended)
    first = verdict(gained, gaps, slow(tables["steps"]), own.shape[1])
    told = (
        f"**{first}**{of_few(gained, gaps, own)}{of_networks(own, ended)}{equal_fab.told_left_out(tables['patches'], kept)} "
        f"Each tunes the mappings for {steps} steps. "
        f"{told_bits(tables['steps'])} Most slopes agree on the sign of a layer's gradient, and Adam divides "
        "its size out: against finite differences of the loss the gradient of a layer "
        f"has the right sign in {found.loc[RELEASED, 'layer sign']:.0%} of cases with tanh (chance: 50%)."
    )
    rows = _rows(gained, gaps, own, found, fab_ended(tables["steps"]))
    return [told, practice(advice(gained, gaps, own.shape[1])), *evidence(rows), *evidence(extents(kept))]


def _rows(
    gained: pd.DataFrame, gaps: pd.DataFrame, own: pd.DataFrame, found: pd.DataFrame, fab: pd.Series
) -> list[dict[str, str]]:
    """Rows by surrogate, that of the highest gain first."""
    return [
        {
            "approximation": name,
            "gain at equal FAB (dB)": signed(row["mean"]),
            "95 % of draws of patches": span(row["least"], row["most"]),
            **({f"on {several(list(own))}": ", ".join(map(signed, own.loc[name]))} if own.shape[1] > 1 else {}),
            "against tanh (dB), 95 % of draws": "" if name == RELEASED else against(gaps.loc[name]),
            f"against tanh, {median_patch(own.shape[1]).rstrip(',')}": ""
            if name == RELEASED
            else signed(gaps.loc[name, "median"]),
            "change of FAB": signed(fab[name]),
            **{heading: f"{found.loc[name, column]:.0%}" for heading, column in _SIGNS.items()},
            **{heading: f"{found.loc[name, column]:.2f}" for heading, column in _AGREEMENTS.items()},
        }
        for name, row in gained.sort_values("mean", ascending=False, kind="stable").iterrows()
    ]
