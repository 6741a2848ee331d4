"""The sentences and tables about where thresholds start."""

from collections.abc import Sequence

from ..tables.wording import least_to_most, several
from .significance import Difference
from .threshold_gains import Dealt, Moved
from .threshold_starts import CONSTANT, IMAGES, LAYERS, RANDOM, RELEASED

_NOTICEABLE = 0.1  # dB
_WHETHER = {  # pages that ask more of both
    IMAGES: " (whether to map images at all: page of complexity)",
    LAYERS: " (of the standard deviation; whether another measure deals bits better: page of sensitivity)",
}
_SIGNED = {"difference (dB)": "released minus it (dB)"}
_STARTS = {
    (IMAGES, RANDOM): "thresholds of images at random",
    (IMAGES, CONSTANT): "the same constants for all",
    (LAYERS, RANDOM): "factors of layers dealt at random",
}


def _parts(found: Sequence[Moved]) -> dict[str, list[Moved]]:
    """The comparisons of images and those of layers, where there are any."""
    parts = {which: [moved for moved in found if moved.which == which] for which in (IMAGES, LAYERS)}
    return {which: here for which, here in parts.items() if here}


def advice(found: Sequence[Moved]) -> str:
    """Tell which percentiles to take, and whether to calibrate them."""
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


def matters(found: Sequence[Moved]) -> str:
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


def verdict(found: Sequence[Moved]) -> str:
    """Tell, of images and of layers, which percentile is clearly better than the released one."""
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


def begun(found: Sequence[Moved]) -> str:
    """Tell what starts that follow no percentile lose against the released one, by network where they differ."""
    texts = []
    for (which, start), words in _STARTS.items():
        lost = [(moved, moved.starts[start]) for moved in found if moved.which == which and start in moved.starts]
        if lost:
            texts.append(f"{words} {_lost(lost)}")
    return f"Against the released start {several(texts)}." if texts else ""


def _lost(lost: Sequence[tuple[Moved, Difference]]) -> str:
    means = [difference.mean for _, difference in lost]
    clearly = [moved.network for moved, difference in lost if difference.sure and difference.mean > 0]
    where = "clearly" if len(clearly) == len(lost) else f"clearly on {several(clearly)}" if clearly else "not clearly"
    if min(means) >= 0:
        return f"lose {least_to_most(means)} dB ({where})"
    return f"change PSNR by {least_to_most([-mean for mean in means], '+.2f')} dB ({'lose ' * bool(clearly)}{where})"


def blind(dealt: Sequence[Dealt]) -> str:
    """Tell what the released thresholds of images, and the worst start, give over the same FAB dealt blindly."""
    released = [of for of in dealt if of.start == str(RELEASED[IMAGES])]
    if not released:
        return ""
    worst = min(dealt, key=lambda of: of.gain.mean)
    listed = [f"{_gain(of)} on {of.network}" for of in released]
    told = f"Against the same FAB dealt to pictures blindly the released thresholds give {several(listed)}"
    if worst.gain.mean < min(of.gain.mean for of in released) - 0.005:  # dB, as they are told
        told += f"; the worst, {worst.start} on {worst.network}, {_gain(worst)}"
    return f"{told}."


def _gain(of: Dealt) -> str:
    spread = f" ± {of.gain.spread:.2f}" if of.seeds > 1 else ""
    doubt = "" if of.seeds == 1 or of.gain.sure else ", not clearly"
    return f"{of.gain.mean:+z.2f}{spread} dB{doubt}"


def tuned(found: Sequence[Moved]) -> str:
    """Tell of other methods than the first what they make of the released start, and what they span with the same starts."""
    first = {(moved.network, moved.which): moved for moved in found if moved.name == found[0].name}
    texts = []
    for name in list(dict.fromkeys(moved.name for moved in found))[1:]:
        pairs = [(first[moved.network, moved.which], moved) for moved in found if moved.name == name]
        spans = [(before.which, *_spans(before, after)) for before, after in pairs]
        parts = [
            f"{least_to_most([after for of, _, after in spans if of == which])} dB for {which} "
            f"(before {least_to_most([before for of, before, _ in spans if of == which])})"
            for which in dict.fromkeys(of for of, *_ in spans)
        ]
        less = sum(after < before for _, before, after in spans)
        how = (
            "in no case less"
            if less == 0
            else "less in every case"
            if less == len(spans)
            else f"less in {less} of {len(spans)} cases"
        )
        by = ", by network" if len({moved.network for _, moved in pairs}) > 1 else ""
        moves = {
            after.network: after.psnr[RELEASED[after.which]] - before.psnr[RELEASED[before.which]]
            for before, after in pairs
        }
        changed = several([f"{change:+.2f} dB" + f" on {network}" * bool(by) for network, change in moves.items()])
        texts.append(
            f"{name.capitalize()}, the same starts span {several(parts)}{by}: {how}; that tuning itself changes the released start by "
            f"{changed}."
        )
    return " ".join(texts)


def _spans(before: Moved, after: Moved) -> tuple[float, float]:
    """From the worst to the best of the starts that both have, in dB."""
    levels = before.psnr.index.intersection(after.psnr.index)
    starts = [start for start in before.starts if start in after.starts]
    values = [
        [*(moved.psnr[RELEASED[moved.which]] - moved.psnr[levels]), *(moved.starts[start].mean for start in starts)]
        for moved in (before, after)
    ]
    return tuple(max(lost) - min(lost) for lost in values)


def rows(moved: Moved) -> list[dict[str, str]]:
    """Return rows of evidence: the released start against the best percentile, the extremes, and starts that follow none."""
    released = RELEASED[moved.which]
    others: dict[str, tuple[Difference, float]] = {
        f"the best, {moved.best}": (moved.lost, moved.fab[moved.best]),
        "the extremes, 0": (moved.worth, moved.fab[0]),
    }
    if moved.best == 0:
        others = {"the best, the extremes, 0": (moved.worth, moved.fab[0])}
    elif moved.best == released:
        others = {f"the best, itself, {released}": others.pop(f"the best, {moved.best}")} | others
    if moved.worst not in (moved.best, released):
        others[f"the worst but 0, {moved.worst}"] = moved.most, moved.fab[moved.worst]
    others |= {start: (lost, moved.start_fab[start]) for start, lost in moved.starts.items()}
    return [
        {
            "network": moved.network,
            "start of": f"{moved.which}, {moved.name}",
            "released": str(released),
            "PSNR-Y (dB)": f"{moved.psnr[released]:.2f}",
            "FAB": f"{moved.fab[released]:.2f}",
            "against": name,
            "its FAB": f"{fab:.2f}",
            **{_SIGNED.get(key, key): cell for key, cell in difference.cells("p (paired)").items()},
            "all percentiles span (dB)": f"{moved.span:.2f}",
            "seeds": str(moved.seeds),
        }
        for name, (difference, fab) in others.items()
    ]


def rows_blind(dealt: Sequence[Dealt]) -> list[dict[str, str]]:
    """Return rows of evidence: each start of images' thresholds against the same FAB dealt blindly."""
    return [
        {
            "network": of.network,
            "thresholds of images": f"{of.start}, {of.name}",
            "FAB": f"{of.fab:.2f}",
            "PSNR-Y (dB)": f"{of.psnr:.2f}",
            **{
                ("minus the same FAB dealt blindly (dB)" if key == "difference (dB)" else key): cell
                for key, cell in of.gain.cells("p (paired)").items()
            },
            "seeds": str(of.seeds),
        }
        for of in dealt
    ]
