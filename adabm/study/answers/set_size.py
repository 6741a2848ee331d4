"""How many calibration pictures are needed?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.question import Question
from .measured import full_precision, measured
from .significance import difference

QUESTION = Question(
    "set_size",
    3,
    "How many calibration pictures are needed?",
    "Calibration and fine-tuning see fewer or more low-resolution pictures; everything else stays the same.",
    "Quality against the number of calibration pictures",
)
_ENOUGH = 0.05  # dB; PSNR is the same to within this, or the spread over seeds


def trials(bench: Bench, setting: str, sizes: Sequence[int], methods: Mapping[str, Mapping]) -> list[Trial]:
    """Return the models to compare: each method with random subsets of each size, another one for each seed.

    Args:
        methods: by series: ``method``, ``seeds`` and, where they differ, ``changes``, ``sizes`` of its own, ``run``.

    Raises:
        ConfigError: a method has an unknown key or lacks one.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method", "seeds"], ["changes", "sizes", "run"])
    return [
        Trial(name, "pictures", str(size), run, bench.choose("random", size, run), method.get("run", True))
        for name, method in methods.items()
        for size in method.get("sizes", sizes)
        for seed in method["seeds"]
        for run in [Run.at(method["method"], setting, seed, method.get("changes"))]
    ]


def figures(table: pd.DataFrame, timing: pd.DataFrame | None = None) -> dict[str, Figure]:
    """Draw PSNR and FAB against the number of pictures and, from the table of times if there is one, how long it takes."""
    swept = measured(table, "pictures")
    values, label = ["psnr_y_db", "fab"], "calibration pictures"
    drawn = {"": question_figures.plot_sweep(swept, values, label, full=full_precision(table))}
    if timing is not None:
        times = timing[(timing["variable"] == label) & timing["seconds"].notna()]
        drawn["time"] = question_figures.plot_sweep(times, ["seconds"], label)
    return drawn


def conclusion(table: pd.DataFrame, sizes: Sequence[int], methods: Mapping[str, Mapping], pool: int) -> list[str]:
    """Tell, on the first set, from how many pictures on PSNR is that of the most, and what the fewest lose.

    Args:
        sizes, methods: as in :func:`trials`; what was not run is not told of.
        pool: how many pictures there are to choose from.
    """
    swept = measured(table, "pictures")
    dataset = swept["dataset"].iloc[0]
    told = []
    for name, method in methods.items():
        if not method.get("run", True):
            continue
        counts = sorted(method.get("sizes", sizes))
        here = swept[(swept["series"] == name) & (swept["dataset"] == dataset)]
        at = {size: here[here["level"] == str(size)].sort_values("seed") for size in counts}
        fewest, most = at[counts[0]], at[counts[-1]]
        gaps = {size: difference(at[size]["psnr_y_db"], most["psnr_y_db"]) for size in counts[:-1]}
        enough = saturated(gaps, counts)
        told.append(
            f"**{name}** on {dataset}: {'already one picture gives' if enough == 1 else f'{enough} pictures give'} the "
            f"PSNR of {counts[-1]} ({most['psnr_y_db'].mean():.2f} ± {most['psnr_y_db'].std():.2f} dB) "
            f"to within {_ENOUGH} dB or the spread over seeds; the pool has {pool}."
        )
        if not gaps:
            continue
        told.append(
            f"With {'one picture' if counts[0] == 1 else f'{counts[0]} pictures'} PSNR changes by "
            f"{gaps[counts[0]].tell()}; FAB is {fewest['fab'].mean():.2f} ± {fewest['fab'].std():.2f} "
            f"instead of {most['fab'].mean():.2f} ± {most['fab'].std():.2f}, "
            f"and the worst seed loses {fewest['loss_db'].max():.2f} dB against full precision."
        )
    return told


def saturated(gaps: Mapping[int, object], counts: Sequence[int]) -> int:
    """Return the least size from which on no size differs from the largest by more than 0.05 dB beyond the spread.

    Args:
        gaps: difference in PSNR to the largest, by size.
        counts: all sizes in ascending order.
    """
    within = {size: abs(gap.mean) <= max(_ENOUGH, gap.spread) for size, gap in gaps.items()}
    return next(size for size in counts if all(within[other] for other in counts[:-1] if other >= size))


def spread_over_seeds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the standard deviation of PSNR over seeds in dB: a row a set and series, a column a size."""
    return summary.pivot_table(index=["dataset", "series"], columns="level", values="psnr_std_db", sort=False)


def fewest_and_most(table: pd.DataFrame) -> pd.DataFrame:
    """Return FAB and PSNR of each seed with the fewest and with the most pictures, on the first set."""
    swept = measured(table, "pictures").astype({"level": int})
    here = swept[swept["dataset"] == swept["dataset"].iloc[0]]
    ends = here[here["level"].isin([here["level"].min(), here["level"].max()])]
    return ends.pivot_table(index=["series", "seed"], columns="level", values=["fab", "psnr_y_db"], sort=False)
