"""Which calibration pictures?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...sampling import STRATEGIES
from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_choices, check_keys
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .measured import full_precision, measured, several
from .significance import SIGNIFICANT, adjusted, difference

QUESTION = Question(
    "sampling",
    4,
    "Which pictures?",
    "The same number of calibration pictures, chosen from the same pool by different strategies.",
    "Quality for each strategy of choosing calibration pictures",
)
_NO_BETTER = "No way of choosing is clearly better than random pictures"
REFERENCE = "random"  # what the other strategies are compared with


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
    """Tell, on the first set, whether a strategy beats random pictures, the best and the worst, and where the adaptive one stops.

    Args:
        comparison: what :func:`compared` returned.
        methods: as in :func:`trials`; what was not run is not told of.
    """
    dataset = comparison["dataset"].iloc[0]
    told, adaptive = [], []
    series = [name for name, method in methods.items() if method.get("run", True)]
    here = comparison[(comparison["dataset"] == dataset) & comparison["series"].isin(series)]
    for name in series:
        rows = here[here["series"] == name].set_index("strategy")
        best, worst = rows.index[0], rows.index[-1]
        told.append(
            f"**{name}** on {dataset}: random has {_told(rows.loc[REFERENCE])}; best is {best} with "
            f"{_told(rows.loc[best])}, worst {worst} with {_told(rows.loc[worst])}."
        )
        if "adaptive" in rows.index:
            row = rows.loc["adaptive"]
            adaptive.append(f"{row['pictures']:.0f} pictures in the mean ({name}): {_told(row)}")
    stops = [f"The adaptive strategy stops at {several(adaptive)}."] if adaptive else []
    better, worse = _differing(here, 1), _differing(here, -1)
    return [
        answer(_verdict(here, better, worse)),
        " ".join(told),
        *stops,
        practice(_advice(better, worse)),
        *evidence([_tested(row) for _, row in here.iterrows()]),
    ]


def _differing(here: pd.DataFrame, sign: int) -> list[str]:
    """Strategies that are clearly better (1) or worse (-1) than random pictures; the series is told where it is not so in all."""
    sure = ~here["within the spread"].fillna(True).astype(bool) & (here["p adjusted"] < SIGNIFICANT)
    rows = here[sure & (here["against random"] * sign > 0)]
    found = rows.groupby("strategy", sort=False)["series"].agg(tuple)
    every = here["series"].nunique()
    alike = found.index.to_series().groupby(found, sort=False).agg(list)
    return [several(names) + ("" if len(of) == every else f" ({several(list(of))})") for of, names in alike.items()]


def _verdict(here: pd.DataFrame, better: list[str], worse: list[str]) -> str:
    if here["p adjusted"].isna().all():
        return "One seed cannot tell whether any choice beats random pictures."
    text = "Clearly better than random pictures is " + several(better) if better else _NO_BETTER
    return f"{text}; clearly worse: {several(worse)}." if worse else f"{text}, and none is clearly worse."


def _advice(better: list[str], worse: list[str]) -> str:
    text = f"choose by {several(better)}" if better else "draw pictures at random"
    return f"{text}; avoid {several(worse)}." if worse else f"{text}."


def _tested(row: pd.Series) -> dict[str, str]:
    cells = {"series": row["series"], "strategy": row["strategy"], "seeds": str(row["seeds"])}
    cells |= {
        "PSNR-Y (dB)": f"{row['psnr_y_db']:.2f}",
        "spread over seeds (dB)": f"{row['std']:.2f}",
        "FAB": f"{row['fab']:.2f}",
    }
    if row["strategy"] == REFERENCE or pd.isna(row["p adjusted"]):
        return cells
    return cells | {
        "against random (dB)": f"{row['against random']:+.2f}",
        "p (Welch)": f"{row['p']:.2g}",
        "p adjusted (Benjamini and Hochberg)": f"{row['p adjusted']:.2g}",
    }


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
        verdict = "clearly" if row["p adjusted"] < SIGNIFICANT else "not clearly"
    return f"{text} ({row['against random']:+.2f} dB against random, {verdict})"
