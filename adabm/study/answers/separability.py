"""Why may image and layer be separated?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.separability_figures import plot_separability
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from . import separability_measures
from .dealing import factors_by
from .draws import DRAWN, with_ends
from .measured import extents, few_patches, told_extents
from .probing import Probe, mapping_table, psnr
from .separability_gains import ADABM, JOINT, SAME, SEPARATE, between, gains, mean_gains, spreads
from .separability_measures import best_joint, best_separate
from .separability_telling import told_first, told_joint, told_larger, told_practice

QUESTION = Question(
    "separability",
    11,
    "Why may image and layer be separated?",
    "AdaBM's bits are a sum: a picture's factor and a layer's. Here rounding one layer alone gives an error of each patch, layer and "
    "number of bits; it is told how much of that a sum of a patch's and a layer's effect explains, and what bits gain, over the same bits "
    "for all at the same mean bits (FAB): by AdaBM's mappings, the best sum (separate), and the best for each picture and layer (joint). "
    "The best ones are oracles: a search chose them from the errors of the very patches measured on. Models are not fine-tuned; brackets "
    "and whiskers hold 95 % of draws of patches and seeds. Gains to the full-precision output are PSNR of the error of all patches "
    "together; gains to ground truth are of mean PSNR.",
    "Shares of picture, layer and their interaction in the error, and what AdaBM's, separate and joint bits gain to the full-precision output",
)
ADDED = (-2, -1, 0, 1, 2)  # bits beside the base: what two factors of one bit each can add up to
_REACH = 1  # of a factor
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
    shares = _by_seed(units).drop(columns="seed")
    return shares.groupby(["backbone", "added"], sort=False).mean().reset_index()


def _by_seed(units: pd.DataFrame) -> pd.DataFrame:
    """The shares of each network, seed and bits."""
    rows = []
    for (backbone, seed), here in units.groupby(["backbone", "seed"], sort=False):
        _, _, table = cube(here)
        for place, more in enumerate(ADDED):
            values = np.log(np.maximum(table[..., place], 1e-9))
            centred = values - values.mean()
            total = (centred**2).mean()
            picture, layer = ((centred.mean(axis) ** 2).mean() / total for axis in (1, 0))
            rows.append(dict(backbone=backbone, seed=seed, added=more, picture=picture, layer=layer))
    return pd.DataFrame(rows).assign(interaction=lambda of: 1 - of["picture"] - of["layer"])


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
    policies = named(policies)
    gained = between(mean_gains(gains(policies)), spreads(policies))
    return {"": plot_separability(explained(named(units)), gained)}


def conclusion(units: pd.DataFrame, policies: pd.DataFrame) -> list[str]:
    """Tell how much a sum explains, what joint bits gain beyond separate ones, how large both search spaces are, and how sure that is."""
    units, policies = named(units), named(policies)
    shares, gained, drawn_gains = explained(units), mean_gains(gains(policies)), spreads(policies)
    additive = 1 - shares["interaction"].mean()
    fp = gained.groupby("policy")["to_fp_db"].mean()
    more = (drawn_gains[JOINT] - drawn_gains[SEPARATE])[..., 0].mean(1)
    told = (
        f"{answer(told_first(additive, fp, more))} Both searches add up the errors of single layers, as if they did not meet. A new "
        f"picture costs a separate policy one comparison, a joint one a search. {told_joint(gained, drawn_gains)}"
    )
    sums = 1 - _by_seed(units).groupby(["backbone", "seed"])["interaction"].mean()
    sure = f"This rests on {told_extents(units)}. From network to network and seed to seed a sum explains {sums.min():.0%} to {sums.max():.0%}."
    return [
        told,
        sure,
        practice(told_practice(gained, drawn_gains, few_patches(policies)) + told_larger(shares)),
        *evidence(_rows(gained, drawn_gains)),
        *evidence(_parts(units, shares)),
        *evidence(extents(units)),
    ]


def _rows(gained: pd.DataFrame, drawn_gains: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
    """Rows by network and policy, the mean of several networks first, with what draws make of them."""
    networks = list(dict.fromkeys(gained["backbone"]))
    places = {network: [place] for place, network in enumerate(networks)}
    if len(networks) > 1:
        places = {"all, in the mean": list(range(len(networks)))} | places
    headings = {"PSNR to full precision (dB)": "to_fp_db", "to ground truth (dB)": "truth_db"}
    rows = []
    for network, place in places.items():
        here = gained[gained["backbone"].isin([networks[index] for index in place])]
        for policy, of in here.groupby("policy", sort=False):
            row = {"network": network, "bits, against the same for all": policy}
            for side, (heading, column) in enumerate(headings.items()):
                values = drawn_gains[policy][:, place, side].mean(1)
                row[f"{heading}, {DRAWN}"] = with_ends(of[column].mean(), values)
            rows.append(row)
    return rows


def _parts(units: pd.DataFrame, shares: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by network: what the variance of the log error consists of, and how many policies are possible."""
    rows = []
    for backbone, here in shares.groupby("backbone", sort=False):
        mean = here[["layer", "picture", "interaction"]].mean()
        own = units[units["backbone"] == backbone]
        separate, joint = _spaces(own[own["seed"] == own["seed"].iloc[0]])
        row = {"variance of the log error": backbone} | {f"by {name}": f"{share:.0%}" for name, share in mean.items()}
        rows.append(
            row | {"possible separate policies": f"10^{separate:.0f}", "possible joint policies": f"10^{joint:.0f}"}
        )
    return rows


def _spaces(units: pd.DataFrame) -> tuple[float, float]:
    """Decimal logarithm of the numbers of possible separate and joint policies for one model's patches and layers."""
    patches, layers, _ = cube(units)
    separate = (len(patches) + len(layers)) * np.log10(2 * _REACH + 1)
    return separate, len(patches) * len(layers) * np.log10(len(ADDED))
