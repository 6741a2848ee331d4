"""What follows of fine-tuning for practice: where to stop, at which learning rate, and where to leave it out."""

from collections.abc import Mapping, Sequence

from ..tables.wording import several, told_count
from .tuning_outcomes import best_run
from .tuning_telling import GROUPS, Ended


def advice(ended: Ended, rates: Mapping[tuple[str, str], str], own_bits: bool = False) -> str:
    """Where to stop, at which learning rate, and where to leave fine-tuning out.

    Args:
        rates: the learning rate of each network and run.
        own_bits: what :func:`from_own_bits` says.
    """
    stop, leave = [], []
    for name, of in ended.items():
        run, on = best_run(of), _on([name], ended)
        if not of[run].helps:
            leave.append(name)
        else:
            over = of[run].over
            steps = told_count(max(1, of[run].enough), "step")
            told = f"after the {steps} of {GROUPS.get(over, over)}" if over else f"after about {steps}"
            stop.append(f"{told}{on} (learning rate {rates[name, run]})")
    falling = {name: ended[name][best_run(ended[name])] for name in leave}
    falling = {name: tuned for name, tuned in falling.items() if tuned.falls}
    leave = [name for name in leave if name not in falling]
    texts = [f"stop {several(stop)}"] if stop else []
    texts += [f"leave fine-tuning out{_left_out(leave, ended, bool(stop))}"] if leave else []
    texts += [
        f"take at most {told_count(tuned.best, 'step')}{_on([name], ended)}, chosen by looking: by step {tuned.last} less of the gain is left"
        for name, tuned in falling.items()
    ]
    return f"{'from ranges at own bits ' if own_bits else ''}{'; '.join(texts)}."


def _left_out(leave: Sequence[str], ended: Ended, tuned_elsewhere: bool) -> str:
    """On which networks, and where only for its time: where it is on none worth it, and does not lose."""
    losing = [name for name in leave if ended[name][best_run(ended[name])].loses]
    flat = [name for name in leave if name not in losing]
    if tuned_elsewhere or not flat:
        return _on(leave, ended)
    also = f"{_on(losing, ended)}, and" if losing else ""
    return f"{also}{_on(flat, ended)} where time matters"


def _on(names: Sequence[str], ended: Ended) -> str:
    return f" on {several(names)}" if len(ended) > 1 else ""
