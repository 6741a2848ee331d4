"""Sentences on fine-tuning: what it gains and worsens, how many steps are enough, and what a plateau does not tell."""

import math
from collections.abc import Iterable, Mapping, Sequence

from ..tables.methods import OWN_BITS_RECIPE, RELEASED_RECIPE
from ..tables.wording import least_to_most, several, told_count
from .tuning_outcomes import WORTHWHILE, Tuned, best_run
from .tuning_rates import harmful_rates
from .tuning_turns import group_name, lost_in

_NAMED = 2  # runs that get worse are named in the verdict up to so many, else counted
# By network and run; a number where all seeds diverged before that step.
Found = Mapping[str, Mapping[str, Tuned | int]]
Ended = Mapping[str, Mapping[str, Tuned]]


def verdict(found: Found, ended: Ended, runs: Mapping[str, Mapping]) -> str:
    """Tell in a few sentences what the runs that end best gain, what the released recipe does, how many steps are enough, where all lose."""
    best = {name: of[best_run(of)] for name, of in ended.items()}
    lost = [
        f"{tuned.total.told()}{_on(name, found)} ({told_count(tuned.seeds, 'seed')})"
        for name, tuned in best.items()
        if tuned.harms
    ]
    worse = [f"even what ends best is worse than not fine-tuned: {several(lost)}"] if lost else []
    diverged = [name for name in found if name not in ended]
    worse += [f"on {several(diverged)} every run diverged"] if diverged else []
    return _sentences(*_gains(best, found), _recipe(ended, runs), "; ".join(_enough(best, found)), "; ".join(worse))


def _recipe(ended: Ended, runs: Mapping[str, Mapping]) -> str:
    """What the released recipe, with nothing changed, does where another run ends better."""
    told = []
    for name, of in ended.items():
        best = best_run(of)
        whole = [run for run in of if runs[run]["method"] == RELEASED_RECIPE and not runs[run].get("changes")]
        if whole and best not in whole:
            change = of[whole[0]].total
            sure = "" if math.isnan(change.p_value) else f" ({change.certainty})"
            told.append(f"{change.told()}{sure}{_on(name, ended)}, what ends best is {quoted([best])}")
    return f"the released recipe changes PSNR by {'; by '.join(told)}" if told else ""


def harmful(found: Found, ended: Ended, rates: Mapping[tuple[str, str], str]) -> str:
    """Tell which learning rates and runs lose on networks where others gain.

    Args:
        rates: the learning rate of each network and run.
    """
    others = _not_harmed(ended)
    harmed = harming(ended, rates)
    rate = [
        f"{rate}{_on(name, found)} ({_lost(ended[name][run], (rates[name, best_run(ended[name])], ended[name][best_run(ended[name])]))})"
        for name, of in harmed.items()
        for rate, run in of.items()
    ]
    worse = [f"harmful is a learning rate of {several(rate)}"] if rate else []
    worse += _worsened(
        {
            name: {run: tuned for run, tuned in of.items() if rates[name, run] not in harmed.get(name, ())}
            for name, of in others.items()
        },
        found,
    )
    return _sentences("; ".join(worse))


def _not_harmed(ended: Ended) -> dict[str, Mapping[str, Tuned]]:
    """The networks on which not even what ends best harms."""
    return {name: of for name, of in ended.items() if not of[best_run(of)].harms}


def harming(ended: Ended, rates: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    """Return the learning rates that harm, by network with the run that loses most, where not all does."""
    return harmful_rates(_not_harmed(ended), rates)


def _lost(tuned: Tuned, best: tuple[str, Tuned]) -> str:
    """What a run loses, in how many steps, and in whose turn."""
    turn = lost_in(tuned, best)
    return f"{tuned.total.told()} in {told_count(tuned.last, 'step')}" + (f": {turn}" if turn else "")


def _sentences(*texts: str) -> str:
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in texts if text)


