"""What follows of fine-tuning for practice: where to stop, at which learning rate, and where to leave it out."""

from collections.abc import Mapping

from ..tables.wording import least_to_most, several, told_count
from .tuning_outcomes import Tuned, best_run
from .tuning_telling import Ended
from .tuning_turns import group_name, trains_one_group


def advice(ended: Ended, rates: Mapping[tuple[str, str], str], own_bits: bool = False) -> str:
    """Where to stop, at which learning rate, and where to leave fine-tuning out; of several networks a table tells steps and gains.

    Args:
        rates: the learning rate of each network and run.
        own_bits: what :func:`from_own_bits` says.
    """
    start = "from ranges at own bits " if own_bits else ""
    best = {name: of[best_run(of)] for name, of in ended.items()}
    if len(ended) == 1:
        ((name, of),) = ended.items()
        return f"{start}{_alone(of, rates[name, best_run(of)])}."
    helping = {name: tuned for name, tuned in best.items() if tuned.helps}
    falling = [name for name, tuned in best.items() if tuned.falls]
    leave = [name for name in best if name not in helping and name not in falling]
    texts = []
    if helping:
        steps = least_to_most([_steps(tuned) for tuned in helping.values()], "d")
        texts.append(f"take {steps} steps on {several(list(helping))}")
    if falling:
        steps = least_to_most([best[name].best for name in falling], "d")
        texts.append(
            f"at most {steps} on {several(falling)}" if helping else f"take at most {steps} steps on {several(falling)}"
        )
    told = "; ".join(texts) + _told_rates({name: rates[name, best_run(ended[name])] for name in [*helping, *falling]})
    without = f"leave fine-tuning out on {several(leave)}" if leave else ""
    return f"{start}{'; '.join(filter(None, (told, without)))}."


def _told_rates(rates: Mapping[str, str]) -> str:
    """At which learning rate on which networks."""
    by_rate: dict[str, list[str]] = {}
    for name, rate in rates.items():
        by_rate.setdefault(rate, []).append(name)
    if len(by_rate) < 2:
        return "".join(f", at a learning rate of {rate}" for rate in by_rate)
    return f", at a learning rate of {several([f'{rate} on {several(names)}' for rate, names in by_rate.items()])}"


def _alone(of: Mapping[str, Tuned], rate: str) -> str:
    """What to do on the only network."""
    best = of[best_run(of)]
    if best.helps:
        steps = told_count(_steps(best), "step")
        told = f"the {steps} of {group_name(best.over)}" if best.over else f"about {steps}"
        return f"stop after {told} (learning rate {rate})"
    if best.falls:
        return f"take at most {told_count(best.best, 'step')}, chosen by looking: by step {best.last} less of the gain is left"
    group = trains_one_group(of)
    return f"leave fine-tuning out, or train {group} alone ({best.total.told()})" if group else "leave fine-tuning out"


def _steps(tuned: Tuned) -> int:
    return max(1, tuned.enough)


def rows_advised(ended: Ended, rates: Mapping[tuple[str, str], str], own_bits: bool) -> list[dict[str, str]]:
    """Return a row a network: what to do, from which ranges, and what that gains."""
    rows = []
    for name, of in ended.items():
        run = best_run(of)
        best = of[run]
        row = {
            "network": name,
            "do": "leave fine-tuning out",
            "learning rate": "",
            "gain (dB)": best.total.told(),
            "FAB": "",
        }
        if best.helps:
            over = f", the turn of {group_name(best.over)}" if best.over else ""
            row |= {
                "do": f"{told_count(_steps(best), 'step')}{over}",
                "gain (dB)": best.gained.told(),
                "FAB": f"{best.fab:.2f}",
            }
        elif best.falls:
            row |= {"do": f"at most {told_count(best.best, 'step')}, chosen by looking", "gain (dB)": best.risen.told()}
        if row["do"] != "leave fine-tuning out":
            row["learning rate"] = rates[name, run]
        rows.append(row)
    return rows
