"""Why may image and layer be separated?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.separability_figures import plot_separability
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from . import separability_measures
from .dealing import factors_by
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr
from .separability_measures import best_joint, best_separate

QUESTION = Question(
    "separability",
    11,
    "Why may image and layer be separated?",
    "The error of each patch, layer and bits: how much of it a sum of a patch's and a layer's effect explains, and what bits "
    "chosen for both at once gain over bits that are a sum.",
    "Shares of picture, layer and their interaction in the error, and what separate and joint bits gain",
)
SAME, ADABM, SEPARATE, JOINT = "same for all", "AdaBM's mappings", "best separate", "best joint"
ADDED = (-2, -1, 0, 1, 2)  # bits beside the base: what two factors of one bit each can add up to
_REACH, _MOST, _NEARLY = 1, 0.9, 0.8  # of a factor; shares that are called nearly all and most
WITHOUT = {"tune": None, "map_bits": None}  # changes of AdaBM: no fine-tuning, the same bits everywhere


def measure(
    bench: Bench, method: str, setting: str, seed: int, pictures: int, side: int, count: int, shares: Sequence[float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the errors, a row a patch and layer, and the measured policies, a row a policy and patch.

    Args:
        method: gives ranges and weights; it is not fine-tuned, and its mappings are left out.
        pictures: random calibration pictures.
        side, count: patches of each set, LR pixels.
        shares: of the patches, and of the layers, to which AdaBM's mappings give a bit more, and of those that get one fewer.
    """
    run = Run.at(method, setting, seed, WITHOUT)
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    names = tuple(path.name for path in probe.calibration)
    found = probe.found(separability_measures.errors, names, side, count, ADDED)
    units = pd.DataFrame(found["rows"])
    bits = choices(units, found["complexity"], found["deviation"], shares)
    measured = pd.DataFrame(probe.found(separability_measures.policies, bits, side, count)["rows"])
    keys = dict(backbone=bench.backbone.stem, setting=setting, seed=seed)
    return units.assign(**keys), measured.assign(**keys)


def cube(units: pd.DataFrame) -> tuple[list[str], list[str], np.ndarray]:
    """Return the patches, the layers, and the (patches, layers, bits) errors of one model."""
    units = units.assign(place=units["dataset"] + " " + units["patch"])
    patches, layers = list(dict.fromkeys(units["place"])), list(dict.fromkeys(units["layer"]))
    indexed = units.set_index(["place", "layer"])[[f"{more:+d}" for more in ADDED]]
    values = indexed.reindex(pd.MultiIndex.from_product([patches, layers])).to_numpy()
    return patches, layers, values.reshape(len(patches), len(layers), len(ADDED))


def choices(
    units: pd.DataFrame, complexity: dict[str, float], deviation: dict[str, float], shares: Sequence[float]
) -> dict[str, dict[str, dict[str, int]]]:
    """Return by policy and patch the bits that each layer adds; in the mean over both none."""
    patches, layers, table = cube(units)
    released = (
        factors_by(np.array([complexity[name] for name in patches]), shares[0]),
        factors_by(np.array([deviation[name] for name in layers]), shares[1]),
    )
    images, of_layers = best_separate(table, ADDED, _REACH)
    chosen = {
        SAME: np.zeros(table.shape[:2], int),
        ADABM: released[0][:, None] + released[1],
        SEPARATE: images[:, None] + of_layers,
        JOINT: best_joint(table, ADDED),
    }
    named = lambda bits: {p: {k: int(b) for k, b in zip(layers, row)} for p, row in zip(patches, bits)}
    return {policy: named(bits) for policy, bits in chosen.items()}