def _gains(best: Mapping[str, Tuned], found: Found) -> list[str]:
    """What the runs that end best gain, and lose where that is not clear; of what harms clearly the verdict has a sentence."""
    told = {name: tuned for name, tuned in best.items() if not tuned.harms}
    if not told:
        return []
    seeds = list(dict.fromkeys(told_count(tuned.seeds, "seed") for tuned in told.values()))
    alike = len(seeds) == 1
    gains = [
        f"{tuned.total.told()}{_on(name, found)}" + ("" if alike else f" ({told_count(tuned.seeds, 'seed')})")
        for name, tuned in told.items()
        if tuned.helps
    ]
    flat = [
        f"{_on(name, found)} ({tuned.total.told()}" + (")" if alike else f", {told_count(tuned.seeds, 'seed')})")
        for name, tuned in told.items()
        if not tuned.helps and not tuned.loses
    ]
    lost = [
        f"{tuned.total.amount()}{_on(name, found)} ({tuned.total.certainty}"
        + (")" if alike else f", {told_count(tuned.seeds, 'seed')})")
        for name, tuned in told.items()
        if tuned.loses
    ]
    gains += [f"hardly anything {several([text.strip() for text in flat])}"] if flat else []
    changes = [f"gains {several(gains)}"] if gains else []
    changes += [f"loses {several(lost)}"] if lost else []
    runs = "runs that end" if len(told) > 1 else "run that ends"
    return [f"fine-tuning {' and '.join(changes)} in the {runs} best" + (f" ({seeds[0]})" if alike else "")]


def _enough(best: Mapping[str, Tuned], found: Found) -> list[str]:
    """How many steps are enough, where that can be told; where a turn was over, or the run, before."""
    by_steps: dict[int, list[str]] = {}
    by_group: dict[str, list[tuple[str, int]]] = {}
    texts = []
    for name, tuned in best.items():
        if not tuned.helps:
            continue
        if tuned.rising:
            texts.append(f"{_on(name, found).strip()} PSNR still rises at its last step, {tuned.last}".strip())
        elif tuned.over:
            by_group.setdefault(tuned.over, []).append((name, tuned.enough))
        else:
            by_steps.setdefault(tuned.enough, []).append(name)
    for group, places in by_group.items():
        on = f"on {several([name for name, _ in places])} " if len(found) > 1 else ""
        ended = [str(step) for _, step in places]
        steps = ended[0] if len(set(ended)) == 1 else several(ended)
        texts.insert(0, f"{on}all of it is there when the turn of {group_name(group)} ends, after {steps} steps")
    if by_steps:
        on = lambda names: f" on {several(names)}" if len(found) > 1 else ""
        first, *others = by_steps.items()
        told = [f"{told_count(first[0], 'step')} {'is' if first[0] == 1 else 'are'} enough{on(first[1])}"]
        texts.insert(0, several([*told, *[f"{step}{on(names)}" for step, names in others]]))
    return texts


def from_own_bits(ended: Ended, runs: Mapping[str, Mapping]) -> bool:
    """Whether the run that ends best starts from ranges at own bits, on every network."""
    return all(runs[best_run(of)]["method"] == OWN_BITS_RECIPE for of in ended.values())


def begun_at(ended: Ended, runs: Mapping[str, Mapping], rates: Mapping[tuple[str, str], str]) -> str:
    """Tell that the runs that end best start from ranges at own bits, if they do, and what the released ranges start at.

    Args:
        rates: learning rate of each network and run; runs of one rate are compared.
    """
    if not from_own_bits(ended, runs):
        return ""
    lower = []
    for name, of in ended.items():
        own, released = (
            [run for run in of if runs[run]["method"] == method] for method in (OWN_BITS_RECIPE, RELEASED_RECIPE)
        )
        if not released:
            continue
        other = max(released, key=lambda run: of[run].end)
        alike = [of[run] for run in own if rates[name, run] == rates[name, other]]
        best = max(alike, key=lambda tuned: (tuned.seeds, tuned.end), default=None)
        if best is not None and min(best.start - of[other].start, best.end - of[other].end) > 0:
            gaps = f"by {best.start - of[other].start:.2f} and {best.end - of[other].end:.2f} dB{_on(name, ended)}"
            lower.append(f"{gaps} (both at {rates[name, other]})")
    told = f"{'These runs start' if len(ended) > 1 else 'This run starts'} from weight ranges searched at own bits."
    return told + (f" Runs from the released ranges start and end lower: {several(lower)}." if lower else "")


def _worsened(ended: Ended, found: Found) -> list[str]:
    """Which runs lose, by network."""
    worse = {name: [run for run, tuned in of.items() if tuned.harms] for name, of in ended.items()}
    worse = {name: runs for name, runs in worse.items() if runs}
    if not worse:
        return []
    if sum(len(runs) for runs in worse.values()) <= _NAMED:
        told = [
            f'"{run}"{_on(name, found)} ({ended[name][run].total.told()})'
            for name, runs in worse.items()
            for run in runs
        ]
        return [f"worse than not fine-tuned {'is' if len(told) == 1 else 'are'} {several(told)}"]
    counts = [f"{len(runs)} of {len(ended[name])} runs{_on(name, found)}" for name, runs in worse.items()]
    return [f"{several(counts)} end worse than not fine-tuned"]


