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
from .draws import span
from .gradient_bits import fab_along, fab_ended, slow, told_bits
from .gradient_gains import changes, compared, ends, gains
from .gradient_probe import LAYER, agreement, tunings
from .gradient_telling import (
    UNTOLD,
    advice,
    against,
    by_network,
    median_patch,
    of_few,
    of_networks,
    told_changes,
    told_left_out,
    told_signs,
    verdict,
)
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr
from .surrogates import RELEASED, SURROGATES

QUESTION = Question(
    "gradient",
    14,
    "Which approximation of the gradient works?",
    "The bits of images and layers are steps, which have no gradient to tune by: seven approximations, against finite differences of the loss and by "
    "what they tune to. Gains are dB to ground truth over the calibrated mappings at the same mean bits (FAB, interpolated patch by patch between a "
    "bit fewer and a bit more; a patch that ends beyond these with any approximation is left out); networks count alike, however few their patches; "
    "brackets hold 95 % of draws of patches.",
    "How each approximation of the gradient agrees with finite differences, and where tuning the bits with it ends",
    others={
        "steps": "Change of average bits (FAB) along the tuning, by approximation",
    },
)
TUNED = tuple(SURROGATES)
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


def summary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return agreement, and gain and FAB at the end, a row a network and surrogate; no gain where no patch is compared."""
    ended = ends(tables["patches"])
    means = ended.groupby(["backbone", "surrogate"], sort=False, as_index=False)[["truth", "fp", "fab"]].mean()
    return agreements(tables["gradients"]).merge(means, on=["backbone", "surrogate"], how="left")


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
        "layer cosine": "layers: cosine with\nfinite differences",
    }
    tables = {name: named(table) for name, table in tables.items()}
    ranked = summary(tables).rename(columns={"surrogate": "measure"})
    along = fab_along(tables["steps"])
    drawn = plot_small_multiples(along, "surrogate", "step", "fab", "step of tuning", "change of FAB (simulated bits)")
    return {"": plot_ranking(ranked, titles, RELEASED), "steps": drawn}


def conclusion(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Tell which surrogate tunes the mappings best at equal FAB, and how it agrees with finite differences."""
    tables = {name: named(table) for name, table in tables.items()}
    patches, steps = tables["patches"], int(tables["steps"]["step"].max())
    ended, changed, known = ends(patches), changes(patches), compared(patches)
    found = agreements(tables["gradients"]).groupby("surrogate", sort=False).mean(numeric_only=True)
    behind = (
        f"{told_changes(changed)}{told_left_out(known)} Each tunes the mappings for {steps} steps. "
        f"{told_bits(tables['steps'])} {told_signs(*(found[sign] for sign in _SIGNS.values()))}"
    )
    columns = _columns(changed, fab_ended(tables["steps"]), found)
    measured = [
        row | {"compared at equal FAB": f"{of.sum()} of {len(of)} pairs of patch and seed"}
        for row, (_, of) in zip(extents(patches), known.groupby("backbone", sort=False))
    ]
    if ended.empty:
        return [f"**{UNTOLD}**{behind}", *evidence(list(columns.values())), *evidence(measured)]
    gained, gaps, own = gains(ended), gains(ended, RELEASED), by_network(ended)
    first = verdict(gained, gaps, slow(tables["steps"]), own.shape[1])
    rows = [gain | columns[gain["approximation"]] for gain in _gains(gained, gaps, own)]
    return [
        f"**{first}**{of_few(gained, gaps, own)}{of_networks(own, ended)}{behind}",
        practice(advice(gained, gaps, own.shape[1])),
        *evidence(rows),
        *evidence(measured),
    ]


def _gains(gained: pd.DataFrame, gaps: pd.DataFrame, own: pd.DataFrame) -> list[dict[str, str]]:
    """Cells on gains, a row a surrogate, that of the highest first."""
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
        }
        for name, row in gained.sort_values("mean", ascending=False, kind="stable").iterrows()
    ]


def _columns(changed: pd.DataFrame, fab: pd.Series, found: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Cells that need no equal FAB, by surrogate: what tuning changes, and how it agrees with finite differences."""
    means = changed.mean()
    return {
        name: {
            "approximation": name,
            "change of PSNR by tuning (dB)": signed(means["truth", name]),
            "of FAB": signed(means["fab", name]),
            "of FAB, tuned patches": signed(fab[name]),
            **{heading: f"{found.loc[name, column]:.0%}" for heading, column in _SIGNS.items()},
            **{heading: f"{found.loc[name, column]:.2f}" for heading, column in _AGREEMENTS.items()},
        }
        for name in TUNED
    }
