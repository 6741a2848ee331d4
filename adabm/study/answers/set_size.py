"""How many calibration pictures are needed?"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..pages.size_figure import plot_sizes
from ..running.bench import Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .asked import Asked
from .measured import measured, told_seeds
from .size_gaps import ENOUGH, LUCK, Swept, compared

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
    """
    return [
        Trial(name, "pictures", str(size), run, network.bench.choose("random", size, run), method.get("run", True))
        for name, method in network.methods(methods).items()
        for size in network.levels("sizes", sizes, method)
        for run in network.runs(method)
    ]


def figures(table: pd.DataFrame, timing: pd.DataFrame | None = None) -> dict[str, Figure]:
    """Draw loss and FAB against the number of pictures, a column a network and set, with how many are enough there.

    From the table of times, if there is one, also how long it takes.
    """
    table = named(table)
    swept = measured(table, "pictures")
    enough: dict[tuple[str, str], int] = {}
    for one in compared(table):
        if one.gaps:
            place = one.network, one.dataset
            enough[place] = max(enough.get(place, 0), one.enough)
    drawn = {"": plot_sizes(swept, enough)}
    if timing is not None:
        label = "calibration pictures"
        times = timing[(timing["variable"] == label) & timing["seconds"].notna()]
        drawn["time"] = question_figures.plot_sweep(times, ["seconds"], label)
    return drawn


def conclusion(table: pd.DataFrame, pool: int) -> list[str]:
    """Tell, on each network's first set, from how many pictures on PSNR is that of the most, and what the fewest lose.

    Args:
        pool: how many pictures there are to choose from.
    """
    table = named(table)
    swept = measured(table, "pictures")
    first = swept.drop_duplicates("backbone").set_index("backbone")["dataset"]
    found = [one for one in compared(table) if one.dataset == first[one.network]]
    networks: dict[str, list[Swept]] = {}
    for one in found:
        networks.setdefault(one.network, []).append(one)
    return [
        answer(_verdict(networks, told_seeds(swept))),
        *[_remaining(networks) + few for few in _told_of_few(found, networks)],
        f"The pool has {pool} pictures; {_tried(networks)}. Enough is the least number from which on two things hold. First, PSNR is that of the "
        f"most pictures: it differs by at most {ENOUGH} dB, or not clearly. Second, the standard deviation over seeds, which draw the pictures, "
        f"is at most {LUCK} dB. After a difference ± is the standard deviation of PSNR over seeds: the root mean square of both. "
        "p is not adjusted for the number of sizes.",
        practice(_advice(networks)),
        *evidence([_row(one, size) for one in found for size in one.rows]),
    ]


def pictures_of(count: int) -> str:
    """Return ``one picture`` or ``5 pictures``."""
    return "one picture" if count == 1 else f"{count} pictures"


def _needed(swept: Sequence[Swept]) -> int:
    """How many pictures the method that needs most does with."""
    return max(one.enough for one in swept)


def _verdict(networks: Mapping[str, Sequence[Swept]], seeds: str) -> str:
    enough: dict[int, list[str]] = {}
    needed, alone = [], []  # the most that was tried; nothing else was tried
    for name, swept in networks.items():
        count, most = _needed(swept), max(one.most for one in swept)
        if not any(one.gaps for one in swept):
            alone.append(_on(name, networks, f"{pictures_of(count)} alone {'was' if count == 1 else 'were'} tried"))
        elif count == most:
            needed.append(_on(name, networks, f"the most that was tried, {pictures_of(most)}, is needed"))
        else:
            enough.setdefault(count, []).append(name)
    texts = []
    if enough:
        up_to = f", up to {max(one.most for one in next(iter(networks.values())))}," if len(networks) == 1 else ""
        chance = (
            f"more of them{up_to} change PSNR by no more than {ENOUGH} dB (one seed)"
            if seeds == "one seed"
            else f"from there on more of them{up_to} change PSNR by no clear amount ({seeds}){_may_gain(networks)}{_luck(networks)}"
        )
        texts.append(f"{_groups(enough, len(networks))}: {chance}")
    if needed:
        texts.append(several(needed) + ("" if enough else ": no fewer do as well"))
    if alone:
        texts.append(several(alone) + ", so that fewer may do")
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}."


