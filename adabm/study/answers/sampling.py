"""Which calibration pictures?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...sampling import STRATEGIES
from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_choices, check_keys
from ..running.bench import Bench, Trial
from ..tables.question import Question
from .measured import full_precision, measured
from .significance import adjusted, difference

QUESTION = Question(
    "sampling",
    4,
    "Which pictures?",
    "The same number of calibration pictures, chosen from the same pool by different strategies.",
    "Quality for each strategy of choosing calibration pictures",
)
REFERENCE = "random"  # what the other strategies are compared with
_SIGNIFICANT = 0.05


def check_strategies(strategies: Sequence[str]) -> pd.DataFrame:
    """Return what each strategy chooses, a row a strategy.

    Raises:
        ConfigError: a strategy is unknown, or the reference is not among them.
    """
    check_choices("strategies", strategies, STRATEGIES)
    check_choices("the reference", [REFERENCE], strategies)
    return pd.DataFrame({"strategy": name, "chooses": STRATEGIES[name].description} for name in strategies)


def trials(
    bench: Bench,
    setting: str,
    strategies: Sequence[str],
    count: int,
    counts: Mapping[str, int],
    methods: Mapping[str, Mapping],
) -> list[Trial]:
    """Return the models to compare: each method with the pictures of each strategy and seed.

    Args:
        count, counts: pictures that a strategy chooses, and those of single strategies where they differ.
        methods: by series: ``method``, ``seeds`` and, where they differ, ``changes``, ``strategies`` of its own, ``run``.

    Raises:
        ConfigError: a method has an unknown key or lacks one.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method", "seeds"], ["changes", "strategies", "run"])
    return [
        Trial(
            name,
            "strategy",
            strategy,
            run,
            bench.choose(strategy, counts.get(strategy, count), run),
            method.get("run", True),
        )
        for name, method in methods.items()
        for strategy in method.get("strategies", strategies)
        for seed in method["seeds"]
        for run in [Run.at(method["method"], setting, seed, method.get("changes"))]
    ]


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR for each strategy."""
    swept = measured(table, "strategy")
    return {"": question_figures.plot_levels(swept, "psnr_y_db", "PSNR-Y (dB)", full_precision(table))}


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each strategy with random pictures by Welch's t-test over seeds: a row a series, set and strategy.

    Best PSNR (dB) first in each series and set. ``p adjusted`` accounts for the number of strategies (Benjamini and
    Hochberg); ``within the spread`` says that the difference is smaller than the spread over seeds. The comparison is
    empty where a row is that of random pictures itself.
    """
    swept = measured(table, "strategy")
    parts = [_compared(here, *keys) for keys, here in swept.groupby(["series", "dataset"], sort=False)]
    return pd.concat(parts, ignore_index=True)


def _compared(here: pd.DataFrame, series: str, dataset: str) -> pd.DataFrame:
    values = {level: rows["psnr_y_db"] for level, rows in here.groupby("level", sort=False)}
    found = {level: difference(psnr, values[REFERENCE]) for level, psnr in values.items() if level != REFERENCE}
    corrected = dict(zip(found, adjusted([d.p_value for d in found.values()])))
    rows = []
    for level, psnr in values.items():
        row = dict(
            series=series,
            dataset=dataset,
            strategy=level,
            seeds=len(psnr),
            psnr_y_db=psnr.mean(),
            std=psnr.std(),
            fab=here.loc[here["level"] == level, "fab"].mean(),
            pictures=here.loc[here["level"] == level, "calibration_pictures"].mean(),
        )
        if level in found:
            row |= {
                "against random": found[level].mean,
                "p": found[level].p_value,
                "p adjusted": corrected[level],
                "within the spread": not found[level].clear,
            }
        rows.append(row)
    return pd.DataFrame(rows).sort_values("psnr_y_db", ascending=False)


def conclusion(comparison: pd.DataFrame, methods: Mapping[str, Mapping]) -> list[str]:
    """Tell, on the first set, the best and the worst strategy against random pictures, and where the adaptive one stops.

    Args:
        comparison: what :func:`compared` returned.
        methods: as in :func:`trials`; what was not run is not told of.
    """
    told = []
    dataset = comparison["dataset"].iloc[0]
    for name, method in methods.items():
        if not method.get("run", True):
            continue
        rows = comparison[(comparison["series"] == name) & (comparison["dataset"] == dataset)].set_index("strategy")
        best, worst = rows.index[0], rows.index[-1]
        told.append(
            f"**{name}** on {dataset}: random has {_told(rows.loc[REFERENCE])}; best is {best} with "
            f"{_told(rows.loc[best])}, worst {worst} with {_told(rows.loc[worst])}."
        )
        if "adaptive" in rows.index:
            adaptive = rows.loc["adaptive"]
            told.append(
                f"The adaptive strategy stops at {adaptive['pictures']:.0f} pictures in the mean: {_told(adaptive)}."
            )
    return told


def _told(row: pd.Series) -> str:
    """PSNR and FAB of a strategy (the name of ``row``) and how it compares with random pictures."""
    text = f"{row['psnr_y_db']:.2f} dB at FAB {row['fab']:.2f}"
    if row.name == REFERENCE:
        return text
    if pd.isna(row["p adjusted"]):
        verdict = "one seed"
    elif row["within the spread"]:
        verdict = "within the spread over seeds"
    else:
        significant = "significant" if row["p adjusted"] < _SIGNIFICANT else "not significant"
        verdict = f"{significant}, adjusted p = {row['p adjusted']:.2g}"
    return f"{text} ({row['against random']:+.2f} dB against random, {verdict})"
