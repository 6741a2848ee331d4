"""The sentences and tables about where thresholds start."""

from collections.abc import Callable, Mapping, Sequence

from ..tables.wording import least_to_most, several
from .significance import Difference, paired_difference, share_seeds
from .threshold_gains import EXTREMES, Dealt, Moved
from .threshold_starts import CONSTANT, IMAGES, LAYERS, RANDOM, RELEASED, STARTS

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
    """Tell of one method which percentiles to take, and where constants do better."""
    texts = []
    for which, here in _parts(found).items():
        better = [moved for moved in here if moved.lost.sure]
        texts += [
            f"try {_advised(of[0])} instead of {RELEASED[which]} for {which}{_places(of, found)}{_as_good(of, found)}"
            for of in _alike(better, lambda moved: moved.advised)
        ]
        rest = [moved for moved in here if moved not in better]
        if rest:
            place = _places(rest, found) if better else ""
            texts.append(f"keep the released {RELEASED[which]} for {which}{place}{_WHETHER[which]}")
        constant = [moved for moved in here if CONSTANT in moved.starts and _gains(moved.starts[CONSTANT])]
        if constant:
            texts.append(f"constants do better{_places(constant, found)}")
    sets = list(dict.fromkeys(moved.dataset for moved in found))
    itself = "itself" if len(sets) == 1 else "themselves"
    return (
        f'{"; ".join(texts)}. Percentiles were compared on {several(sets)} {itself}, with the method "{found[0].name}".'
    )


def _advised(moved: Moved) -> str:
    layers = (moved.which, moved.advised) == (LAYERS, EXTREMES)
    return "0 (the same bits for all layers)" if layers else _percentile(moved.advised)


def _as_good(here: Sequence[Moved], found: Sequence[Moved]) -> str:
    """The best percentiles of networks on which the extremes, which are not told from them, are advised."""
    near = [moved for moved in here if moved.advised != moved.best]
    told = [f"{moved.best:g}{_places([moved], found)}" for moved in near]
    return f" (or {several(told)}, which cannot be told from it)" if near else ""


def _gains(released_minus_it: Difference) -> bool:
    return released_minus_it.sure and released_minus_it.mean < 0


def _percentile(level: float) -> str:
    return "0 (the extremes)" if level == 0 else f"{level:g}"


def _alike(better: Sequence[Moved], level: Callable[[Moved], float] = lambda moved: moved.best) -> list[list[Moved]]:
    """Return those that one percentile suits best together."""
    groups: dict[float, list[Moved]] = {}
    for moved in better:
        groups.setdefault(level(moved), []).append(moved)
    return list(groups.values())


def _places(here: Sequence[Moved], found: Sequence[Moved], difference: str = "", sign: int = 1) -> str:
    """Name networks, where there are several, and the differences: `` on a (+0.10 ± 0.02 dB) and b (...)``."""
    told = [(moved.network, getattr(moved, difference).told(sign) if difference else "") for moved in here]
    if len({moved.network for moved in found}) > 1:
        return f" on {several([network + f' ({gain})' * bool(gain) for network, gain in told])}"
    return f" ({told[0][1]})" if difference else ""


def _doubt(difference: Difference, seeds: int) -> str:
    """Whether seeds leave it in doubt, in brackets."""
    return "" if seeds == 1 or difference.sure else " (not clearly)"


def matters(found: Sequence[Moved]) -> str:
    """Whether percentiles matter for images and for layers, and up to which, beyond the released one, they hardly do."""
    matters, hardly = [], []
    for which, here in _parts(found).items():
        widest = max(here, key=lambda moved: moved.span)
        most = f"{widest.span:.2f} dB"
        ends = widest.ends
        doubt = "" if ends is not None and (ends.sure or ends.spread == 0) else ", the largest not clearly"
        levels = sorted({level for moved in here for level in moved.psnr.index})
        near = [level for level in levels if max(moved.up_to(level) for moved in here) <= _NOTICEABLE]
        if near and near[-1] == levels[-1]:
            hardly.append(f"for {which} (at most {most} between percentiles)")
        elif near and near[-1] >= RELEASED[which]:
            hardly.append(f"for {which} up to percentile {near[-1]:g} (beyond it up to {most}{doubt})")
        else:
            matters.append(f"for {which} (up to {most} between percentiles{doubt})")
    told = [f"matters {several(matters)}"] if matters else []
    told += [f"hardly {'' if matters else 'matters '}{several(hardly)}"] if hardly else []
    return f"It {', '.join(told)}."


def verdict(found: Sequence[Moved]) -> str:
    """Tell of one method, of images and of layers, which percentile is clearly better than the released one."""
    return " ".join(f"For {which} {_told(which, here, found)}." for which, here in _parts(found).items())


def _told(which: str, here: Sequence[Moved], found: Sequence[Moved]) -> str:
    """Which percentile is clearly better than the released one and where; what that one is worth against the extremes elsewhere."""
    released = RELEASED[which]
    better = [moved for moved in here if moved.lost.sure]
    texts = [
        f"{_percentile(of[0].best)}{_meaning(of[0])} is clearly better than the released {released}{_places(of, found, 'lost', -1)}"
        for of in _alike(better)
    ] or [f"no other percentile is clearly better than the released {released}"]
    rest = [moved for moved in here if moved not in better]
    for word, sign in (("better", 1), ("worse", -1)):
        sure = [moved for moved in rest if moved.worth.sure and moved.worth.mean * sign > 0]
        if sure:
            texts.append(
                f"{released} is clearly {word} than 0{'' if better else ', the extremes,'}{_places(sure, found, 'worth')}"
            )
    if not better and len(texts) == 1:
        who = "one seed" if max(moved.seeds for moved in here) == 1 else "the seeds"
        texts[0] += f", which {who} cannot tell from {_percentile(0)}"
    worst = max(here, key=lambda moved: moved.most.mean)
    if not better and worst.most.mean > _NOTICEABLE:
        lost = f"{worst.most.amount()}{_places([worst], found)}{_doubt(worst.most, worst.seeds)}"
        texts.append(f"of the others tried {worst.worst:g} loses most, {lost}")
    return "; ".join(texts)


