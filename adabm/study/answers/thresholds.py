"""Where do the first thresholds come from, and does it matter?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..plan.options import check_keys
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .measured import measured
from .significance import Difference, paired_difference

QUESTION = Question(
    "thresholds",
    9,
    "Where should the first thresholds lie, and does it matter?",
    "Thresholds of Image2Bit and first factors of Layer2Bit are percentiles of what calibration saw. At percentile 0, the "
    "extremes, only what lies beyond all that calibration saw gets other bits: no layer, and hardly any picture.",
    "Quality and bits against the percentiles that the first thresholds are",
)
IMAGES, LAYERS = "images", "layers"
_SETTINGS = {IMAGES: "map_bits.image_percentile", LAYERS: "map_bits.layer_percentile"}
RELEASED = {IMAGES: 10, LAYERS: 30}
_SIGNED = {"difference (dB)": "released minus it (dB)"}


def trials(
    bench: Bench,
    setting: str,
    percentiles: Sequence[int],
    count: int,
    methods: Mapping[str, Mapping],
    seeds: Sequence[int],
) -> list[Trial]:
    """Return the models to compare: the thresholds of images, then those of layers, moved with all else as released.

    Args:
        percentiles: below 50; 0, the extremes of what calibration saw, and the released ones are there in any case.
        count: random calibration pictures, others for each seed.
        methods: by name: ``method`` and, where they differ, ``changes``, ``percentiles`` and ``seeds`` of its own, of those given.

    Raises:
        ConfigError: a method has an unknown key or lacks one.
    """
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method"], ["changes", "percentiles", "seeds"])
    return [
        Trial(f"{which}, {name}", "percentile", str(level), run, bench.choose("random", count, run))
        for name, method in methods.items()
        for which, changed in _SETTINGS.items()
        for level in sorted({0, *method.get("percentiles", percentiles), RELEASED[which]})
        for seed in seeds
        if seed in method.get("seeds", seeds)
        for run in [Run.at(method["method"], setting, seed, {**method.get("changes", {}), changed: float(level)})]
    ]


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR against the released percentiles and FAB, a line for images and one for layers of each method, a column a network."""
    swept = named(measured(table, "percentile"))
    several_networks = swept["backbone"].nunique() > 1
    shown = [
        here.assign(dataset=f"{name}, {dataset}" if several_networks else dataset, gained_db=_gained(here))
        for (name, dataset), here in swept.groupby(["backbone", "dataset"], sort=False)
    ]
    drawn = question_figures.plot_sweep(
        pd.concat(shown), ["gained_db", "fab"], "percentile of the thresholds", log=False
    )
    return {"": drawn}


def _gained(swept: pd.DataFrame) -> pd.Series:
    """PSNR against that of the same series and seed at the released percentile, in dB."""
    released = swept["series"].str.partition(", ")[0].map(RELEASED).astype(str)
    own = swept[swept["level"] == released].set_index(["series", "seed"])["psnr_y_db"]
    return swept["psnr_y_db"] - own.reindex(pd.MultiIndex.from_frame(swept[["series", "seed"]])).to_numpy()


@dataclass(frozen=True)
class Moved:
    """What moving one pair of thresholds does, over seeds: ``lost``, the released percentile against the best; ``worth``,
    against the extremes of what calibration saw; means by percentile."""

    network: str
    which: str
    name: str
    psnr: pd.Series
    fab: pd.Series
    best: int
    lost: Difference
    worth: Difference
    seeds: int

    @property
    def span(self) -> float:
        """From the worst to the best percentile, in dB."""
        return float(self.psnr.max() - self.psnr.min())


def compared(table: pd.DataFrame) -> list[Moved]:
    """Compare, on the first set, the released percentiles with the others, of images and of layers, for each network and method."""
    swept = measured(table, "percentile").astype({"level": int})
    found = []
    first = swept[swept["dataset"] == swept["dataset"].iloc[0]]
    for (network, series), here in first.groupby(["backbone", "series"], sort=False):
        which, _, name = series.partition(", ")
        psnr = here.pivot_table(index="seed", columns="level", values="psnr_y_db")
        means, released = psnr.mean(), RELEASED[which]
        best = released if means[released] == means.max() else int(means.idxmax())
        lost, worth = (paired_difference(psnr[released], psnr[other]) for other in (best, 0))
        found.append(
            Moved(network, which, name, means, here.groupby("level")["fab"].mean(), best, lost, worth, len(psnr))
        )
    return found


