"""Must clipping follow the bits?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..pages.clipping_figures import plot_clipping, plot_kept, plot_owed
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from . import clipping_measures
from .clipping_measures import EVERY, MINMAX, RELEASED, RULES
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "clipping",
    12,
    "Must clipping follow the bits?",
    "Ranges that the released search finds for some bits, used at others; and the bits and patches that are searched at and on.",
    "Share of its range that a layer keeps by bits, and what a range found for other bits costs",
)
KINDS = {"fp": "to the full-precision output", "truth": "to ground truth"}
_LITTLE, _RESAMPLED, _MOST = 0.1, 400, 0.8  # dB; draws; of what all layers owe


def measure(
    bench: Bench,
    method: str,
    setting: str,
    seed: int,
    bits: Sequence[int],
    owed: Sequence[Sequence[int]],
    pictures: int,
    side: int,
    count: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return errors, a row a patch and choice of ranges, and the layers, a row a layer: shares of its range, what it owes.

    Args:
        method: without fine-tuning and clipping it gives weights, mappings and the ranges that are shrunk.
        bits: for which ranges are searched, and at which they are used; none: the mapped model alone.
        owed: pairs of bits (found for, used at) whose cost is told layer by layer.
        pictures: random calibration pictures.
        side, count: patches of each set, LR pixels.
    """
    run = Run.at(method, setting, seed, {"tune": None, "clip": None})
    probe = Probe(bench, run, bench.choose("random", pictures, run))
    names = tuple(path.name for path in probe.calibration)
    rows = probe.found(clipping_measures.rules, names, seed, side, count)["rows"]
    layers = pd.DataFrame()
    if bits:
        ranges = probe.found(clipping_measures.ranges, names, seed, list(bits))
        found = ranges["found"]
        matrix = probe.found(clipping_measures.mismatch, found, list(bits), side, count)["rows"]
        rows += [row for row in matrix if row["level"] != "none"]
        kept = {f"kept {of}": of_bits for of, of_bits in found.items()} | {"kept all": ranges["all"]}
        layers = pd.DataFrame({name: _shares(chosen, ranges["minmax"]) for name, chosen in kept.items()})
        for of, used in owed:
            cost = probe.found(clipping_measures.owed, found[str(used)], found[str(of)], used, side, count)
            layers = layers.reindex([*ranges["minmax"], EVERY])
            layers[f"owed {of} at {used}"] = pd.Series(cost)
        layers = layers.rename_axis("layer").reset_index()
    keys = dict(backbone=bench.backbone.stem, setting=setting, method=method, seed=seed)
    return pd.DataFrame(rows).assign(**keys), layers.assign(**keys)


def _shares(chosen: Mapping[str, Sequence[float]], whole: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: (chosen[name][1] - chosen[name][0]) / (upper - lower) for name, (lower, upper) in whole.items()}


def table(units: pd.DataFrame) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on each set, mean over patches."""
    rows, full = [], {}
    keys = ["backbone", "dataset", "setting", "method", "series", "level", "seed"]
    for (backbone, dataset, setting, method, series, level, seed), here in units.groupby(keys, sort=False):
        value = float(psnr(here["truth"].to_numpy()).mean())
        if level == "none":
            full[backbone, dataset] = value
            continue
        variable = "search" if series == "search" else "bits used"
        row = dict(backbone=backbone, dataset=dataset, setting=setting, variable=variable, level=level, seed=seed)
        rows.append(
            row | dict(series=f"{series}, {method}", psnr_y_db=value, fab=here["fab"].mean(), pictures=len(here))
        )
    return mapping_table(QUESTION.id, rows, full)


def pivoted(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return PSNR in dB of ``kind`` ("fp" or "truth"): rows are network, patch and seed, columns series and level."""
    here = units[units["level"] != "none"]
    here = here.assign(psnr=psnr(here[kind].to_numpy()), patch=here["dataset"] + " " + here["patch"])
    return here.pivot_table(index=["backbone", "patch", "seed"], columns=["series", "level"], values="psnr", sort=False)


