"""Sentences on how many calibration pictures are needed, and on what decides that."""

from collections.abc import Collection, Mapping, Sequence

from ..tables.wording import least_to_most, several
from .significance import Difference
from .size_gaps import ENOUGH, LUCK, Needed, Swept, above, below, needed

_BITS = 0.1  # FAB; less is not told


def pictures_of(count: int) -> str:
    """Return ``one picture`` or ``5 pictures``."""
    return "one picture" if count == 1 else f"{count} pictures"


def verdict(networks: Mapping[str, Sequence[Swept]], seeds: str) -> str:
    """Tell how many pictures it takes on which network and for what, where the most are needed, and what more may gain or cost."""
    spread, mean, most, alone, limited = {}, {}, [], [], []
    for name, swept in networks.items():
        found = needed(swept)
        if not any(one.gaps for one in swept):
            was = "was" if found.count == 1 else "were"
            alone.append(_on(name, networks, f"{pictures_of(found.count)} alone {was} tried"))
        elif found.limited is not None:
            limited.append(found.limited)
            of = f" of {found.limited.series}" if len({one.most for one in swept}) > 1 else ""
            most.append(_on(name, networks, f"the most that was tried{of}, {pictures_of(found.count)}, is needed"))
        else:
            (spread if found.by_spread else mean)[name] = found
    told = f"as far as {seeds} tell" if seeds != "one seed" else f"to within {ENOUGH} dB (one seed)"
    takes = []
    if spread:
        takes.append(
            f"{_groups(spread, networks)} to keep the spread over draws within {LUCK} dB (standard deviation, {seeds})"
        )
    if mean:
        takes.append(f"{_groups(mean, networks)} to do as well as {_the_most(networks)}, {told}")
    texts = (
        [f"it takes {'; '.join(takes)}{_may_gain(networks, [*spread, *mean])}{_luck(networks, mean)}"] if takes else []
    )
    texts += [several(most) + ("" if takes else f": {_fewer(limited)}")] if most else []
    texts += [several(alone) + ", so that fewer may do"] if alone else []
    texts += told_costs(networks)
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}."


def reason(swept: Sequence[Swept]) -> tuple[int, str]:
    """Return how many pictures one network needs on one set, and in few words why."""
    found = needed(swept)
    if found.limited is not None:
        return found.count, f"{found.count}, the most\ntried, are needed"
    if cost := _cost(swept):
        gap, size, one = cost
        return found.count, f"{one.most} lose {gap.mean:.2f} dB\nagainst {size}"
    why = (
        f"spread within {LUCK} dB\nfrom {found.count} on" if found.by_spread else f"no clear gain\nbeyond {found.count}"
    )
    return found.count, why


def _fewer(limited: Sequence[Swept]) -> str:
    """What fewer than the most do, for the methods that need the most: those before a number that falls back may do as well."""
    all_below = all(below(gap) for one in limited for gap in one.gaps.values())
    return "no fewer do as well" if all_below else "fewer do not always do as well"


def _cost(swept: Sequence[Swept]) -> tuple[Difference, int, Swept] | None:
    """By how much fewer pictures are clearly better than the most on one network, how many, and for which method: where that is most."""
    found = [(gap, size, one) for one in swept for size, gap in one.gaps.items() if above(gap)]
    return max(found, key=lambda of: of[0].mean, default=None)


def told_costs(networks: Mapping[str, Sequence[Swept]]) -> list[str]:
    """Tell what the most pictures lose against fewer, on the networks where they clearly do."""
    every = [one for swept in networks.values() for one in swept]
    texts = [
        f"{one.most} lose {gap.amount()} against {pictures_of(size)}{_place(one, every)}"
        for gap, size, one in filter(None, map(_cost, networks.values()))
    ]
    return [several(texts)] if texts else []


def _the_most(networks: Mapping[str, Sequence[Swept]]) -> str:
    """The most pictures that were tried, of each method where these differ, and on which networks that is another number than on the first."""
    counts: dict[str, list[str]] = {}
    for name, swept in networks.items():
        sizes = sorted({one.most for one in swept if one.gaps})
        if sizes:
            each = ", the most of each method" * (len(sizes) > 1)
            counts.setdefault(" or ".join(map(str, sizes)) + each, []).append(name)
    first, *others = counts
    less = "; ".join(f"{count} on {several(counts[count])}" for count in others)
    return f"{first}" + (f" ({less})" if less else "")


