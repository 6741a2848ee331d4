"""How many calibration pictures are needed?"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..pages.size_figure import plot_sizes
from ..running.bench import Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named, network
from ..tables.question import Question
from ..tables.wording import several
from .asked import Asked
from .diverged import check_measured, tell_diverged
from .measured import measured, told_seeds
from .size_gaps import ENOUGH, LUCK, Swept, compared
from .size_telling import advice, reason, remaining, told_of_few, tried, verdict

QUESTION = Question(
    "set_size",
    3,
    "How many calibration pictures are needed?",
    "Calibration and fine-tuning see fewer or more low-resolution pictures, drawn at random; nothing else of the recipe changes. Bits "
    "follow the pictures, so that a part of what more of them gain may be bits (FAB, below).",
    "Quality against the number of calibration pictures",
    others={
        "time": "Measured time of calibration by the number of calibration pictures",
    },
)


def trials(network: Asked, sizes: Sequence[int], methods: Mapping[str, Mapping]) -> list[Trial]:
    """Return the models of a network: each method with random subsets of each size, another one for each seed.

    Args:
        network: it may have ``sizes`` of its own.
        methods: by series: ``method`` and, where they differ, ``changes``, ``run``; ``backbones`` (names of the files),
            ``sizes`` and ``seeds``, which limit it to some of them.

    Raises:
        ConfigError: a method is limited to a size that none of its networks has.
    """
    return [
        Trial(name, "pictures", str(size), run, network.bench.choose("random", size, run), method.get("run", True))
        for name, method in network.methods(methods).items()
        for size in network.levels("sizes", sizes, name, methods)
        for run in network.runs(method)
    ]


def figures(table: pd.DataFrame, timing: pd.DataFrame | None = None) -> dict[str, Figure]:
    """Draw loss and FAB against the number of pictures, a column a network and set, with how many are needed there, and why.

    From the table of times, if there is one, also how long it takes.
    """
    check_measured(table)
    table = named(table)
    swept = measured(table, "pictures")
    places: dict[tuple[str, str], list[Swept]] = {}
    for one in compared(table):
        if one.gaps:
            places.setdefault((one.network, one.dataset), []).append(one)
    drawn = {"": plot_sizes(swept, {place: reason(of) for place, of in places.items()})}
    if timing is not None:
        label = "calibration pictures"
        times = timing[(timing["variable"] == label) & timing["seconds"].notna()]
        drawn["time"] = question_figures.plot_sweep(times, ["seconds"], label)
    return drawn


def conclusion(table: pd.DataFrame, pool: int | Mapping[str, int]) -> list[str]:
    """Tell, on each network's first set, how many pictures are needed and what decides that, and what the fewest lose.

    Args:
        pool: how many pictures there are to choose from; by the network's file name where networks may differ.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    table = named(table)
    swept = measured(table, "pictures")
    first = swept.drop_duplicates("backbone").set_index("backbone")["dataset"]
    found = [one for one in compared(table) if one.dataset == first[one.network]]
    networks: dict[str, list[Swept]] = {}
    for one in found:
        networks.setdefault(one.network, []).append(one)
    return [
        answer(verdict(networks, told_seeds(swept))),
        *[remaining(networks) + few for few in told_of_few(found, networks)],
        f"{_pools(pool)}; {tried(networks)}. Needed is the least number from which on two things hold. First, PSNR "
        f"is below that of the most pictures by at most {ENOUGH} dB, or not clearly. Second, the standard deviation over seeds, "
        f"which draw the pictures, is at most {LUCK} dB. Both bounds are choices. After a difference ± is the standard deviation of PSNR over seeds: the root "
        "mean square of both. p is adjusted for the number of sizes.",
        *tell_diverged(table),
        practice(advice(networks)),
        *evidence([_row(one, size) for one in found for size in one.rows]),
    ]


def _pools(pool: int | Mapping[str, int]) -> str:
    """``The pool has 100 pictures``, or of each network where they differ."""
    sizes = {pool} if isinstance(pool, int) else set(pool.values())
    if len(sizes) == 1:
        return f"The pool has {sizes.pop()} pictures"
    return f"The pools have {several([f'{size} pictures for {network(name)}' for name, size in pool.items()])}"


def _row(one: Swept, size: int) -> dict[str, str]:
    rows = one.rows[size]
    cells = {
        "network": one.network,
        "series": one.series,
        "pictures": str(size),
        "PSNR-Y (dB)": f"{rows['psnr_y_db'].mean():.2f}",
        "FAB": f"{rows['fab'].mean():.2f}",
        "worst loss (dB)": f"{rows['loss_db'].max():.2f}",
        "seeds": str(len(rows)),
    }
    return cells | (
        {"against": str(one.most)} | one.gaps[size].cells("p (Welch, adjusted)") if size in one.gaps else {}
    )


def spread_over_seeds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the standard deviation of PSNR over seeds in dB: a row a network, set and series, a column a size."""
    return summary.pivot_table(
        index=["backbone", "dataset", "series"], columns="level", values="psnr_std_db", sort=False
    )


def fewest_and_most(table: pd.DataFrame) -> pd.DataFrame:
    """Return FAB and PSNR of each seed with the fewest and with the most pictures, on each network's first set."""
    first = measured(table, "pictures").drop_duplicates("backbone").set_index("backbone")["dataset"]
    rows = [
        one.rows[size].assign(pictures=name)
        for one in compared(table)
        if one.dataset == first[one.network]
        for name, size in (("fewest", min(one.rows)), ("most", one.most))
    ]
    index = ["backbone", "series", "seed"]
    return pd.concat(rows).pivot_table(index=index, columns="pictures", values=["fab", "psnr_y_db"], sort=False)