def _meaning(moved: Moved) -> str:
    """What the extremes come to for layers, whose thresholds are taken from these very layers."""
    return ", which gives all layers the same bits," if (moved.which, moved.best) == (LAYERS, 0) else ""


def begun(found: Sequence[Moved]) -> str:
    """Tell of one method what starts that follow no percentile lose against the released one, and how sure that is by network."""
    texts = []
    for (which, start), words in _STARTS.items():
        here = [moved for moved in found if moved.which == which and start in moved.starts]
        if here:
            texts.append(f"{words} {_lost(here, start, found)}")
    return f"Against the released start {several(texts)}." if texts else ""


def _lost(here: Sequence[Moved], start: str, found: Sequence[Moved]) -> str:
    changes = [-moved.starts[start].mean for moved in here]
    if max(changes) < 0.005:  # dB, as they are told
        told = f"lose {least_to_most([abs(min(change, 0.0)) for change in changes])} dB"
    else:
        told = f"change PSNR by {least_to_most(changes, '+z.2f')} dB"
    notes = []
    for word, sign in (("lost", 1), ("gained", -1)):
        sure = [moved for moved in here if moved.starts[start].sure and sign * moved.starts[start].mean > 0]
        if sure:
            notes.append(f"clearly {word}{_places(sure, found)}")
    more = sum(moved.start_fab[start] - moved.fab[RELEASED[moved.which]] for moved in here) / len(here)
    if not notes and max(moved.seeds for moved in here) > 1:
        notes.append("not clearly")
    if abs(more) >= 0.05:
        notes.append(f"with {abs(more):.2f} bits {'more' if more > 0 else 'fewer'} in the mean")
    return told + (f" ({'; '.join(notes)})" if notes else "")


def blind(dealt: Sequence[Dealt]) -> str:
    """Tell of one method what the released thresholds of images, and the worst start, give over the same FAB dealt blindly."""
    released = [of for of in dealt if of.start == str(RELEASED[IMAGES])]
    if not released:
        return ""
    worst = min(dealt, key=lambda of: of.gain.mean)
    listed = [f"{of.gain.told()} on {of.network}{_doubt(of.gain, of.seeds)}" for of in released]
    told = f"Against the same FAB dealt to pictures blindly the released thresholds give {several(listed)}"
    if worst.gain.mean < min(of.gain.mean for of in released) - 0.005:  # dB, as they are told
        start = worst.start if worst.start in STARTS else f"percentile {worst.start}"
        told += (
            f"; the worst start, {start} on {worst.network}, gives {worst.gain.told()}{_doubt(worst.gain, worst.seeds)}"
        )
    return f"{told}."


def tuned(found: Sequence[Moved], tunings: Mapping[str, str]) -> str:
    """Tell of other methods than the first what they span with the same starts, and what they make of the released start.

    Args:
        tunings: by method, how it fine-tunes.
    """
    first = {(moved.network, moved.which): moved for moved in found if moved.name == found[0].name}
    texts = []
    for name in list(dict.fromkeys(moved.name for moved in found))[1:]:
        pairs = [
            (first[moved.network, moved.which], moved)
            for moved in found
            if moved.name == name and (moved.network, moved.which) in first
        ]
        spans = [(before.which, *_spans(before, after)) for before, after in pairs]
        parts = [
            f"{least_to_most([after for of, _, after in spans if of == which])} dB for {which} "
            f"({found[0].name}: {least_to_most([before for of, before, _ in spans if of == which])})"
            for which in dict.fromkeys(of for of, *_ in spans)
        ]
        if not parts:
            continue
        less = sum(after < before for _, before, after in spans)
        cases = {0: "in no case less", len(spans): "less in every case"}.get(
            less, f"less in {less} of {len(spans)} cases"
        )
        named = len({moved.network for _, moved in pairs}) > 1
        at_released = {
            after.network: (after.values[RELEASED[after.which]], before.values[RELEASED[before.which]])
            for before, after in pairs
        }
        changes = {network: paired_difference(*pair) for network, pair in at_released.items() if share_seeds(*pair)}
        changed = [change.told() + f" on {network}" * named for network, change in changes.items()]
        how = f" ({tunings[name]})" if tunings.get(name) else ""
        by_network = ", by network" * named
        texts.append(
            f'With the method "{name}"{how} the same starts span {several(parts)}{by_network}: {cases}'
            + (f"; at the released start it changes PSNR by {several(changed)}." if changed else ".")
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
        f"the best, {moved.best:g}": (moved.lost, moved.fab[moved.best]),
        "the extremes, 0": (moved.worth, moved.fab[0]),
    }
    if moved.best == 0:
        others = {"the best, the extremes, 0": (moved.worth, moved.fab[0])}
    elif moved.best == released:
        others = {f"the best, itself, {released}": others.pop(f"the best, {moved.best:g}")} | others
    if moved.worst not in (moved.best, released):
        others[f"the worst but 0, {moved.worst:g}"] = moved.most, moved.fab[moved.worst]
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
            **{_SIGNED.get(key, key): cell for key, cell in difference.cells("p (paired, not adjusted)").items()},
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
                for key, cell in of.gain.cells("p (paired, not adjusted)").items()
            },
            "seeds": str(of.seeds),
        }
        for of in dealt
    ]