def _farthest(networks: Mapping[str, Sequence[Swept]]) -> dict[str, Swept]:
    """Of each network the method that is farthest below the most with as many as are needed there: all that is told of these is of it."""
    found = {}
    for name, swept in networks.items():
        count = needed(swept).count
        apart = [one for one in swept if count in one.gaps]
        if apart:
            found[name] = min(apart, key=lambda one: one.gaps[count].mean)
    return found


def _may_gain(networks: Mapping[str, Sequence[Swept]], told: Collection[str]) -> str:
    """What the most pictures gain over as many as are needed, where that is noticeable; no seeds tell it for sure."""
    farthest = _farthest(networks)
    gaps = {name: one.gaps[needed(networks[name]).count] for name, one in farthest.items() if name in told}
    gaps = {name: gap for name, gap in gaps.items() if round(-gap.mean, 2) > ENOUGH}
    if not gaps:
        return ""
    where = f" on {several(list(gaps))}" if len(gaps) < len(networks) else ""
    ends = sorted({f"{-gap.mean:.2f}" for gap in gaps.values()}, key=float)
    spread = [f" ± {gap.spread:.2f}" for gap in gaps.values() if len(gaps) == 1 and gap.spread > 0]
    gain = " to ".join(dict.fromkeys([ends[0], ends[-1]])) + "".join(spread)
    return (
        f"; {_the_most({name: [farthest[name]] for name in gaps})} gain {gain} dB more in the mean{where}, not clearly"
    )


def _luck(networks: Mapping[str, Sequence[Swept]], told: Collection[str]) -> str:
    """How much it still matters which pictures are drawn, to quality and to bits, where the spread did not decide and is noticeable."""
    apart = {name: one for name, one in _luckiest(networks).items() if name in told}
    deviations = {name: one.deviation(needed(networks[name]).count) for name, one in apart.items()}
    most = max(deviations, key=lambda name: deviations[name], default=None)
    if most is None or deviations[most] <= 2 * ENOUGH:
        return ""
    one, count = apart[most], needed(networks[most]).count
    place = [f"on {most}"] if len(networks) > 1 else []
    place += [one.series] if len(networks[most]) > 1 else []
    bits = float(one.rows[count]["fab"].std())
    also = f" and FAB by {bits:.2f}" if bits >= _BITS else ""
    which = "which one is" if count == 1 else "which ones are"
    return (
        f"; {which} drawn moves PSNR by {deviations[most]:.2f} dB{also} ({', '.join(['standard deviation', *place])})"
    )


def _luckiest(networks: Mapping[str, Sequence[Swept]]) -> dict[str, Swept]:
    """Of each network the method whose seeds are farthest apart with as many pictures as are needed there, if there are several seeds."""
    found = {}
    for name, swept in networks.items():
        count = needed(swept).count
        drawn = [one for one in swept if count in one.rows and len(one.rows[count]) > 1]
        if drawn:
            found[name] = max(drawn, key=lambda one: one.deviation(count))
    return found


def _on(name: str, networks: Mapping, text: str) -> str:
    return f"on {name} {text}" if len(networks) > 1 else text


