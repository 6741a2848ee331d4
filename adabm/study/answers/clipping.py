"""Must clipping follow the bits?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...errors import ConfigError
from ...validation import shown
from ..pages.clipping_figures import plot_clipping, plot_kept, plot_owed
from ..plan.cells import Run
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from . import clipping_measures
from .clipping_bits import LITTLE, costly, told_costly, told_good
from .clipping_measures import EVERY, MINMAX
from .clipping_searches import by_network, searched, told_searches
from .clipping_values import clear, gaps, gaps_of, matrix, pivoted, searches, told_gap
from .clipping_weights import told_weights, weight_rows
from .measured import extents, signed
from .probing import Probe, mapping_table, psnr

QUESTION = Question(
    "clipping",
    12,
    "Must clipping follow the bits?",
    "Ranges of activations that the released search finds for some bits are used at others; then ranges are searched at other bits and on "
    "other patches. The search looks at a layer's input alone, not at the network's output. Half-way: the released search goes half of "
    "the way to the best range. Models are not fine-tuned; PSNR is the mean of the patches', to the full-precision output where "
    "no ground truth is named.",
    "What a range found for other bits costs, and what clipping gives by how ranges are searched",
    others={
        "kept": "The share of its range that a layer keeps, by the bits that are searched for",
        "layers": "Which layers owe the cost of a range found for other bits",
    },
)
_MOST = 0.8  # of what all layers owe


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

    Raises:
        ConfigError: what is owed is no pair of two of the bits.
    """
    for pair in owed:
        if not isinstance(pair, Sequence) or len(pair) != 2 or pair[0] == pair[1] or not {*pair} <= {*bits}:
            raise ConfigError(f"owed = {shown(pair)}: must be two of the bits, found for and used at: {list(bits)}")
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
        _first(units, method),
        _of_layers(layers),
        *told_searches(units, method),
        *evidence(_matched(units, layers)),
        *evidence(_owed(layers)),
        *evidence(searched(units, method)),
        *evidence(by_network(units, method)),
        *evidence(weight_rows(units, method)),
        *evidence(extents(units)),
    ]


def _first(units: pd.DataFrame, method: str) -> str:
    values = pivoted(matrix(units), "fp")
    cost = -gaps_of(values)
    low, high = cost.index.min(), cost.index.max()
    clearly = {of: costly(units, of, "fp") for of in (low, high)}
    truth = -gaps(units, "truth")
    told_cost = lambda of, used, first=True: f"{of} bits {_costs(cost, truth, values, of, used, first)}"
    wide, up, narrow = told_cost(high, low), told_cost(low, high), told_cost(low, high, False)
    better = {used: of for used, of in cost.idxmin().items() if cost.loc[of, used] < -LITTLE}
    if low in clearly[high] and high in clearly[low]:
        head = f"Clipping should {'roughly ' if better else ''}follow the bits: the range for {wide}, the range for {narrow}."
    elif low in clearly[high]:
        does, told = _does(cost, low, high, narrow)
        head = f"Clipping should follow the bits down{', not up' * does}: the range for {wide}; the range for {told}."
    elif high in clearly[low]:
        does, told = _does(cost, high, low, told_cost(high, low, False))
        head = f"Clipping should follow the bits up{', not down' * does}: the range for {up}; the range for {told}."
    else:
        head = f"Clipping need not follow the bits here: the range for {wide}, the range for {narrow}."
    told = f"{answer(head + told_weights(units, method))}{_better(cost, better)}{told_costly(units)}"
    told += f"{_of_networks(values, high, low)}{_of_runs(values, high, low)}{told_good(units)}"
    if better:
        told += " Where the range of other bits is better, the search, which looks at the layer's input, clips more than is best for the output."
    return f"{told} What clipping adds to AdaBM's other parts is asked on the page of components."


def _does(cost: pd.DataFrame, of: int, used: int, costs: str) -> tuple[bool, str]:
    """Whether a range does at other bits too, and what is told of it: that, or what it costs there, which is not clear."""
    does = bool(cost.loc[of, used] <= LITTLE)
    return does, f"{of} bits does at {used} too" if does else costs


