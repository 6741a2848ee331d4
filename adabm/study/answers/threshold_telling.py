"""The sentences and tables about where thresholds start."""

from collections.abc import Callable, Sequence

from ..tables.wording import least_to_most, several
from .significance import Difference
from .threshold_gains import EXTREMES, Dealt, Moved
from .threshold_starts import CONSTANT, IMAGES, LAYERS, RANDOM, RELEASED, STARTS

NOTICEABLE = 0.1  # dB
_BIT = 0.05  # FAB; less is not told
_WHETHER = {  # pages that ask more of both
    IMAGES: " (whether to map images at all: page of complexity)",
    LAYERS: " (of the standard deviation; whether another measure deals bits better: page of sensitivity)",
}
_STARTS = {
    (IMAGES, RANDOM): "thresholds of images at random",
    (IMAGES, CONSTANT): "the same constants for all",
    (LAYERS, RANDOM): "factors of layers dealt at random",
}


def _parts(found: Sequence[Moved]) -> dict[str, list[Moved]]:
    """The comparisons of images and those of layers, where there are any."""
    parts = {which: [moved for moved in found if moved.which == which] for which in (IMAGES, LAYERS)}
    return {which: here for which, here in parts.items() if here}


def advice(found: Sequence[Moved], dealt: Sequence[Dealt] = ()) -> str:
    """Tell of one method which percentiles to take, and where constants do better.

    Args:
        dealt: what its thresholds of images give over the same FAB dealt blindly.
    """
    blindly = {of.network: of.gain for of in dealt if of.start == str(RELEASED[IMAGES])}
    texts = []
    for which, here in _parts(found).items():
        better = [moved for moved in here if moved.lost.sure]
        texts += [
            f"try {_advised(of[0])} instead of {RELEASED[which]} for {which}{_places(of, found)}{_as_good(of, found)}"
            for of in _alike(better, lambda moved: moved.advised)
        ]
        rest = [moved for moved in here if moved not in better]
        dear = [moved for moved in rest if _dear(moved)]
        if dear:
            texts.append(
                f"give all images the base bits{_places(dear, found)}, {least_to_most(map(_more_bits, dear))} bits fewer than the released thresholds "
                f"give, which gain nothing clear ({several([moved.base.told() for moved in dear])})"
            )
        rest = [moved for moved in rest if moved not in dear]
        bought = [moved for moved in rest if which == IMAGES and _bought(moved, blindly.get(moved.network))]
        if bought:
            gains, bits = ([of(moved) for moved in bought] for of in (lambda moved: moved.base.mean, _more_bits))
            given = f"{least_to_most(gains, '+z.2f')} dB"
            texts.append(
                f"give all images the base bits{_places(bought, found)}: what the released thresholds give over them ({given}) is no "
                f"more than their {least_to_most(bits)} bits more give when dealt blindly"
            )
        rest = [moved for moved in rest if moved not in bought]
        if rest:
            place = _places(rest, found) if better or dear or bought else ""
            texts.append(f"keep the released {RELEASED[which]} for {which}{place}{_worth(rest)}{_WHETHER[which]}")
        constant = [
            moved
            for moved in here
            if CONSTANT in moved.starts and moved.starts[CONSTANT].sure and moved.starts[CONSTANT].mean < 0
        ]
        if constant:
            texts.append(f"constants do better{_places(constant, found)}")
    sets = list(dict.fromkeys(moved.dataset for moved in found))
    itself = "itself" if len(sets) == 1 else "themselves"
    return (
        f'{"; ".join(texts)}. Percentiles were compared on {several(sets)} {itself}, with the method "{found[0].name}".'
    )


def _worth(here: Sequence[Moved]) -> str:
    """What the released thresholds of images give over all images at the base bits; nothing where that was not measured."""
    gains = [moved.base.mean for moved in here if moved.base is not None]
    more = [_more_bits(moved) for moved in here if moved.base is not None]
    if not gains:
        return ""
    return f" (over all at the base bits {least_to_most(gains, '+z.2f')} dB for {least_to_most(more, '+z.2f')} bits)"


