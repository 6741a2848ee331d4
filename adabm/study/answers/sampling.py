"""Which calibration pictures?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...errors import StudyError
from ...sampling import STRATEGIES
from ..pages.strategy_figure import plot_strategies
from ..plan.options import check_choices
from ..running.bench import Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from .asked import Asked, check_known, union
from .diverged import told_of
from .measured import measured
from .strategy_gains import KEYS, REFERENCE, clear, compared
from .strategy_telling import adaptive, advice, differing, elsewhere, places, shortened, span, verdict

QUESTION = Question(
    "sampling",
    4,
    "Which pictures?",
    "The same number of calibration pictures, chosen from the same pool: random ones; stratified, one of each span of complexity; "
    "extremes, the least and the most complex; diverse and kmeans, spread over the features that the network sees; hardest, those "
    "that uniform quantization hurts most; single_scene, all of one photograph. Adaptive adds random ones until ranges and thresholds "
    "stop moving, and so decides the number itself.",
    "Quality for each strategy of choosing calibration pictures",
)


def check_strategies(strategies: Sequence[str]) -> pd.DataFrame:
    """Return what each strategy chooses, a row a strategy.

    Raises:
        ConfigError: a strategy is unknown, or the reference is not among them.
    """
    check_choices("strategies", strategies, STRATEGIES)
    check_choices("the reference", [REFERENCE], strategies)
    return pd.DataFrame({"strategy": name, "chooses": STRATEGIES[name].description} for name in strategies)


def trials(
    network: Asked, strategies: Sequence[str], count: int, counts: Mapping[str, int], methods: Mapping[str, Mapping]
) -> list[Trial]:
    """Return the models of a network: each method with the pictures of each strategy and seed.

    Args:
        network: it may have ``strategies`` of its own.
        count, counts: pictures that a strategy chooses, and those of single strategies where they differ.
        methods: by series: ``method`` and, where they differ, ``changes``, ``run``; ``backbones`` (names of the files),
            ``strategies`` and ``seeds``, which limit it to some of them.

    Raises:
        ConfigError: a strategy, or one of ``counts``, is unknown or not asked for, or a method is left without the reference.
    """
    chosen = {series: network.levels("strategies", strategies, series, methods) for series in network.methods(methods)}
    check_choices("counts", counts, STRATEGIES)
    asked = (network.known("strategies", strategies, m) for m in methods.values())
    check_known("counts", counts, union([strategies, *asked]))  # another network may ask for what this one does not
    for names in chosen.values():
        check_strategies(names)
    return [
        Trial(
            series,
            "strategy",
            strategy,
            run,
            network.bench.choose(strategy, counts.get(strategy, count), run),
            methods[series].get("run", True),
        )
        for series, names in chosen.items()
        for strategy in names
        for run in network.runs(methods[series])
    ]


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR against that of random pictures for each strategy, a panel a network, method and set."""
    table = named(table)
    swept, comparison = measured(table, "strategy"), compared(table)
    comparison = _with_reference(comparison)
    random = comparison[comparison["strategy"] == REFERENCE].set_index(KEYS)["psnr_y_db"]
    swept = swept[pd.MultiIndex.from_frame(swept[KEYS]).isin(random.index)]
    points = swept.assign(gained=swept["psnr_y_db"] - random.loc[pd.MultiIndex.from_frame(swept[KEYS])].to_numpy())
    means = comparison.assign(gained=comparison["against random"].fillna(0.0), clear=clear(comparison))
    return {"": plot_strategies(points.rename(columns={"level": "strategy"}), means)}


def conclusion(comparison: pd.DataFrame) -> list[str]:
    """Tell, on each network's first set, whether a strategy beats random pictures, the best and the worst, and where the adaptive one stops.

    Args:
        comparison: what :func:`compared` returned.

    Raises:
        StudyError: random pictures, the reference, diverged everywhere.
    """
    comparison = named(comparison)
    diverged = _diverged(comparison)
    comparison = _with_reference(comparison)
    first = comparison.drop_duplicates("backbone").set_index("backbone")["dataset"]
    here = comparison[comparison["dataset"] == comparison["backbone"].map(first)]
    better, worse = differing(here, 1), differing(here, -1)
    return [
        answer(verdict(here, shortened(better), shortened(worse))),
        span(here),
        *places(better, worse),
        *elsewhere(comparison.drop(here.index)),
        *adaptive(here),
        *diverged,
        practice(advice(comparison, better, worse)),
        *evidence([_tested(row) for _, row in here.iterrows()]),
    ]


def _with_reference(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured where random pictures were, too."""
    found = comparison[comparison["seeds"] > 0]
    units = pd.MultiIndex.from_frame(found[KEYS])
    found = found[units.isin(units[found["strategy"] == REFERENCE])]
    if found.empty:
        raise StudyError(
            f"no model of {REFERENCE} pictures, the reference, was measured; lower the learning rates of the methods if they diverged"
        )
    return found


def _diverged(comparison: pd.DataFrame) -> list[str]:
    """Tell which strategies diverged with how many seeds; sets share models."""
    counts = comparison.drop_duplicates(["backbone", "series", "strategy"]).rename(columns={"strategy": "level"})
    return told_of(counts.assign(seeds=counts["seeds"] + counts["diverged"], variable="strategy"))


def _tested(row: pd.Series) -> dict[str, str]:
    cells = {
        "network": row["backbone"],
        "series": row["series"],
        "strategy": row["strategy"],
        "seeds": str(row["seeds"]),
    }
    cells |= {
        "pictures": f"{row['pictures']:.0f}",
        "PSNR-Y (dB)": f"{row['psnr_y_db']:.2f}",
        "spread over seeds (dB)": "" if pd.isna(row["std"]) else f"{row['std']:.2f}",
        "FAB": f"{row['fab']:.2f}",
    }
    if row["strategy"] == REFERENCE:
        return cells
    cells["against random (dB)"] = f"{row['against random']:+z.2f}"
    if pd.isna(row["p adjusted"]):
        return cells
    return cells | {
        "p (Welch)": f"{row['p']:.2g}",
        "p adjusted (Benjamini and Hochberg)": f"{row['p adjusted']:.2g}",
    }