def gaps(units: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what ranges found for some bits (rows) give at others (columns) beside the matched ones, in dB: networks' mean."""
    means = _means(pivoted(_matrix(units), kind))
    bits = sorted({int(level) for _, level in means.index})
    square = pd.DataFrame({used: {of: means[f"found for {of} bits", str(used)] for of in bits} for used in bits})
    return square - np.diag(square)


def searches(units: pd.DataFrame, method: str, kind: str) -> pd.Series:
    """Return PSNR in dB of the mapped model by how its ranges were searched: mean of the networks."""
    here = units[(units["method"] == method) & (units["series"] == "search")]
    return _means(pivoted(here, kind))["search"].reindex(RULES)


def _matrix(units: pd.DataFrame) -> pd.DataFrame:
    return units[units["series"].str.startswith("found for")]


def _means(values: pd.DataFrame) -> pd.Series:
    return values.groupby("backbone").mean().mean()


def clear(values: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a difference has the same sign in 95 % of 400 draws of patches and of seeds, with replacement, of each network."""
    rng, networks = np.random.default_rng(0), []
    for _, here in (values[one] - values[other]).groupby("backbone"):
        networks.append(here.unstack("seed").to_numpy())
    drawn = []
    for _ in range(_RESAMPLED):
        parts = [n[rng.integers(0, len(n), len(n))][:, rng.integers(0, n.shape[1], n.shape[1])] for n in networks]
        drawn.append(np.mean([part.mean() for part in parts]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return bool(low > 0 or high < 0)


def shares_owed(layers: pd.DataFrame, pair: str) -> pd.DataFrame:
    """Return the share that each layer has in what layers owe alone, largest first: columns backbone, layer and share."""
    here = layers[(layers["layer"] != EVERY) & layers[pair].notna()]
    total = here[pair].clip(lower=0).groupby(here["backbone"]).transform("sum").clip(lower=1e-12)
    told = here[["backbone", "layer"]].assign(share=here[pair].clip(lower=0) / total)
    return told.sort_values("share", ascending=False, kind="stable")


def pairs(layers: pd.DataFrame) -> list[str]:
    """The columns that tell what layers owe: ``owed 8 at 3``."""
    return [name for name in layers if name.startswith("owed ")]


def figures(units: pd.DataFrame, layers: pd.DataFrame, method: str) -> dict[str, Figure]:
    """Draw the cost of other ranges and the searches; and, apart, shares kept and what each layer owes."""
    gains, layers = searches(units, method, "fp"), named(layers)
    return {
        "": plot_clipping(gaps(units, "fp"), gains - gains[MINMAX]),
        "kept": plot_kept(layers[layers["layer"] != EVERY]),
        "layers": plot_owed({pair: shares_owed(layers, pair) for pair in pairs(layers)}),
    }


def conclusion(units: pd.DataFrame, layers: pd.DataFrame, method: str) -> list[str]:
    """Tell what ranges of other bits cost, which layers owe it, and what that makes of the released search."""
    units, layers = named(units), named(layers)
    return [
        _first(units),
        _of_layers(layers),
        *_of_searches(units, method),
        *evidence(_matched(units, layers)),
        *evidence(_owed(layers)),
        *evidence(_searched(units, method)),
        *evidence(extents(units)),
    ]


def _first(units: pd.DataFrame) -> str:
    cost, values = -gaps(units, "fp"), pivoted(_matrix(units), "fp")
    low, high = cost.index.min(), cost.index.max()
    costly = {of: _costly(cost, values, of) for of in (low, high)}
    wide, narrow = (
        f"the range found for {of} bits {_costs(cost, values, of, used, costly[of])}"
        for of, used in ((high, low), (low, high))
    )
    better = {used: of for used, of in cost.idxmin().items() if cost.loc[of, used] < -_LITTLE}
    if low in costly[high] and high in costly[low]:
        head = f"**Clipping should {'roughly ' if better else ''}follow the bits: {wide}, and {narrow}.**"
    elif low in costly[high]:
        head = f"**Clipping should follow the bits down, not up: {wide}; the range found for {low} bits does at {high} too.**"
    elif high in costly[low]:
        head = f"**Clipping should follow the bits up, not down: {narrow}; the range found for {high} bits does at {low} too.**"
    else:
        head = f"**Clipping need not follow the bits here: {wide}, and {narrow}.**"
    head += _of_runs(values, high, low)
    told = f"{_good_from(cost, high)} This is PSNR to the full-precision output; what clipping adds to AdaBM's other parts is asked on the page of components."
    if better:
        more = "more" if all(of > used for used, of in better.items()) else "other"
        told += (
            f" The range of {more} bits can be better than the matched one: the search looks at a layer's input alone, "
            "where it pays to clip more than the output bears."
        )
    return head + told


def _costly(cost: pd.DataFrame, values: pd.DataFrame, of: int) -> list[int]:
    """At how many bits a range found for some costs more than 0.1 dB, clearly."""
    return [
        int(used)
        for used in cost.columns
        if cost.loc[of, used] > _LITTLE
        and clear(values, (f"found for {used} bits", str(used)), (f"found for {of} bits", str(used)))
    ]


def _lost(values: pd.DataFrame, of: int, used: int) -> pd.Series:
    """What a range costs by network and seed, in dB."""
    lost = values[f"found for {used} bits", str(used)] - values[f"found for {of} bits", str(used)]
    return lost.groupby(["backbone", "seed"], sort=False).mean()


def _costs(cost: pd.DataFrame, values: pd.DataFrame, of: int, used: int, costly: Sequence[int]) -> str:
    """Tell at which bits a range clearly costs something, and how much at one of them, from network to network."""
    of_networks = _lost(values, of, used).groupby("backbone").mean()
    by = f", {of_networks.min():z.1f} to {of_networks.max():z.1f} by network" if len(of_networks) > 1 else ""
    if used not in costly:
        return f"costs {cost.loc[of, used]:z.1f} dB at {used}{by}, not clearly"
    return (
        f"clearly costs at {several([str(bits) for bits in costly])} bits ({cost.loc[of, used]:.1f} dB at {used}{by})"
    )


def _of_runs(values: pd.DataFrame, high: int, low: int) -> str:
    """How far single runs are apart in the two costs of the answer."""
    runs = [_lost(values, of, used) for of, used in ((high, low), (low, high))]
    if len(runs[0]) < 2:
        return ""
    told = [f"{signed(lost.min(), 1)} to {signed(lost.max(), 1)} dB at {used}" for lost, used in zip(runs, (low, high))]
    return f" In single runs (a network and seed) the cost is {several(told)}."


def _good_from(cost: pd.DataFrame, high: int) -> str:
    """From how many bits up the range of the most bits costs nothing, if it costs something below."""
    good = [int(used) for used in cost.columns if (cost.loc[high, cost.columns[cost.columns >= used]] <= _LITTLE).all()]
    if not good or min(good) in (high, cost.columns.min()):
        return ""
    return f" From {min(good)} bits up the range found for {high} bits is as good as that of the bits used."


def _of_layers(layers: pd.DataFrame) -> str:
    kept = _kept(layers)
    low, high = kept.columns.min(), kept.columns.max()
    texts = [
        f"{row[low]:.0%} of its range at {low} bits and {row[high]:.0%} at {high}"
        + (f" on {name}" if len(kept) > 1 else "")
        for name, row in kept.iterrows()
    ]
    told = f"The median layer keeps {'; '.join(texts)}."
    shares = [shares_owed(layers, pair)["share"].max() for pair in pairs(layers)]
    return told + (f" Of what other bits' ranges cost, no layer owes more than {max(shares):.0%}." if shares else "")


def _kept(layers: pd.DataFrame) -> pd.DataFrame:
    """Share of the range that the median layer keeps: a row a network, a column for the bits that it was searched at."""
    names = {name: int(name.split()[1]) for name in layers if name.startswith("kept ") and name != "kept all"}
    own = layers[layers["layer"] != EVERY].groupby("backbone", sort=False)[list(names)].median()
    return own.rename(columns=names)


def _matched(units: pd.DataFrame, layers: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by bits used: what the ranges of most, fewest and the best bits give against the matched one, and what is kept."""
    gain, truth = gaps(units, "fp"), gaps(units, "truth")
    ends, kept = (gain.index.max(), gain.index.min()), _kept(layers).mean()
    rows = []
    for used in gain:
        best = gain[used].idxmax()
        row = {"at bits": str(used), "a layer keeps (median)": f"{kept[used]:.0%}"}
        for of in ends:
            row[f"range of {of} bits (dB)"] = signed(gain.loc[of, used], 1) if of != used else "matched"
            row[f"range of {of} bits (dB to ground truth)"] = (
                signed(truth.loc[of, used], 1) if of != used else "matched"
            )
        rows.append(row | {"best range": f"of {best} bits" if best != used else "matched"})
        rows[-1] |= {"best range (dB)": signed(gain.loc[best, used], 1)}
    return rows


def _owed(layers: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by pair of bits and network: which layer owes most of the cost, one layer at a time, and how many owe 80 %."""
    rows = []
    for pair in pairs(layers):
        _, of, _, used = pair.split()
        for backbone, here in shares_owed(layers, pair).groupby("backbone", sort=False):
            needed = int((here["share"].cumsum() < _MOST - 1e-9).sum()) + 1
            row = {"ranges": f"of {of} bits used at {used}", "network": backbone, "owes most": here.iloc[0]["layer"]}
            row |= {"its share": f"{here.iloc[0]['share']:.0%}", f"owe {_MOST:.0%}": f"{needed} of {len(here)} layers"}
            rows.append(row)
    return rows


def _searched(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by search at AdaBM's mapped bits: what it gives against no clipping and against the released search."""
    values = pivoted(_of_method(units, method), "fp")
    others = {name: searches(units, name, "fp") for name in dict.fromkeys(units["method"])}
    rows = []
    for rule in RULES:
        row = {"ranges searched at": rule}
        for name, found in others.items():
            row[f"{name}: against no clipping (dB)"] = signed(found[rule] - found[MINMAX], 1)
        row["against the released (dB)"] = signed(others[method][rule] - others[method][RELEASED], 1)
        sure = rule != RELEASED and clear(values, ("search", rule), ("search", RELEASED))
        rows.append(row | {"clearly": "" if rule == RELEASED else "yes" if sure else "no"})
    return rows


def _of_method(units: pd.DataFrame, method: str) -> pd.DataFrame:
    return units[(units["method"] == method) & (units["series"] == "search")]


def _of_searches(units: pd.DataFrame, method: str) -> list[str]:
    found, values = searches(units, method, "fp"), pivoted(_of_method(units, method), "fp")
    worth = found[RELEASED] - found[MINMAX]
    sure = clear(values, ("search", RELEASED), ("search", MINMAX))
    told = (
        f"At AdaBM's mapped bits, not fine-tuned ({method}), the released search (one batch, at the layer's bits, half-way) gives "
        f"{worth:+.1f} dB against no clipping{'' if sure else ', not clearly'}."
    )
    best = found.idxmax()
    if best == RELEASED:
        return [told, practice("The released search is the best: keep it.")]
    gain = f"{found[best] - found[RELEASED]:+.1f} dB"
    kept = (
        f"Keep the released search: nothing is clearly better. The best in the mean is a search at {best}, by {gain}."
    )
    sure = clear(values, ("search", best), ("search", RELEASED))
    return [told, practice(f"Search at {best}, by {gain}." if sure else kept)]
