"""The committed results of both profiles, and the trials that their parameters plan, without any picture."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from adabm.study import Effort, Run, Trial, read_study_table
from adabm.study.answers import (
    bit_loss,
    clipping,
    complexity,
    component_trials,
    components,
    dynamic,
    fine_tuning,
    gradient,
    pictures,
    pool,
    questions,
    sampling,
    sensitivity,
    separability,
    set_size,
    stopping,
    thresholds,
    timing,
)
from adabm.study.answers.asked import Asked
from adabm.study.answers.estimates import tell_left_out
from adabm.study.pages.scope import patch_sizes
from adabm.study.tables.networks import named

ROOT = Path(__file__).parents[2]
PARAMETERS = {"demo": "params.yaml", "paper": "profiles/paper/params.yaml"}
POOLS = {"demo": 110, "paper": 100}  # pictures to choose from


@dataclass(frozen=True)
class Drawn:
    """In place of a bench: as many calibration pictures as the table says were chosen."""

    table: pd.DataFrame
    effort: Effort
    backbone: Path

    def choose(self, strategy: str, count: int, run: Run) -> tuple[Path, ...]:
        of = self.table["backbone"].str.lower() == self.backbone.stem.lower()
        here = self.table[of & (self.table["level"] == strategy) & (self.table["seed"] == run.seed)]
        return (Path("picture.png"),) * int(here["calibration_pictures"].min() if len(here) else count)


class Committed:
    """Tables, parameters, planned trials and conclusions of a profile, by question."""

    def __init__(self, profile: str) -> None:
        self.results = ROOT / "results" / profile
        self.pool = POOLS[profile]
        self.blocks = yaml.safe_load((ROOT / PARAMETERS[profile]).read_text())
        self.tables = {q.id: read_study_table(q.table(self.results)) for q in questions()}

    def bench(self, question: str, backbone: str | None = None) -> Drawn:
        block = self.blocks[question]
        return Drawn(
            self.tables[question], self.effort(question), Path(block["backbone"] if backbone is None else backbone)
        )

    def effort(self, question: str) -> Effort:
        block = self.blocks[question]
        return Effort(block["patch_size"], None, block["rounds"], block["steps_per_round"])

    def asked(self, question: str) -> list[Asked]:
        """The networks of a question that compares whole models on several."""
        block = self.blocks[question]
        # a table has the name of the file: dat_light_x4 is in DAT_light_x4.pth
        files = {name.lower(): name for name in self.tables[question]["backbone"]}
        file = lambda name: files.get(Path(name).stem.lower(), name)
        return [
            Asked(
                self.bench(question, file(name)), given.get("setting", block["setting"]), tuple(given["seeds"]), given
            )
            for name, given in block["backbones"].items()
        ]

    def trials(self, question: str) -> list[Trial]:
        block = self.blocks[question]
        given = lambda *names: [block[name] for name in names]
        if question == "set_size":
            return [t for of in self.asked(question) for t in set_size.trials(of, *given("sizes", "methods"))]
        if question == "sampling":
            names = ("strategies", "count", "counts", "methods")
            return [t for of in self.asked(question) for t in sampling.trials(of, *given(*names))]
        if question == "fine_tuning":
            found = [fine_tuning.trials(of, *given("pictures", "runs", "steps")) for of in self.asked(question)]
            return [trial for by_steps in found for trials in by_steps.values() for trial in trials]
        bench = self.bench(question)
        if question == "components":
            make = component_trials.Trials(bench, *given("preset", "setting", "pictures", "seeds", "run_tuned"))
            return [
                *make.components(block["combinations"]),
                *make.frontier(block["frontier"]),
                *make.bit_weights(block["bit_weights"]),
            ]
        return []

    def conclusion(self, question: str) -> list[str]:
        """As the question's notebook computes it from the committed table."""
        block, table = self.blocks[question], self.tables[question]
        if question == "complexity":
            units, whole = (
                pd.read_csv(self.results / question / f"complexity_{n}.csv") for n in ("patches", "pictures")
            )
            return complexity.conclusion(named(units), named(whole), block["share"])
        if question == "clipping":
            units, layers = (pd.read_csv(self.results / question / f"clipping_{n}.csv") for n in ("patches", "layers"))
            return clipping.conclusion(units, layers, block["methods"][0])
        if question == "bit_loss":
            units, bits = (pd.read_csv(self.results / question / f"bit_loss_{n}.csv") for n in ("patches", "bits"))
            return bit_loss.conclusion(units, bits)
        if question == "dynamic":
            return dynamic.conclusion(
                *(pd.read_csv(self.results / question / f"dynamic_{n}.csv") for n in ("patches", "times"))
            )
        if question == "gradient":
            names = ("gradients", "steps", "patches")
            return gradient.conclusion({n: pd.read_csv(self.results / question / f"gradient_{n}.csv") for n in names})
        if question == "sensitivity":
            layers, patches = (
                pd.read_csv(self.results / question / f"{question}_{name}.csv") for name in ("layers", "patches")
            )
            return sensitivity.conclusion(layers, patches, block["share"])
        if question == "separability":
            units, policies = (
                pd.read_csv(self.results / question / f"separability_{n}.csv") for n in ("errors", "patches")
            )
            return separability.conclusion(units, policies)
        if question == "thresholds":
            effort = self.effort(question)
            tunings = {
                name: thresholds.told_tuning(of, block["setting"], effort) for name, of in block["methods"].items()
            }
            return thresholds.conclusion(table, tunings)
        if question == "set_size":
            return set_size.conclusion(table, self.pool)
        if question == "sampling":
            return sampling.conclusion(sampling.compared(table))
        if question == "pool":
            return pool.conclusion(table, block["share"])
        if question == "stopping":
            traces = pd.read_csv(self.results / question / "stopping_traces.csv")
            return stopping.conclusion(traces, block["patience"], self.patches(question))
        if question == "pictures":
            return pictures.conclusion(table, block["pictures"])
        steps = block["rounds"] * block["steps_per_round"]
        if question == "components":
            told = components.conclusion(table, steps)
        elif question == "fine_tuning":
            told = fine_tuning.conclusion(table, block["runs"], self.effort(question), self.patches(question))
        else:
            told = timing.conclusion(table, block["sizes"], steps)
        return told + tell_left_out(table)

    def patches(self, question: str) -> str:
        """On patches of which size its models are calibrated."""
        return patch_sizes({"effort": vars(self.effort(question)), "backbones": self.blocks[question]["backbones"]})

    def told(self, question: str) -> str:
        """The committed conclusion."""
        return (self.results / question / "conclusion.md").read_text()
