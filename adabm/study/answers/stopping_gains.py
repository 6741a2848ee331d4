"""What each state of fine-tuning gives over another, by network and in the mean of the networks, and the tables of it."""

import pandas as pd

from .measured import signed
from .significance import Difference, adjust, paired_difference

LITTLE = 0.05  # dB; smaller differences are none
FABS = {"rule_db": "rule_fab", "lowest_db": "lowest_fab"}  # bits of the states whose PSNR stands in these columns
_MEAN = "mean of the networks"


def compared(found: pd.DataFrame, column: str, reference: str) -> dict[str, Difference]:
    """Return what one state gives over another by network, paired over seeds; p values are adjusted for the networks."""
    by_network = {name: runs.set_index("seed") for name, runs in found.groupby("backbone", sort=False)}
    return adjust({name: paired_difference(runs[column], runs[reference]) for name, runs in by_network.items()})


def in_the_mean(found: pd.DataFrame, column: str, reference: str) -> Difference:
    """Return what one state gives over another in the mean of the networks, paired over the seeds that all of them have."""
    wide = found.pivot_table(index="seed", columns="backbone", values=[column, reference]).dropna()
    if wide.empty:
        return Difference(float((found[column] - found[reference]).mean()), 0.0, float("nan"))
    return paired_difference(wide[column].mean(axis=1), wide[reference].mean(axis=1))


def preferred(found: pd.DataFrame) -> str:
    """The column of the state that is advised: that of the lowest loss where stopping loses something on it, else the rule's."""
    return "lowest_db" if (found["lowest_db"] - found["rule_db"]).mean() > LITTLE else "rule_db"


def untuned(found: pd.DataFrame, column: str) -> list[str]:
    """The networks on which a state is that of before fine-tuning with every seed."""
    never = (found[{"lowest_db": "lowest", "rule_db": "kept"}[column]] == 0).groupby(found["backbone"], sort=False)
    return [name for name, always in never.all().items() if always]


def tells(gap: Difference) -> bool:
    """Whether a difference is clear, or there is nothing that could leave it in doubt: one seed, or all alike."""
    return gap.sure or gap.spread == 0


def states(found: pd.DataFrame, whose: str = "") -> list[dict[str, str]]:
    """Rows by what is kept: its gain on the last step, mean, least and most of all runs, and the steps that it takes."""
    columns = {"by the rule": "rule_db", "lowest loss, nothing stops": "lowest_db", "the best in hindsight": "best_db"}
    rows = []
    for name, column in columns.items():
        gain = found[column] - found["last_db"]
        row = {f"state that is kept{whose}": name, "PSNR against the last step (dB)": signed(gain.mean())}
        row |= {"least": signed(gain.min()), "most": signed(gain.max())}
        if column in FABS:
            row["bits against the last step (FAB)"] = signed((found[FABS[column]] - found["last_fab"]).mean())
        steps = found["stopped" if column == "rule_db" else "steps"].sum()
        rows.append(row | {"steps": f"{steps} of {found['steps'].sum()}"})
    return rows


def certainties(found: pd.DataFrame, whose: str = "") -> list[dict[str, str]]:
    """Rows by network and comparison, the advised state and the last one against not fine-tuned too: difference, spread and p; several networks' mean last."""
    kept = {"lowest_db": "lowest loss", "rule_db": "by the rule"}
    asked = [(column, "last_db", f"{name} against the last step") for column, name in kept.items()]
    asked.append((preferred(found), "start_db", f"{kept[preferred(found)]} against not fine-tuned"))
    asked.append(("last_db", "start_db", "last step against not fine-tuned"))
    rows = []
    for column, reference, what in asked:
        gaps = compared(found, column, reference)
        if len(gaps) > 1:
            gaps[_MEAN] = in_the_mean(found, column, reference)
        for name, gap in gaps.items():
            rows.append({f"compared{whose}": what, "network": name} | gap.cells("p (paired; of networks adjusted)"))
    return rows


def networks(found: pd.DataFrame, whose: str = "") -> list[dict[str, str]]:
    """Rows by network: PSNR in dB, means over seeds, and steps, least and most of them."""
    rows = []
    for backbone, runs in found.groupby("backbone", sort=False):
        mean = runs.mean(numeric_only=True)
        row = {f"network{whose}": backbone, "seeds": str(len(runs)), "before (dB)": f"{mean['start_db']:.2f}"}
        columns = {"last step": "last_db", "by the rule": "rule_db", "lowest loss": "lowest_db"}
        columns |= {"best": "best_db", "worst": "worst_db", "full precision": "full_db"}
        row |= {f"{name} (dB)": f"{mean[column]:.2f}" for name, column in columns.items()}
        bits = {"last step": "last_fab", "by the rule": "rule_fab", "lowest loss": "lowest_fab"}
        row |= {f"FAB, {name}": f"{mean[column]:.2f}" for name, column in bits.items()}
        row |= {
            "steps": str(runs["steps"].max()),
            "step kept": span(runs["kept"]),
            "95 % of the loss's fall": span(runs["near"]),
            "lowest": span(runs["lowest"]),
            "best step": span(runs["best"]),
        }
        rows.append(row | ({"diverged": str(runs["diverged"].sum())} if found["diverged"].any() else {}))
    return rows


def span(steps: pd.Series) -> str:
    """Least and most: ``5`` or ``0 to 50``."""
    return f"{steps.min()} to {steps.max()}" if steps.min() < steps.max() else str(steps.min())
