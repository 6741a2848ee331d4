"""Where do the first thresholds come from, and does it matter?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..plan.cells import Run
from ..running.bench import Bench, Trial
from ..running.networks import Unit
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .asked import checked_units
from .measured import measured
from .significance import Difference, paired_difference

QUESTION = Question(
    "thresholds",
    9,
    "Where should the first thresholds lie, and does it matter?",
    "Thresholds of Image2Bit and first factors of Layer2Bit are percentiles of what calibration saw. At percentile 0, the "
    "extremes, only what lies beyond all that calibration saw gets other bits: no layer, and few pictures.",
    "Quality and bits against the percentiles that the first thresholds are",
)
IMAGES, LAYERS = "images", "layers"
_SETTINGS = {IMAGES: "map_bits.image_percentile", LAYERS: "map_bits.layer_percentile"}
RELEASED = {IMAGES: 10, LAYERS: 30}
_NOTICEABLE = 0.1  # dB
_WHETHER = {  # pages that ask more of both
    IMAGES: " (whether to map images at all: page of complexity)",
    LAYERS: " (of the standard deviation; whether another measure deals bits better: page of sensitivity)",
}
_SIGNED = {"difference (dB)": "released minus it (dB)"}


def checked(units: Sequence[Unit], methods: Mapping[str, Mapping]) -> Sequence[Unit]:
    """Return the units, once no method is one that :func:`trials` cannot use or would leave out; see :func:`.asked.checked_units`."""
    return checked_units(units, methods, ["method"], ["changes", "percentiles", "seeds"])


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
        methods: by name: ``method`` and, where they differ, ``changes``, ``percentiles`` and ``seeds`` of its own, of those
            given; see :func:`checked`.
    """
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
    against the extremes of what calibration saw; ``most``, against ``worst``, the one but 0 that loses most; means by percentile."""

    network: str
    which: str
    name: str
    psnr: pd.Series
    fab: pd.Series
    best: int
    lost: Difference
    worth: Difference
    worst: int
    most: Difference
    seeds: int

    @property
    def span(self) -> float:
        """From the worst to the best percentile, in dB."""
        return self.up_to(max(self.psnr.index))

    def up_to(self, level: int) -> float:
        """The same of percentiles up to one."""
        psnr = self.psnr[self.psnr.index <= level]
        return float(psnr.max() - psnr.min())


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
        worst = int(means.drop(0).idxmin())
        lost, worth, most = (paired_difference(psnr[released], psnr[other]) for other in (best, 0, worst))
        fab = here.groupby("level")["fab"].mean()
        found.append(Moved(network, which, name, means, fab, best, lost, worth, worst, most, len(psnr)))
    return found


def conclusion(table: pd.DataFrame) -> list[str]:
    """Tell, on the first set, whether images' and layers' thresholds matter, and how the released ones compare with the best and the extremes."""
    found = compared(named(table))
    return [
        answer(f"{_matters(found)} {_verdict(found)}"),
        practice(_advice(found)),
        *evidence([row for moved in found for row in _rows(moved)]),
    ]


def _parts(found: Sequence[Moved]) -> dict[str, list[Moved]]:
    """The comparisons of images and those of layers, where there are any."""
    parts = {which: [moved for moved in found if moved.which == which] for which in (IMAGES, LAYERS)}
    return {which: here for which, here in parts.items() if here}


def _advice(found: Sequence[Moved]) -> str:
    texts = []
    for which, here in _parts(found).items():
        better = [moved for moved in here if moved.lost.sure]
        groups = _alike(better, found)
        texts += [
            f"try {_percentile(of[0].best)} instead of {RELEASED[which]} for {which}{told}" for of, told in groups
        ]
        rest = [moved for moved in here if moved not in better]
        if rest:
            place = _places(rest, found) if better else ""
            texts.append(f"keep the released {RELEASED[which]} for {which}{place}{_WHETHER[which]}")
    return "; ".join(texts) + "."


def _percentile(level: int) -> str:
    return "0 (the extremes)" if level == 0 else str(level)


def _alike(better: Sequence[Moved], found: Sequence[Moved]) -> list[tuple[list[Moved], str]]:
    """Return those that one percentile suits best, and where that is, in words."""
    groups: dict[tuple[int, str], list[Moved]] = {}
    for moved in better:
        groups.setdefault((moved.best, moved.name), []).append(moved)
    return [(here, _places(here, found)) for here in groups.values()]


def _places(here: Sequence[Moved], found: Sequence[Moved], difference: str = "", sign: int = 1) -> str:
    """Name networks and methods, where there are several of them, and the differences: `` on a (+0.10 ± 0.02 dB) and b (...)``."""
    methods, networks = (len({getattr(moved, name) for moved in found}) > 1 for name in ("name", "network"))
    details = []
    for moved in here:
        d = getattr(moved, difference, None)
        gain = [f"{sign * d.mean:+z.2f} ± {d.spread:.2f} dB"] if d else []
        details.append(", ".join([moved.name] * methods + gain))
    if networks:
        places = [moved.network + (f" ({told})" if told else "") for moved, told in zip(here, details)]
        return f" on {several(places)}"
    return f" ({'; '.join(details)})" if any(details) else ""


def _matters(found: Sequence[Moved]) -> str:
    """Whether percentiles matter for images and for layers, and up to which, beyond the released one, they hardly do."""
    matters, hardly = [], []
    for which, here in _parts(found).items():
        most = max(moved.span for moved in here)
        levels = sorted({level for moved in here for level in moved.psnr.index})
        near = [level for level in levels if max(moved.up_to(level) for moved in here) <= _NOTICEABLE]
        if near and near[-1] == levels[-1]:
            hardly.append(f"for {which} (at most {most:.2f} dB)")
        elif near and near[-1] >= RELEASED[which]:
            hardly.append(f"for {which} up to percentile {near[-1]} (beyond it up to {most:.2f} dB)")
        else:
            matters.append(f"for {which} (up to {most:.2f} dB between percentiles)")
    told = [f"matters {several(matters)}"] if matters else []
    told += [f"hardly {'' if matters else 'matters '}{several(hardly)}"] if hardly else []
    return f"It {', '.join(told)}."


def _verdict(found: Sequence[Moved]) -> str:
    return " ".join(f"For {which} {_told(which, here, found)}." for which, here in _parts(found).items())


def _told(which: str, here: Sequence[Moved], found: Sequence[Moved]) -> str:
    """Which percentile is clearly better than the released one and where; what that one is worth against the extremes elsewhere."""
    released = RELEASED[which]
    better = [moved for moved in here if moved.lost.sure]
    texts = [
        f"{_percentile(of[0].best)}{_meaning(of[0])} is clearly better than the released {released}{_places(of, found, 'lost', -1)}"
        for of, _ in _alike(better, found)
    ] or [f"no other percentile is clearly better than the released {released}"]
    rest = [moved for moved in here if moved not in better]
    for word, sign in (("better", 1), ("worse", -1)):
        sure = [moved for moved in rest if moved.worth.sure and moved.worth.mean * sign > 0]
        if sure:
            texts.append(
                f"{released} is clearly {word} than 0{'' if better else ', the extremes,'}{_places(sure, found, 'worth')}"
            )
    if not better and len(texts) == 1:
        texts[0] += f", which the seeds cannot tell from {_percentile(0)}"
    worst = max(here, key=lambda moved: moved.most.mean)
    if not better and worst.most.mean > _NOTICEABLE:
        spread = "" if worst.seeds == 1 else f" ± {worst.most.spread:.2f}"
        doubt = "" if worst.seeds == 1 or worst.most.sure else ", not clearly"
        place = _places([worst], found)
        texts.append(f"of the others tried {worst.worst} loses most, {worst.most.mean:.2f}{spread} dB{place}{doubt}")
    return "; ".join(texts)


def _meaning(moved: Moved) -> str:
    """What the extremes come to for layers, whose thresholds are taken from these very layers."""
    return ", which gives all layers the same bits," if (moved.which, moved.best) == (LAYERS, 0) else ""


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
