"""How fast does quantizing run against the released algorithm? Writes results/speed/quantizing/: tables, provenance, page.

``python -m benchmarks.quantizing`` carries out calibration, clipping and one step of each group of fine-tuning, in turns:
as the released code does (:mod:`benchmarks.released`), as recipe ``adabm`` does, and with the options that are faster. Each
starts from the same state. Nothing else should run meanwhile; ``--note`` says so where something does.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import adabm
from adabm.networks.backbones import backbone_path
from adabm.pictures.patches import calibration_batches, random_batches
from adabm.pictures.reading import list_images, read_rgb
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from adabm.steps.tuner import FineTuner
from adabm.study.origin.provenance import SPEED_CODE

from .recording import RESULTS, add_note, peak_memory, publish, ratios, run_of, runs_of, told
from .released import Released

BASE = "released"
OURS = {
    "adabm": {},
    "adabm, pool": {"tune.pool": 100},
    "adabm, bfloat16": {"tune.convolutions": "bfloat16"},
    "adabm, pool, bfloat16": {"tune.pool": 100, "tune.convolutions": "bfloat16"},
}
GROUPS = ("weight", "activation", "mapping")
PEAKS = [("calibration", BASE), ("calibration", "adabm"), *(("activation step", way) for way in (BASE, *OURS))]
SECONDS, MEMORY = "quantizing_seconds.csv", "quantizing_memory.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--network", default="edsr_f64b16_x4", help="name or file")
    parser.add_argument("--pictures", type=Path, default=Path("data/prepared/x4/calibration/LR"), help="folder")
    parser.add_argument("--patches", type=int, default=16, help="for calibration, one batch")
    parser.add_argument("--size", type=int, default=96, help="of the patches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "quantizing")
    add_note(parser)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    rows: list[dict] = []
    for row in timed(args):
        rows.append(row)
        pd.DataFrame(rows).to_csv(args.out / SECONDS, index=False)
    pd.DataFrame(peaks(args)).to_csv(args.out / MEMORY, index=False)
    for table in (SECONDS, MEMORY):
        code = {"tuning": SPEED_CODE["tuning"]}
        publish(args.out / table, run_of(args, ("torch", "numpy")), code, ["quantizing.py", "released.py"])
    (args.out / "README.md").write_text(page(args.out))


class Parts:
    """What is timed: ``acts[part, way]``, each behind ``prepare(way)``, which restores the state that it starts from."""

    def __init__(self, network: str, pictures: list[np.ndarray], patches: int, size: int) -> None:
        loaded = adabm.load_network(network if "/" in network else backbone_path(network))
        self.released = Released(loaded)
        value_range = self.released.descriptor.value_range
        (batch,) = calibration_batches(pictures, size, patches, value_range=value_range, patches=patches)
        tuning = next(random_batches(pictures, size, value_range=value_range))
        last = loaded.to(memory_format=torch.channels_last)  # as `adabm quantize` and the study have it
        self.models = {way: adabm.QuantizedSR(last, adabm.preset("adabm", changes)) for way, changes in OURS.items()}
        # enough for steps to start from, and no more, so that the peak of a step is its own
        few = batch[:2, :, : min(size, 32), : min(size, 32)]
        self.released.calibrate(few)
        for model in self.models.values():
            calibrate(model, [few])
        tuners = {way: FineTuner(model, model.config.step("tune")) for way, model in self.models.items()}
        self._states = {way: _copied(module) for way, module in self._modules().items()}
        self._thresholds = [threshold.detach().clone() for threshold in self.released.thresholds]
        self.acts: dict[tuple[str, str], Callable[[], object]] = {
            ("calibration", BASE): lambda: self.released.calibrate(batch),
            ("calibration", "adabm"): lambda: calibrate(self.models["adabm"], [batch]),
            ("clipping", BASE): lambda: self.released.clip(tuning),
            ("clipping", "adabm"): lambda: clip_ranges(self.models["adabm"], tuning),
        }
        for group in GROUPS:
            self.acts[f"{group} step", BASE] = lambda group=group: self.released.step(group, tuning)
            for way, tuner in tuners.items():
                self.acts[f"{group} step", way] = lambda group=group, tuner=tuner: tuner.step(group, tuning)

    def prepare(self, way: str) -> None:
        self._modules()[way].load_state_dict(self._states[way])
        for threshold, before in zip(self.released.thresholds, self._thresholds):
            threshold.data.copy_(before)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {BASE: self.released.network, **self.models}


def _copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _parts(args: argparse.Namespace) -> Parts:
    pictures = [read_rgb(file) for file in list_images(args.pictures)[: args.patches]]
    return Parts(args.network, pictures, args.patches, args.size)


def timed(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield one row a run: each round visits all once, so that a disturbance hits all alike; the first does not count."""
    parts = _parts(args)
    for repeat in range(-1, args.repeats):
        for (part, way), act in parts.acts.items():
            parts.prepare(way)
            begun = time.perf_counter()
            act()
            seconds = time.perf_counter() - begun
            if repeat >= 0:
                yield {"part": part, "way": way, "repeat": repeat, "seconds": seconds}


def peaks(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the peak memory of processes that do one thing."""
    context = multiprocessing.get_context("spawn")
    for part, way in PEAKS:
        with context.Pool(1) as pool:
            yield {"part": part, "way": way, "mib": round(pool.apply(_peak, (args, part, way)))}


def _peak(args: argparse.Namespace, part: str, way: str) -> float:
    torch.set_num_threads(args.threads)
    parts = _parts(args)
    parts.acts[part, way]()
    return peak_memory()


def page(folder: Path) -> str:
    """The page of results, from the tables."""
    (run,) = runs_of(folder / SECONDS)
    about = run["arguments"]
    times = ratios(pd.read_csv(folder / SECONDS), ["part"], "way", BASE)
    memory = pd.read_csv(folder / MEMORY).pivot_table(index="part", columns="way", values="mib", sort=False)
    return (
        "\n".join(
            [
                "# Quantizing: speed and memory against the released algorithm",
                "",
                f"Made by `python -m benchmarks.quantizing`: `{about['network']}` to W4A4 FQ, calibration on {about['patches']} patches, "
                f"clipping and steps on 2, of {about['size']}x{about['size']}; {about['threads']} threads. {told(folder / SECONDS)}",
                "",
                f"Columns: `{BASE}` is the released algorithm, operation by operation ([released.py](../../../benchmarks/released.py)), in milliseconds. "
                "The others tell how many times as fast they are: by the fastest run / by the median over pairs in turns. `adabm` "
                "is the recipe as it is; `pool` has the full-precision network's outputs kept for a pool of patches (a step behind the "
                "pool's first turn), `bfloat16` the student's convolutions in that type: options of the step `tune`. Raw samples: "
                f"[{SECONDS}]({SECONDS}).",
                "",
                times.to_markdown(index=False),
                "",
                "Peak memory of a process that does one thing, MiB:",
                "",
                memory.fillna(0).astype(int).replace(0, "").reset_index().to_markdown(index=False),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