def ends(ended: Ended) -> str:
    """Between which values the runs of the only network end, which ends best, and whether another gains more from a worse start."""
    texts, others = [], []
    for name, of in ended.items():
        values, run, on = [tuned.end for tuned in of.values()], best_run(of), _on(name, ended)
        if len(of) > 1 and len(ended) == 1:
            texts.append(f"Runs end between {min(values):.2f} and {max(values):.2f} dB, best {quoted([run])}.")
        if most := gaining_more(of):
            start = f"starts at {of[most].start:.2f} dB instead of {of[run].start:.2f} and comes to {_reached(of[most])} instead of {_reached(of[run])}"
            others.append(f"{quoted([most])} gains more{on}, {of[most].total.told()}, and ends lower: it {start}.")
    return " ".join([*texts, *others])


def _reached(tuned: Tuned) -> str:
    """``31.21 dB (FAB 4.3) in 5 steps``: after as many as are enough."""
    return f"{tuned.reached:.2f} dB (FAB {tuned.fab:.1f}) in {told_count(tuned.enough, 'step')}"


def divergences(found: Found) -> list[str]:
    """Which runs diverged, with how many of their seeds."""
    texts = []
    for name, of in found.items():
        for run, tuned in of.items():
            place = f"{quoted([run])}{_on(name, found)} diverged before step"
            if not isinstance(tuned, Tuned):
                texts.append(f"{place} {tuned}")
            elif tuned.diverged:
                count = f"{tuned.diverged} of {tuned.diverged + tuned.seeds} seeds"
                texts.append(f"{place} {tuned.last} with {count}, which its numbers leave out")
    return [f"{several(texts)}."] if texts else []


def turns(ended: Ended) -> list[str]:
    """What the round of the first group has of the gain, and which plateaus begin because a turn is over."""
    rotating = [
        (name, run, tuned)
        for name, of in ended.items()
        for run, tuned in of.items()
        if tuned.helps and len(tuned.turns.groups) > 1
    ]
    if not rotating:
        return []
    by_group: dict[str, list[float]] = {}
    for _, _, tuned in rotating:
        if tuned.share is not None:
            by_group.setdefault(tuned.turns.groups[0], []).append(tuned.share)
    texts = ["Groups of parameters take turns, a round each."]
    for group, shares in by_group.items():
        span = least_to_most(shares, ".0%")
        texts.append(
            f"The first round, of {group_name(group)}, has {span} of the change in runs that gain {WORTHWHILE} dB or more."
        )
    over = [place for place in rotating if place[2].over]
    rising = [place for place in rotating if place[2].rising]
    inside = [place for place in rotating if not place[2].over and not place[2].rising]
    if over:
        texts.append(
            "A plateau that begins where a round ends says that the turn was over, not that so many steps were needed: so with "
            f"{_places(over, ended)}."
        )
    if rising:
        texts.append(f"PSNR rises up to the last step of {_places(rising, ended)}.")
    if inside and (over or rising):
        texts.append(f"How few steps do is told by plateaus that begin inside a round: {_places(inside, ended)}.")
    return [" ".join(texts)]


def _places(places: Iterable[tuple[str, str, Tuned]], networks: Mapping) -> str:
    """Name runs by network, with the step from which they are as good as at their last."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, run, tuned in places:
        found.setdefault((name, tuned.enough), []).append(run)
    return several([f"{quoted(runs)}{_on(name, networks)} (step {step})" for (name, step), runs in found.items()])


def gaining_more(of: Mapping[str, Tuned]) -> str | None:
    """The run that gains most, where that is not the one that ends best: it starts lower."""
    most = max(of, key=lambda run: of[run].total.mean)
    return most if of[most].total.mean > of[best_run(of)].total.mean + WORTHWHILE else None


def peaks(ended: Ended) -> list[str]:
    """What runs that hardly gain had gained before, at a step that was chosen by looking."""
    best = {name: of[best_run(of)] for name, of in ended.items()}
    return [
        f"What ends best{_on(name, ended)} had gained more at step {tuned.best}, chosen by looking: {tuned.risen.told()}{_again(tuned)}."
        for name, tuned in best.items()
        if tuned.falls
    ]


def _again(tuned: Tuned) -> str:
    """In whose turn that is lost again."""
    turn = lost_in(tuned)
    return f", then {turn}" if turn else ""


def quoted(runs: Sequence[str]) -> str:
    """List runs, whose names may hold commas."""
    return several([f'"{run}"' for run in runs])


def _on(name: str, networks: Mapping) -> str:
    return f" on {name}" if len(networks) > 1 else ""