def _better(cost: pd.DataFrame, better: Mapping[int, int]) -> str:
    """Tell that ranges of other bits are better at some, and where most."""
    if not better:
        return ""
    more = "more" if all(of > used for used, of in better.items()) else "other"
    used = max(better, key=lambda used: -cost.loc[better[used], used])
    return f" The range for {more} bits can be better: at {used}, that of {better[used]} by {-cost.loc[better[used], used]:.1f} dB."


def _lost(values: pd.DataFrame, of: int, used: int) -> pd.Series:
    """What a range costs by network and seed, in dB."""
    lost = values[f"found for {used} bits", str(used)] - values[f"found for {of} bits", str(used)]
    return lost.groupby(["backbone", "seed"], sort=False).mean()


def _costs(
    cost: pd.DataFrame, truth: pd.DataFrame, values: pd.DataFrame, of: int, used: int, first: bool = True
) -> str:
    """Tell what a range costs at other bits, or gains there, in the mean of the networks, to full precision and to ground truth.

    Args:
        first: whether both are named.
    """
    lost = cost.loc[of, used]
    sure = bool(abs(lost) > LITTLE) and clear(values, *((f"found for {bits} bits", str(used)) for bits in (used, of)))
    gains = lost < -LITTLE
    amounts = [f"{-one.loc[of, used] if gains else one.loc[of, used]:z.1f}" for one in (cost, truth)]
    sides = (" to the full-precision output", " to ground truth") if first else ("", "")
    told = f"{'clearly ' * sure}{'gains' if gains else 'costs'} {amounts[0]} dB{sides[0]} at {used} ({amounts[1]}{sides[1]})"
    return told + ("" if sure else ", not clearly")


def _of_networks(values: pd.DataFrame, high: int, low: int) -> str:
    """How far networks are apart in the two costs of the answer."""
    means = [_lost(values, of, used).groupby("backbone").mean() for of, used in ((high, low), (low, high))]
    if len(means[0]) < 2:
        return ""
    told = [f"{mean.min():z.1f} to {mean.max():z.1f} dB at {used}" for mean, used in zip(means, (low, high))]
    return f" By network these two ranges cost {several(told)}."


def _of_runs(values: pd.DataFrame, high: int, low: int) -> str:
    """How far single runs are apart in the two costs of the answer."""
    runs = [_lost(values, of, used) for of, used in ((high, low), (low, high))]
    if len(runs[0]) < 2:
        return ""
    told = [f"{signed(lost.min(), 1)} to {signed(lost.max(), 1)} dB at {used}" for lost, used in zip(runs, (low, high))]
    return f" In single runs (a network and seed) the cost is {several(told)}."


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
    return told + (
        f" Of what other bits' ranges cost (of one seed), no layer owes more than {max(shares):.0%}." if shares else ""
    )


def _kept(layers: pd.DataFrame) -> pd.DataFrame:
    """Share of the range that the median layer keeps: a row a network, a column for the bits that it was searched at."""
    names = {name: int(name.split()[1]) for name in layers if name.startswith("kept ") and name != "kept all"}
    own = layers[layers["layer"] != EVERY].groupby("backbone", sort=False)[list(names)].median()
    return own.rename(columns=names)


def _matched(units: pd.DataFrame, layers: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by bits used: what the ranges of most, fewest and the best bits give against the matched one, and what is kept."""
    values = {kind: pivoted(matrix(units), kind) for kind in ("fp", "truth")}
    gain = gaps_of(values["fp"])
    of_bits = lambda of, used, kind="fp": told_gap(
        values[kind], (f"found for {of} bits", used), (f"found for {used} bits", used)
    )
    ends, kept = (gain.index.max(), gain.index.min()), _kept(layers).mean()
    rows = []
    for used in gain:
        best = gain[used].idxmax()
        row = {"at bits (negative dB: worse than matched)": str(used), "a layer keeps (median)": f"{kept[used]:.0%}"}
        for of in ends:
            row[f"range of {of} bits (dB)"] = of_bits(of, str(used)) if of != used else "matched"
            row[f"range of {of} bits (dB to ground truth)"] = (
                of_bits(of, str(used), "truth") if of != used else "matched"
            )
        rows.append(row | {"best range": f"of {best} bits" if best != used else "matched"})
        rows[-1] |= {"best range (dB)": of_bits(best, str(used)) if best != used else signed(0, 1)}
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