def _groups(found: Mapping[str, Needed], networks: Mapping[str, Sequence[Swept]]) -> str:
    """Tell how many pictures which networks need: ``one picture on a, 5 on b and c and more than 5 on d (next tried: 20)``."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, one in found.items():
        groups.setdefault((one.count, one.fewer if _skipped(one, networks) else 0), []).append(name)
    texts = []
    for (count, fewer), names in sorted(groups.items()):
        least = f"more than {fewer}" if fewer else "one" if count == 1 else str(count)
        unit = "" if texts else " picture" if least == "one" else " pictures"
        every = (
            f" on {'all ' if len(networks) > 2 else ''}{len(networks)} networks"
            if len(networks) > 2
            else " on both networks"
        )
        where = "" if len(networks) == 1 else every if len(names) == len(networks) else f" on {several(names)}"
        texts.append(f"{least}{unit}{where}" + (f" (next tried: {count})" if fewer else ""))
    return several(texts)


def _skipped(found: Needed, networks: Mapping[str, Sequence[Swept]]) -> bool:
    """Whether sizes between the number needed and the next smaller one were tried on other networks alone."""
    sizes = {size for swept in networks.values() for one in swept for size in one.rows}
    return found.fewer > 0 and any(found.fewer < size < found.count for size in sizes)


def remaining(networks: Mapping[str, Sequence[Swept]]) -> str:
    """How far as many as are needed are from the most, by network, for the method farthest below it; nothing where they do better."""
    texts = []
    for name, one in _farthest(networks).items():
        count = needed(networks[name]).count
        if above(one.gaps[count]):
            continue
        on = f" on {name}" if len(networks) > 1 else ""
        series = f", {one.series}" if len(networks[name]) > 1 else ""
        texts.append(f"{one.gaps[count].told()}{on} ({count} against {one.most}{series})")
    return f"What remains is {several(texts)}. " if texts else ""


def tried(networks: Mapping[str, Sequence[Swept]]) -> str:
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


def told_of_few(found: Sequence[Swept], networks: Mapping[str, Sequence[Swept]]) -> list[str]:
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
    """How far seeds are apart with as many pictures as are needed, by network, for the method where that is most."""
    texts = []
    for name, one in _luckiest(networks).items():
        count = needed(networks[name]).count
        on = f" on {name}" if len(networks) > 1 else ""
        series = f", {one.series}" if len(networks[name]) > 1 else ""
        texts.append(f"{one.deviation(count):.2f} dB{on} ({pictures_of(count)}{series})")
    return f" With as many as are needed the standard deviation over seeds is {several(texts)}." if texts else ""


def _place(one: Swept, found: Sequence[Swept]) -> str:
    """Name the network and the method in brackets, where there are several."""
    names = [one.network] if len({other.network for other in found}) > 1 else []
    if len({other.series for other in found if other.network == one.network}) > 1:
        names.append(one.series)
    return f" ({', '.join(names)})" if names else ""


def advice(networks: Mapping[str, Sequence[Swept]]) -> str:
    """Tell how many to use, what the worst of fewer loses, and where the most lose."""
    compared = {name: needed(swept) for name, swept in networks.items() if any(one.gaps for one in swept)}
    if not compared:
        return f"use {pictures_of(max(needed(swept).count for swept in networks.values()))}; fewer were not tried."
    least, costs = max(found.count for found in compared.values()), told_costs(networks)
    if least == 1 and costs:
        return f"use few pictures: {costs[0]}."
    if least == 1:
        return "a few pictures do for the mean; take more where the bits shall not depend on which ones were drawn."
    fewer = [
        (gap, size, one)
        for name, found in compared.items()
        for one in networks[name]
        for size, gap in one.gaps.items()
        if size < found.count
    ]
    told = [f"use {pictures_of(least)}" + ("" if costs else " or more")]
    gap, few, one = min(fewer, key=lambda of: of[0].mean, default=(None, 0, None))
    if gap is not None and gap.spread > 0 and not gap.sure:
        told[0] += _at_worst([networks[name] for name in compared], few, least)
    elif gap is not None and gap.mean < 0:
        where = f" on {one.network}" if len(networks) > 1 else ""
        loses = "loses" if few == 1 else "lose"
        told.append(f"{pictures_of(few)} {loses} {gap.amount()} against {one.most}{where}")
    return f"{'; '.join([*told, *costs])}."


def _at_worst(networks: Sequence[Sequence[Swept]], few: int, enough: int) -> str:
    """What the worst seed loses with few pictures and with enough, on the networks that were tried with both, and how far seeds are then apart."""
    both = [[one for one in swept if {few, enough} <= one.rows.keys()] for swept in networks]
    both = [swept for swept in both if swept]
    if not both:
        return ""
    worst = lambda size: least_to_most([max(one.rows[size]["loss_db"].max() for one in swept) for swept in both])
    apart = max(one.deviation(enough) for swept in both for one in swept)
    by = ", by network" if len(both) > 1 else ""
    return (
        f": with {pictures_of(few)} the worst seed loses {worst(few)} dB against full precision, with {enough} {worst(enough)} dB{by}; the standard "
        f"deviation over seeds is then at most {apart:.2f} dB"
    )