def _farthest(networks: Mapping[str, Sequence[Swept]]) -> dict[str, Swept]:
    """Of each network the method that is farthest from the most with as many as are enough there: all that is told of "enough" is of it."""
    found = {}
    for name, swept in networks.items():
        count = _needed(swept)
        apart = [one for one in swept if count in one.gaps]
        if apart:
            found[name] = max(apart, key=lambda one: abs(one.gaps[count].mean))
    return found


def _may_gain(networks: Mapping[str, Sequence[Swept]]) -> str:
    """What more pictures than are enough gain in the mean at most, where that is noticeable; no seeds tell it for sure."""
    gaps = {name: one.gaps[_needed(networks[name])] for name, one in _farthest(networks).items()}
    most = max(gaps, key=lambda name: -gaps[name].mean, default=None)
    if most is None or round(-gaps[most].mean, 2) <= ENOUGH:
        return ""
    spread = f" ± {gaps[most].spread:.2f}" if gaps[most].spread > 0 else ""
    return f", though they gain {-gaps[most].mean:.2f}{spread} dB in the mean" + (
        f" on {most}" if len(networks) > 1 else ""
    )


def _luck(networks: Mapping[str, Sequence[Swept]]) -> str:
    """How much it still matters which pictures are drawn, with as many as are enough, where that is noticeable."""
    apart = {name: one.deviation(_needed(networks[name])) for name, one in _farthest(networks).items()}
    most = max(apart, key=lambda name: apart[name], default=None)
    if most is None or apart[most] <= 2 * ENOUGH:
        return ""
    on = f", on {most}" if len(networks) > 1 else ""
    return f"; which ones are drawn still moves it by up to {apart[most]:.2f} dB (standard deviation{on})"


def _on(name: str, networks: Mapping, text: str) -> str:
    return f"on {name} {text}" if len(networks) > 1 else text


def _groups(enough: Mapping[int, list[str]], networks: int) -> str:
    """Tell how many pictures are enough on which networks: ``5 pictures are enough on a and b, 20 on c``."""
    if networks == 1:
        places = dict.fromkeys(enough, "")
    elif len(enough) == 1 and len(next(iter(enough.values()))) == networks:
        places = dict.fromkeys(enough, f" on all {networks} networks" if networks > 2 else " on both networks")
    else:
        places = {count: f" on {several(names)}" for count, names in enough.items()}
    first, *others = sorted(enough)
    told = [f"{'one' if count == 1 else count}{places[count]}" for count in others]
    return ", ".join([f"{pictures_of(first)} {'is' if first == 1 else 'are'} enough{places[first]}", *told])


def _remaining(networks: Mapping[str, Sequence[Swept]]) -> str:
    """How far as many as are enough are from the most, by network, for the method that they are farthest apart for."""
    texts = []
    for name, one in _farthest(networks).items():
        count = _needed(networks[name])
        gap = one.gaps[count]
        spread = "" if math.isnan(gap.p_value) else f" ± {gap.spread:.2f}"
        on = f" on {name}" if len(networks) > 1 else ""
        series = f", {one.series}" if len(networks[name]) > 1 else ""
        texts.append(f"{gap.mean:+z.2f}{spread} dB{on} ({count} against {one.most}{series})")
    return f"What remains is {several(texts)}. " if texts else ""


def _tried(networks: Mapping[str, Sequence[Swept]]) -> str:
    """Which sizes were tried, and on which networks fewer."""
    sizes = {name: sorted({size for one in swept for size in one.rows}) for name, swept in networks.items()}
    told = lambda of: several([str(size) for size in of])
    first = next(iter(sizes.values()))
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, of in sizes.items():
        if of != first:
            groups.setdefault(tuple(of), []).append(name)
    others = [f", on {several(names)} {told(of)}" for of, names in groups.items()]
    return f"tried were {told(first)}{''.join(others)}"