def explained(units: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the variance of the log error: ``picture``, ``layer``, and ``interaction``, what their sum leaves.

    A row a network and bits, mean of seeds: a two-way analysis of variance without replication.
    """
    rows = []
    for (backbone, _), here in units.groupby(["backbone", "seed"], sort=False):
        _, _, table = cube(here)
        for place, more in enumerate(ADDED):
            values = np.log(np.maximum(table[..., place], 1e-9))
            centred = values - values.mean()
            total = (centred**2).mean()
            picture, layer = ((centred.mean(axis) ** 2).mean() / total for axis in (1, 0))
            rows.append(dict(backbone=backbone, added=more, picture=picture, layer=layer))
    shares = pd.DataFrame(rows).groupby(["backbone", "added"], sort=False).mean().reset_index()
    return shares.assign(interaction=1 - shares["picture"] - shares["layer"])


def gains(policies: pd.DataFrame) -> pd.DataFrame:
    """Return what each policy gives over the same bits for all, in dB: ``to_fp_db`` of the pooled error, ``truth_db``; seeds' mean."""
    rows = []
    for (backbone, seed), here in policies.groupby(["backbone", "seed"], sort=False):
        base = here[here["policy"] == SAME]
        for policy, of in here.groupby("policy", sort=False):
            to_fp = psnr(of["fp"].mean()) - psnr(base["fp"].mean())
            truth = psnr(of["truth"].to_numpy()).mean() - psnr(base["truth"].to_numpy()).mean()
            rows.append(dict(backbone=backbone, seed=seed, policy=policy, to_fp_db=to_fp, truth_db=truth))
    return pd.DataFrame(rows)


def table(policies: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on each set, with bits by each policy."""
    rows, full = [], {}
    keys = ["backbone", "dataset", "setting", "policy", "seed"]
    for (backbone, dataset, setting, policy, seed), here in policies.groupby(keys, sort=False):
        full[backbone, dataset] = float(psnr(here["truth fp"].to_numpy()).mean())
        row = dict(backbone=backbone, dataset=dataset, setting=setting, series="bits", variable="policy", level=policy)
        row |= dict(seed=seed, pictures=len(here), fab=here["fab"].mean())
        rows.append(row | dict(psnr_y_db=float(psnr(here["truth"].to_numpy()).mean())))
    return mapping_table(QUESTION.id, rows, full)


def figures(units: pd.DataFrame, policies: pd.DataFrame) -> dict[str, Figure]:
    """Draw what the error consists of, and what each policy gains."""
    return {"": plot_separability(explained(named(units)), _mean_gains(named(policies)))}


def _mean_gains(policies: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds of each network and policy but the same bits for all."""
    found = gains(policies)
    found = found[found["policy"] != SAME].groupby(["backbone", "policy"], sort=False)[["to_fp_db", "truth_db"]]
    return found.mean().join(found.std().fillna(0).add_suffix("_std")).reset_index()


def conclusion(units: pd.DataFrame, policies: pd.DataFrame) -> list[str]:
    """Tell how much a sum explains, what joint bits gain beyond separate ones, and how large both search spaces are."""
    units, policies = named(units), named(policies)
    shares, gained = explained(units), _mean_gains(policies)
    additive = 1 - shares["interaction"].mean()
    fp, truth = (gained.groupby("policy")[kind].mean() for kind in ("to_fp_db", "truth_db"))
    told = (
        f"**{_first(additive, fp)}** Both searches add up the errors of single layers, as if they did not meet. A new picture costs a "
        "separate policy one comparison, a joint one a search."
    )
    rows = _parts(units, shares)
    return [told, practice(_advice(fp, truth)), *evidence(_rows(gained)), *evidence(rows), *evidence(extents(units))]


def _rows(gained: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network and policy, the mean of several networks first."""
    values = ["to_fp_db", "truth_db"]
    if gained["backbone"].nunique() > 1:
        mean = gained.groupby("policy", sort=False)[values].mean().reset_index().assign(backbone="all, in the mean")
        gained = pd.concat([mean, gained], ignore_index=True)
    return [
        {
            "network": row["backbone"],
            "bits, against the same for all": row["policy"],
            "PSNR to full precision (dB)": signed(row["to_fp_db"]),
            "to ground truth (dB)": signed(row["truth_db"]),
        }
        for _, row in gained.iterrows()
    ]


def _parts(units: pd.DataFrame, shares: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network: what the variance of the log error consists of, and how many choices there are."""
    rows = []
    for backbone, here in shares.groupby("backbone", sort=False):
        mean = here[["layer", "picture", "interaction"]].mean()
        own = units[units["backbone"] == backbone]
        separate, joint = _spaces(own[own["seed"] == own["seed"].iloc[0]])
        row = {"log error": backbone} | {f"by {name}": f"{share:.0%}" for name, share in mean.items()}
        rows.append(row | {"separate choices": f"10^{separate:.0f}", "joint choices": f"10^{joint:.0f}"})
    return rows


def _first(additive: float, fp: pd.Series) -> str:
    joint, separate = fp[JOINT], fp[SEPARATE]
    if separate >= joint:
        worth = "and bits chosen for each picture and layer gain nothing over a sum of two factors"
    elif joint > 0 and separate >= _NEARLY * joint:
        worth = f"and a sum of two factors earns {separate / joint:.0%} of what bits for each picture and layer do"
    else:
        worth = f"but bits for each picture and layer gain {joint - separate:.2f} dB to the full-precision output over a sum of two factors"
    if additive >= _MOST:
        return f"Image and layer may be separated: a sum of both explains {additive:.0%} of the log error, {worth}."
    if additive >= 0.5:
        return f"Image and layer may be separated roughly: a sum of both explains {additive:.0%} of the log error, {worth}."
    return f"Image and layer cannot be separated: a sum of both explains only {additive:.0%} of the log error, {worth}."


def _spaces(units: pd.DataFrame) -> tuple[float, float]:
    """Decimal logarithm of the numbers of separate and of joint choices for one model's patches and layers."""
    patches, layers, _ = cube(units)
    separate = (len(patches) + len(layers)) * np.log10(2 * _REACH + 1)
    return separate, len(patches) * len(layers) * np.log10(len(ADDED))


def _advice(fp: pd.Series, truth: pd.Series) -> str:
    """What follows from the gains over the same bits for all (dB) to the full-precision output and to ground truth."""
    if fp[ADABM] <= 0:
        earned = (
            f"earn {fp[SEPARATE] / fp[JOINT]:.0%} of what bits chosen for each picture and layer do"
            if 0 < fp[SEPARATE] < fp[JOINT]
            else "lose nothing"
        )
        return (
            f"A picture's and a layer's factor that are added {earned}, to the full-precision output; what loses is how AdaBM chooses "
            f"them: its own give {fp[ADABM]:+.2f} dB in the mean, against the same bits for all, where the best ones give {fp[SEPARATE]:+.2f}."
        )
    if fp[JOINT] > fp[SEPARATE] > 0:
        told = f"Keep the two factors: AdaBM's earn {fp[ADABM] / fp[JOINT]:.0%} of what a search over every picture and layer finds"
    else:
        told = "Keep the two factors: a search over every picture and layer finds nothing better"
    return f"{told}, to the full-precision output." + (
        f" To ground truth they lose {-truth[ADABM]:.2f} dB against the same bits for all." if truth[ADABM] < 0 else ""
    )