def conclusion(table: pd.DataFrame) -> list[str]:
    """Tell, on the first set, what the released percentiles lose against the best, and what they gain on the extremes."""
    found = compared(named(table))
    better = [moved for moved in found if moved.lost.sure]
    widest = max(found, key=lambda moved: moved.span)
    return [
        answer(_verdict(found, better)),
        f"Over all percentiles PSNR on {measured(table, 'percentile')['dataset'].iloc[0]} spans {widest.span:.2f} dB at most, "
        f"for those of {widest.which}{_where(widest, found)}; there FAB is from {widest.fab.min():.2f} to {widest.fab.max():.2f}.",
        practice(_advice(found, better)),
        *evidence([row for moved in found for row in _rows(moved)]),
    ]


def _advice(found: Sequence[Moved], better: Sequence[Moved]) -> str:
    if not better:
        return "keep the released percentiles."
    texts = [
        f"try {_percentile(first.best)} instead of {RELEASED[first.which]} for {told}{_meaning(first)}"
        for first, told in _alike(better, found)
    ]
    return several(texts) + "."


def _meaning(moved: Moved) -> str:
    """What the extremes come to for layers, whose thresholds are taken from these very layers."""
    return ", which gives all layers the same bits" if (moved.which, moved.best) == (LAYERS, 0) else ""


def _percentile(level: int) -> str:
    return "0 (the extremes)" if level == 0 else str(level)


def _alike(better: Sequence[Moved], found: Sequence[Moved], gained: bool = False) -> list[tuple[Moved, str]]:
    """Return the first of those that one percentile suits best, and what they are, in words: their networks together."""
    groups: dict[tuple[int, str, str], list[Moved]] = {}
    for moved in better:
        groups.setdefault((moved.best, moved.which, moved.name), []).append(moved)
    several_methods = len({moved.name for moved in found}) > 1
    several_networks = len({moved.network for moved in found}) > 1
    told = []
    for here in groups.values():
        gains = [f" ({-moved.lost.mean:+.2f} ± {moved.lost.spread:.2f} dB)" if gained else "" for moved in here]
        text = here[0].which + (f", {here[0].name}" if several_methods else "")
        if several_networks:
            text += " on " + several([moved.network + gain for moved, gain in zip(here, gains)])
        else:
            text += gains[0]
        told.append((here[0], text))
    return told


def _where(moved: Moved, found: Sequence[Moved]) -> str:
    """Name the method and the network of a comparison, where there are several."""
    method = f", {moved.name}" if len({other.name for other in found}) > 1 else ""
    return method + (f", on {moved.network}" if len({other.network for other in found}) > 1 else "")


def _verdict(found: Sequence[Moved], better: Sequence[Moved]) -> str:
    if better:
        listed = [f"{_percentile(first.best)} for {told}" for first, told in _alike(better, found, gained=True)]
        first = f"Other percentiles are clearly better than the released ones: {several(listed)}"
    else:
        first = "No other percentile is clearly better than the released one"
    texts = [_worth(which, found) for which in (IMAGES, LAYERS) if any(moved.which == which for moved in found)]
    return f"{'; '.join([first, *texts])}."


def _worth(which: str, found: Sequence[Moved]) -> str:
    """What adapting images or layers is worth: for all alike, for some, or hidden by the spread over seeds."""
    here = [moved for moved in found if moved.which == which]
    sides = {
        verb: [moved for moved in here if moved.worth.sure and moved.worth.mean * sign > 0]
        for verb, sign in (("helps", 1), ("harms", -1))
    }
    for verb, clear in sides.items():
        if len(clear) == len(here):
            return f"adapting {which} clearly {verb}"
    named = lambda moved: _where(moved, found).removeprefix(", ")
    texts = [f"{verb} {several([named(moved) for moved in clear])}" for verb, clear in sides.items() if clear]
    if texts:
        return f"adapting {which} clearly {several(texts)}{' alone' * (len(texts) == 1)}"
    return f"the seeds cannot tell percentiles {_percentile(0)} and {RELEASED[which]} for {which} apart"


def _rows(moved: Moved) -> list[dict[str, str]]:
    released = RELEASED[moved.which]
    others = {moved.best: ("the best", moved.lost), 0: ("the extremes", moved.worth)}
    if moved.best == 0:
        others = {0: ("the best, the extremes", moved.worth)}
    elif moved.best == released:
        others[released] = ("the best, itself", moved.lost)
    return [
        {
            "network": moved.network,
            "thresholds of": f"{moved.which}, {moved.name}",
            "released": str(released),
            "PSNR-Y (dB)": f"{moved.psnr[released]:.2f}",
            "FAB": f"{moved.fab[released]:.2f}",
            "against": f"{name}, {level}",
            "its FAB": f"{moved.fab[level]:.2f}",
            **{_SIGNED.get(name, name): cell for name, cell in difference.cells("p (paired)").items()},
            "all percentiles span (dB)": f"{moved.span:.2f}",
            "seeds": str(moved.seeds),
        }
        for level, (name, difference) in others.items()
    ]