def _told_of_few(found: Sequence[Swept], networks: Mapping[str, Sequence[Swept]]) -> list[str]:
    """What the fewest pictures change, for the method of each network that they change most; and the worst seed."""
    few = {}
    for one in found:
        if one.gaps and (one.network not in few or abs(one.least.mean) > abs(few[one.network].least.mean)):
            few[one.network] = one
    if not few:
        return []
    texts = [
        f"by {one.least.in_words()}, with {pictures_of(min(one.rows))} instead of {one.most}{_place(one, found)}"
        for one in few.values()
    ]
    sets = several(list(dict.fromkeys(one.dataset for one in found)))
    return [f"PSNR on {sets} changes {'; '.join(texts)}. {_worst(found)}{_still_apart(networks)}"]


def _worst(found: Sequence[Swept]) -> str:
    """What the worst seed loses with the fewest pictures, by network."""
    most: dict[str, Swept] = {}
    for one in found:
        if one.gaps and (one.network not in most or one.worst > most[one.network].worst):
            most[one.network] = one
    texts = [f"{one.worst:.2f} dB{f' on {name}' if len(most) > 1 else ''}" for name, one in most.items()]
    return f"With so few the worst seed loses {several(texts)} against full precision."


def _still_apart(networks: Mapping[str, Sequence[Swept]]) -> str:
    """How far seeds are apart with as many pictures as are enough, by network, for the same methods as what remains."""
    texts = []
    for name, one in _farthest(networks).items():
        count = _needed(networks[name])
        if len(one.rows[count]) > 1:
            on = f" on {name}" if len(networks) > 1 else ""
            texts.append(f"{one.deviation(count):.2f} dB{on} ({pictures_of(count)})")
    return f" With as many as are enough the standard deviation over seeds is {several(texts)}." if texts else ""


def _place(one: Swept, found: Sequence[Swept]) -> str:
    """Name the network and the method in brackets, where there are several."""
    names = [one.network] if len({other.network for other in found}) > 1 else []
    if len({other.series for other in found if other.network == one.network}) > 1:
        names.append(one.series)
    return f" ({', '.join(names)})" if names else ""


def _advice(networks: Mapping[str, Sequence[Swept]]) -> str:
    least = max(_needed(swept) for swept in networks.values())
    if not any(one.gaps for swept in networks.values() for one in swept):
        return f"use {pictures_of(least)}; fewer were not tried."
    if least == 1:
        return "a few pictures do for the mean; take more where the bits shall not depend on which ones were drawn."
    fewer = [
        (gap, size, one)
        for swept in networks.values()
        for one in swept
        for size, gap in one.gaps.items()
        if size < _needed(swept)
    ]
    told = f"use {pictures_of(least)} or more{_needs(networks, least)}"
    gap, few, one = min(fewer, key=lambda of: of[0].mean, default=(None, 0, None))
    if gap is None or gap.mean >= 0:
        return f"{told}."
    spread = "" if math.isnan(gap.p_value) else f" ± {gap.spread:.2f}"
    where = f" on {one.network}" if len(networks) > 1 else ""
    return f"{told}; {pictures_of(few)} {'loses' if few == 1 else 'lose'} {-gap.mean:.2f}{spread} dB against {one.most}{where}."


def _needs(networks: Mapping[str, Sequence[Swept]], least: int) -> str:
    """Tell which networks need as many, and what the others do with, where they differ."""
    by_count: dict[int, list[str]] = {}
    for name, swept in networks.items():
        if any(one.gaps for one in swept):
            by_count.setdefault(_needed(swept), []).append(name)
    most = by_count.pop(least, [])
    if not by_count or not most:
        return ""
    fewer = [
        f"on {several(names)} {'one does' if count == 1 else f'{count} do'}"
        for count, names in sorted(by_count.items())
    ]
    return f": {several(most)} {'needs' if len(most) == 1 else 'need'} as many, {several(fewer)}"


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
    return cells | ({"against": str(one.most)} | one.gaps[size].cells("p (Welch)") if size in one.gaps else {})


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
