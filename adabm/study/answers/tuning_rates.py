"""Sentences on fine-tuning: at which learning rates it ends alike, or lower."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from ..plan.cells import Run
from ..plan.effort import Effort
from ..tables.wording import several, told_count
from .tuning_outcomes import ENOUGH, Tuned, best_run


def learning_rate(options: Mapping, setting: str, effort: Effort) -> str:
    """Return the learning rate of ranges in a run, as sentences tell it: of its method, with its changes, else as ``effort`` says.

    >>> learning_rate({"method": "adabm", "changes": {"tune.lr_weight": 0.001}}, "W4A4 FQ", Effort(patch_size=96))
    '0.001 of weights with 0.01 of activations'
    """
    tuning = Run.at(options["method"], setting, 0, options.get("changes")).config(effort).step("tune")
    weight, activation = f"{tuning.lr_weight:g}", f"{tuning.lr_activation:g}"
    told = weight if weight == activation else f"{weight} of weights with {activation} of activations"
    return f"{told} of the width" if tuning.relative_lr else told


def told_tuning(options: Mapping, setting: str, effort: Effort) -> str:
    """Return how long, and at which learning rate of ranges, a method fine-tunes; nothing where it does not.

    >>> told_tuning({"method": "adabm"}, "W4A4 FQ", Effort(patch_size=96, rounds=3, steps_per_round=5))
    '15 steps at a learning rate of 0.01'
    """
    tuning = Run.at(options["method"], setting, 0, options.get("changes")).config(effort).step("tune")
    if tuning is None or not tuning.total_steps:
        return ""
    return f"{told_count(tuning.total_steps, 'step')} at a learning rate of {learning_rate(options, setting, effort)}"


def told_rates(
    ended: Mapping[str, Mapping[str, Tuned]],
    runs: Mapping[str, Mapping],
    rates: Mapping[tuple[str, str], str],
    harming: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """Tell by network which learning rate ends best, of the runs that start as the best does; nothing where none has several.

    Args:
        rates: of each network and run.
        harming: rates by network whose losses are told elsewhere.
    """
    texts, unequal, alone = [], [], {}
    for name, of in ended.items():
        method = runs[best_run(of)]["method"]
        alike = {run: tuned for run, tuned in of.items() if runs[run]["method"] == method}
        by_rate = _chosen(alike, {run: rates[name, run] for run in alike})
        if len(by_rate) == 1:
            alone.setdefault(next(iter(by_rate)), []).append(name)
            continue
        unequal += [name] if len({tuned.last for tuned in by_rate.values()}) > 1 else []
        texts.append(_told(by_rate, f" on {name}" if len(ended) > 1 else "", harming.get(name, ())))
    if not texts:
        return ""
    texts += [f"only {rate} was tried on {several(names)}" for rate, names in alone.items()]
    other = f" on {several(unequal)}" if unequal and len(ended) > 1 else ""
    return f"Learning rate: {'; '.join(texts)}." + (f" Runs of unequal length are compared{other}." if unequal else "")


def harmful_rates(
    ended: Mapping[str, Mapping[str, Tuned]], rates: Mapping[tuple[str, str], str]
) -> dict[str, dict[str, str]]:
    """Return by network and learning rate, largest first, the run that loses most, of rates with which a run loses and none gains.

    A network on which no rate gains is left out: there it is not the rate.

    Args:
        rates: of each network and run.
    """
    found: dict[str, dict[str, str]] = {}
    for name, of in ended.items():
        gaining = {rates[name, run] for run, tuned in of.items() if tuned.helps}
        losing = sorted((run for run, tuned in of.items() if tuned.harms), key=lambda run: of[run].total.mean)
        for run in losing if gaining else ():
            if rates[name, run] not in gaining:
                found.setdefault(name, {}).setdefault(rates[name, run], run)
    return {name: {rate: of[rate] for rate in sorted(of, key=_largest_first)} for name, of in found.items()}


def _chosen(runs: Mapping[str, Tuned], rates: Mapping[str, str]) -> dict[str, Tuned]:
    """The run that speaks for each rate: of those whose rounds most rates were tried with, the one of most seeds, then of the best end."""
    shared = {
        run: len({rates[other] for other in runs if (runs[other].turns, runs[other].last) == (tuned.turns, tuned.last)})
        for run, tuned in runs.items()
    }
    found: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: (shared[run], runs[run].seeds, runs[run].end), reverse=True):
        found.setdefault(rates[run], run)
    return {rate: runs[found[rate]] for rate in sorted(found, key=_largest_first)}


def _largest_first(rate: str) -> float:
    return -float(rate.split()[0])


def _told(by_rate: Mapping[str, Tuned], on: str, harming: Collection[str]) -> str:
    """Which rates end within 0.05 dB of the best, and which lower: with what each changes, after how many steps."""
    highest = max(tuned.end for tuned in by_rate.values())
    best = {rate: tuned for rate, tuned in by_rate.items() if tuned.end >= highest - ENOUGH}
    lower = [
        f"{rate} harms" if rate in harming else f"{rate} lower ({tuned.total.told()} {_after(tuned)})"
        for rate, tuned in by_rate.items()
        if rate not in best
    ]
    verb = "ends best" if len(best) == 1 else "end alike"
    return ", ".join([f"{several(list(best))} {verb}{on} ({_changes(list(best.values()))})", *lower])


def _changes(alike: Sequence[Tuned]) -> str:
    """What runs change; steps and seeds once where they share them."""
    after = list(dict.fromkeys(_after(tuned) for tuned in alike))
    if len(after) > 1:
        return several([f"{tuned.total.told()} {_after(tuned)}" for tuned in alike])
    changes = [tuned.total.told() for tuned in alike]
    each = " each" if len(changes) > 1 and len(set(changes)) == 1 else ""
    return f"{changes[0] if each else several(changes)}{each} {after[0]}"


def _after(tuned: Tuned) -> str:
    return f"in {told_count(tuned.last, 'step')}, {told_count(tuned.seeds, 'seed')}"