def _dear(moved: Moved) -> bool:
    """Whether the released thresholds of images have more bits than all at the base, and no more PSNR beyond doubt."""
    if moved.base is None or moved.seeds == 1 or _more_bits(moved) < _BIT:
        return False
    return not (moved.base.sure and moved.base.mean > 0)


def _bought(moved: Moved, blindly: Difference | None) -> bool:
    """Whether what the released thresholds of images give over the base bits is not clearly more than their further bits give anyway."""
    if moved.base is None or blindly is None or moved.seeds == 1 or _more_bits(moved) < _BIT:
        return False
    return not (blindly.sure and blindly.mean > 0)


def _advised(moved: Moved) -> str:
    layers = (moved.which, moved.advised) == (LAYERS, EXTREMES)
    return "0 (the same bits for all layers)" if layers else _percentile(moved.advised)


def _as_good(here: Sequence[Moved], found: Sequence[Moved]) -> str:
    """The best percentiles of networks on which the extremes, which are not told from them, are advised."""
    near = [moved for moved in here if moved.advised != moved.best]
    told = [f"{moved.best:g}{_places([moved], found)}" for moved in near]
    return f" (or {several(told)}, which cannot be told from it)" if near else ""


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
    """Whether percentiles matter for images and for layers: which are clearly worse or better than the released one."""
    told = []
    for which, here in _parts(found).items():
        most = f"{max(moved.span for moved in here):.2f} dB between percentiles"
        clear = _clearest(which, here, found)
        if max(moved.span for moved in here) <= NOTICEABLE:
            told.append(("hardly matters", f"for {which} (at most {most})"))
        elif clear:
            told.append(("matters", f"for {which} ({several(clear)})"))
        elif max(moved.seeds for moved in here) == 1:
            told.append(("matters", f"for {which} (up to {most}, with one seed)"))
        else:
            told.append(
                ("does not clearly matter", f"for {which} (up to {most}, which the seeds cannot tell from nothing)")
            )
    words = [word for word in ("matters", "hardly matters", "does not clearly matter") if word in dict(told)]
    return f"It {', '.join(f'{word} {several([text for of, text in told if of == word])}' for word in words)}."


def _clearest(which: str, here: Sequence[Moved], found: Sequence[Moved]) -> list[str]:
    """The percentile that clearly loses most against the released one, and the one that clearly gains most, each where there is one."""
    told = []
    for verb, sign in (("loses", 1), ("gains", -1)):
        sure = [
            (moved, level, gap)
            for moved in here
            for level, gap in moved.against.items()
            if gap.sure and sign * gap.mean >= NOTICEABLE
        ]
        if sure:
            moved, level, gap = max(sure, key=lambda one: abs(one[2].mean))
            against = "" if told else f" against the released {RELEASED[which]}"
            told.append(f"{level:g} {verb} {gap.amount()}{_places([moved], found)}{against}")
    return told


def even(found: Sequence[Moved]) -> str:
    """Tell of one method what the released thresholds of images give over all images at the base bits, and for how many bits."""
    here = [moved for moved in found if moved.base is not None]
    if not here:
        return ""
    told = []
    for moved in here:
        released = RELEASED[moved.which]
        text = f"{moved.base.told()}{_places([moved], found)} with {_bits(moved)}{_doubt(moved.base, moved.seeds)}"
        if len(here) == 1:
            psnr = moved.psnr[released]
            text += f": {psnr:.2f} dB at FAB {moved.fab[released]:.2f} instead of {psnr - moved.base.mean:.2f} dB at {moved.base_fab:.2f}"
        told.append(text)
    return f"Over all images at the base bits the released thresholds give {several(told)}."


def _bits(moved: Moved) -> str:
    """How many bits more the released thresholds of images have than all images at the base bits."""
    more = _more_bits(moved)
    return f"{abs(more):.2f} bits {'more' if more >= 0 else 'fewer'}"


def _more_bits(moved: Moved) -> float:
    return moved.fab[RELEASED[moved.which]] - moved.base_fab


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
    if not better and worst.most.mean > NOTICEABLE:
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
