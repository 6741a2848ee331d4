"""How many steps runs take and need, and how many bits their states have."""

import pandas as pd

from ..tables.wording import least_to_most, several
from .stopping_gains import FABS, span

RELEASED = 500  # steps
_OTHER_BITS = 0.05


def share_taken(found: pd.DataFrame) -> float:
    """Part of the steps of all runs that stopping early takes; all of none, where runs diverged at once."""
    steps = found["steps"].sum()
    return float(found["stopped"].sum() / steps) if steps else 1.0


def bits(found: pd.DataFrame, kept: str) -> str:
    """Tell on which networks the state that is kept has more or fewer bits than the last step: mappings move them along the way."""
    means = found.groupby("backbone", sort=False)[[FABS[kept], "last_fab"]].mean()
    gaps = means[FABS[kept]] - means["last_fab"]
    told = []
    for word, here in (("more", gaps[gaps >= _OTHER_BITS]), ("fewer", -gaps[gaps <= -_OTHER_BITS])):
        on = f" on {several(list(here.index))}" if len(here) and found["backbone"].nunique() > 1 else ""
        told += [f"{least_to_most(here)} bits {word}{on}"] if len(here) else []
    if not told:
        return ""
    return f"The kept state has {several(told)}, which rounds of the mappings move: how much of a difference is due to bits is not known."


def more_bits(found: pd.DataFrame, kept: str) -> str:
    """By how many bits the state that is kept differs from the last step, in the mean."""
    gap = (found[FABS[kept]] - found["last_fab"]).mean()
    return f", at {abs(gap):.2f} bits {'more' if gap > 0 else 'fewer'} in the mean" if abs(gap) >= _OTHER_BITS else ""


def how_many(found: pd.DataFrame) -> str:
    """After how many steps the loss has fallen by 95 % of all that it falls, and where it mostly still falls at the last."""
    networks = list(dict.fromkeys(found["backbone"]))
    last = (found["lowest"] == found["steps"]).groupby(found["backbone"]).mean()
    on = lambda name: f" on {name}" if len(networks) > 1 else ""
    runs = {name: found[found["backbone"] == name] for name in networks}
    flat = [name for name, of in runs.items() if (of["lowest"] == 0).all()]
    near = [(span(of["near"]), on(name)) for name, of in runs.items() if name not in flat]
    told = [steps + " steps" * (not place) + where for place, (steps, where) in enumerate(near)]
    text = f"95 % of what the loss falls is there after {several(told)}" if told else "The loss never falls"
    text += f"; it never falls on {several(flat)}" if flat and told else ""
    if falling := [name for name in networks if last[name] > 0.5 and name not in flat]:
        steps = " and ".join(str(of) for of in sorted(set(found.loc[found["backbone"].isin(falling), "steps"])))
        where = f" on {several(falling)}" if len(networks) > 1 else ""
        text += f"; at the last step, {steps}, it mostly still falls{where}"
    return f"{text}."


def best_steps(found: pd.DataFrame) -> str:
    """After how many steps PSNR is best, in hindsight."""
    many = found["backbone"].nunique() > 1
    told = [
        span(of["best"]) + " steps" * (not place) + f" on {name}" * many
        for place, (name, of) in enumerate(found.groupby("backbone", sort=False))
    ]
    return f"In hindsight PSNR is best after {several(told)}."


def scope(traces: pd.DataFrame) -> str:
    """How many rounds and steps runs have, which of them train the ranges of weights, and how many the released recipe has."""
    lengths: dict[tuple[int, int, int], list[str]] = {}
    for name, of in traces.groupby("backbone", sort=False):
        run = of[of["seed"] == of.sort_values("step", kind="stable")["seed"].iloc[-1]]
        rounds, steps = int(run["round"].max()), int(run["step"].max())
        weights = run.loc[(run["group"] == "weight") & (run["round"] > 0), "round"].nunique() * (
            steps // max(rounds, 1)
        )
        lengths.setdefault((rounds, steps, weights), []).append(name)
    several_lengths = len(lengths) > 1
    told = [
        f"{rounds} rounds of {steps // max(rounds, 1)} steps{_of_weights(weights, steps)}{f' on {several(names)}' * several_lengths}"
        for (rounds, steps, weights), names in lengths.items()
    ]
    fewer = f"; the released recipe has {RELEASED} steps" if any(steps < RELEASED for _, steps, _ in lengths) else ""
    return f"A run has {'; '.join(told)}{fewer}."


def _of_weights(weights: int, steps: int) -> str:
    """How many steps train the ranges of weights, where not all or none do."""
    return f" ({weights} of {steps} for the ranges of weights)" if 0 < weights < steps else ""
