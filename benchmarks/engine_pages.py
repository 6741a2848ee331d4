"""What people see of the engines' tables: a figure and a page."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from .engine_runs import BASE, NETWORKS
from .recording import ratios, told

SECONDS, EQUALITY = "engines_seconds.csv", "engines_equality.csv"
DRAWN = {  # what the figure shows, with label and colour
    "simulated channels_last": ("simulated", "tab:gray"),
    "OpenVINO FP32": ("OpenVINO FP32", "tab:olive"),
    "OpenVINO bf16": ("OpenVINO bf16", "tab:green"),
    "onnx (int8)": ("onnx, int8", "tab:purple"),
    "torch-int8 (int8)": ("torch, int8", "tab:orange"),
    "openvino (int8)": ("openvino, int8", "tab:blue"),
}


def draw(folder: Path) -> None:
    """Draw the ways' speeds of each case beside each other, as ``speed.png`` and ``speed.svg``; nothing without a table."""
    if not (folder / SECONDS).exists():
        return
    case = ["network", "threads", "tile"]
    best = pd.read_csv(folder / SECONDS).groupby([*case, "engine"], sort=False)["seconds"].min().unstack()
    largest = sorted(best.index, key=lambda row: (list(NETWORKS).index(row[0]), -row[1], -row[2]))
    speeds = best.rdiv(best[BASE], axis=0).loc[largest, list(DRAWN)]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(speeds) + 1.6), layout="constrained")
    places = range(len(speeds))[::-1]
    axes.hlines(places, speeds.min(axis=1), speeds.max(axis=1), color="0.85", zorder=1)
    for way, (label, colour) in DRAWN.items():
        axes.scatter(speeds[way], places, color=colour, s=45, zorder=2)
        told = {"rotation": 40, "color": colour, "fontsize": 9, "textcoords": "offset points", "xytext": (2, 8)}
        axes.annotate(label, (speeds[way].iloc[0], places[0]), **told)
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_yticks(
        places, [f"{name}, {tile} px, {threads} thread{'s' * (threads > 1)}" for name, threads, tile in speeds.index]
    )
    axes.set(xlabel=f"times as fast as {BASE}, fastest run", ylim=(-0.6, len(speeds) + 1.1), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    with plt.rc_context({"svg.hashsalt": "speed"}):  # the same table gives the same bytes
        for kind in ("png", "svg"):
            figure.savefig(folder / f"speed.{kind}", dpi=150, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each network, set and engine the means over pictures, and the largest difference of a picture."""
    groups = rows.groupby(["network", "set", "engine"], sort=False)
    return groups.agg(
        pictures=("picture", "count"),
        mean_db=("difference_db", "mean"),
        largest_db=("difference_db", lambda d: d.abs().max()),
        rms_of_255=("rms", "mean"),
        equal_values=("equal", "mean"),
        same_bits=("same_bits", "all"),
    )


def page(folder: Path) -> str:
    """The page of results, from the tables."""
    lines = ["# Engines: speed and equality", "", "Made by `python -m benchmarks.engines`; W4A4 FQ, not fine-tuned."]
    if (folder / SECONDS).exists():
        samples = pd.read_csv(folder / SECONDS)
        cells = ratios(samples, ["network", "threads", "tile"], "engine", BASE)
        lines += [
            "",
            "## Speed",
            "",
            f"How many times as fast as {BASE} (NCHW): by the fastest run / by the median over runs of pairs in turns. "
            f"{told(folder / SECONDS)} An integer is 8 bits wide whatever the bits of the quantizer: fewer bits make nothing faster. "
            f"Raw samples: [{SECONDS}]({SECONDS}).",
            "",
            cells.to_markdown(index=False),
            "",
            "![Speeds of the engines, by network, tile and threads](speed.png)",
        ]
    if (folder / EQUALITY).exists():
        rows = pd.read_csv(folder / EQUALITY)
        lines += [
            "",
            "## Equality",
            "",
            "PSNR on Y minus that of the simulation (mean, largest), root mean square of the difference of outputs, and the "
            "share of equal 8-bit values. `simulated, float64` is the simulation itself in double precision: how far rounding alone "
            "takes it. "
            f"{told(folder / EQUALITY)} Each picture: [{EQUALITY}]({EQUALITY}).",
            "",
            differences(rows).round(4).reset_index().to_markdown(index=False),
        ]
    return "\n".join(lines) + "\n"
