"""How many calibration pictures are needed?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .measured import full_precision, measured
from .significance import Difference, difference

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
    enough, told, few, tested = {}, [], [], []
    seeds = swept["seed"].nunique()
    for name, method in methods.items():
        if not method.get("run", True):
            continue
        counts = sorted(method.get("sizes", sizes))
        here = swept[(swept["series"] == name) & (swept["dataset"] == dataset)]
        at = {size: here[here["level"] == str(size)].sort_values("seed") for size in counts}
        most = at[counts[-1]]
        gaps = {size: difference(at[size]["psnr_y_db"], most["psnr_y_db"]) for size in counts[:-1]}
        enough[name] = (saturated(gaps, counts), counts[-1])
        told.append(
            f"**{name}** on {dataset}: {pictures_of(enough[name][0])} {'gives' if enough[name][0] == 1 else 'give'} the PSNR of "
            f"{counts[-1]} ({most['psnr_y_db'].mean():.2f} ± {most['psnr_y_db'].std():.2f} dB)."
        )
        if gaps:
            few.append(_told_of_few(name, counts[0], gaps[counts[0]], at[counts[0]], most))
        tested += [
            {
                "series": name,
                "pictures": str(size),
                "against": str(counts[-1]),
                **gap.cells("p (Welch)"),
                "seeds": str(len(at[size])),
            }
            for size, gap in gaps.items()
        ]
    told.append(
        f"The pool has {pool} pictures; the same is what differs by no more than {_ENOUGH} dB or the spread over seeds."
    )
    second = [" ".join(few)] if few else []
    return [
        answer(_enough(enough, seeds)),
        " ".join(told),
        *second,
        practice(_advice(enough, tested)),
        *evidence(tested),
    ]


def pictures_of(count: int) -> str:
    """Return ``one picture`` or ``5 pictures``."""
    return "one picture" if count == 1 else f"{count} pictures"


def _enough(enough: Mapping[str, tuple[int, int]], seeds: int) -> str:
    least, most = max(enough.values())
    if least == most:
        return f"The most that was tried, {pictures_of(most)}, is needed: no fewer do as well."
    text = f"{pictures_of(least)} {'is' if least == 1 else 'are'} enough: more of them, up to {most}, change PSNR no more than chance does ({seeds} seeds)."
    return text[0].upper() + text[1:]


def _told_of_few(name: str, fewest: int, gap: Difference, few: pd.DataFrame, most: pd.DataFrame) -> str:
    return (
        f"With {pictures_of(fewest)} PSNR of {name} changes by {gap.in_words()}; FAB is {few['fab'].mean():.2f} ± "
        f"{few['fab'].std():.2f} instead of {most['fab'].mean():.2f} ± {most['fab'].std():.2f}, and the worst of "
        f"{len(few)} seeds loses {few['loss_db'].max():.2f} dB against full precision."
    )


def _advice(enough: Mapping[str, tuple[int, int]], tested: Sequence[Mapping]) -> str:
    least, most = max(enough.values())
    if least == most:
        return f"use {pictures_of(most)} or more."
    if least == 1:
        return "a few pictures do for the mean; take more where the bits shall not depend on which ones were drawn."
    fewer = [float(row["difference (dB)"]) for row in tested if int(row["pictures"]) < least]
    lost = f"; fewer lose up to {-min(fewer):.2f} dB in the mean" if fewer else ""
    return f"use {pictures_of(least)} or more{lost}."


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
