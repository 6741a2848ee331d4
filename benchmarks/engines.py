"""How fast are the engines, and how near to the simulation? Writes benchmarks/measured/engines/: tables, raw samples, machine.

``python -m benchmarks.engines`` quantizes each network to W4A4 FQ without fine-tuning (kept in --work), times all engines
in turns on one tile, and compares every picture of the sets with the simulation. What the tables have of other networks,
threads, tiles and sets stays. Nothing else should run meanwhile; ``--note`` says so where something does. Data are those
of stage prepare of the paper's profile.
"""

import argparse
import copy
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import adabm
from adabm.engines import open_engine
from adabm.engines.integer import onnx, openvino
from adabm.engines.integer.graph import layer_graph
from adabm.engines.integer.layers import IntegerConv, integer_layers
from adabm.engines.metrics import psnr_y
from adabm.engines.simulated import SimulatedEngine
from adabm.networks.backbones import backbone_path
from adabm.pictures.folders import read_pictures
from adabm.pictures.reading import list_images, read_rgb

from .recording import machine, ratios, told

NETWORKS = {
    "EDSR f64b16 x4": "edsr_f64b16_x4",
    "EDSR f32b8 x4": "edsr_f32b8_x4",
    "EDSR f64b8 x2": "weights/edsr_f64b8_x2.safetensors",
    "SRResNet BN x4": "weights/srresnet_bn_x4.safetensors",
    "RRDBNet x4": "weights/rrdbnet_psnr_x4.safetensors",
}
BASE = "torch FP32"
ENGINES = ("openvino", "onnx", "torch-int8")
PACKAGES = ("torch", "openvino", "onnxruntime", "onnx", "numpy")
DRAWN = {  # what the figure shows, with label and colour
    "simulated channels_last": ("simulated", "tab:gray"),
    "OpenVINO FP32": ("OpenVINO FP32", "tab:olive"),
    "OpenVINO bf16": ("OpenVINO bf16", "tab:green"),
    "onnx (int8)": ("onnx, int8", "tab:purple"),
    "torch-int8 (int8)": ("torch, int8", "tab:orange"),
    "openvino (int8)": ("openvino, int8", "tab:blue"),
}
OUT = Path(__file__).parent / "measured" / "engines"
DOUBLE = "simulated, float64"
CASE = {"speed": ["network", "threads", "tile"], "equality": ["network", "set", "engine"]}  # measured anew as a whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--tiles", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sets", nargs="*", default=["Set5", "Set14"], help="to compare on; of the network's scale")
    parser.add_argument("--most", type=int, default=20, help="pictures of a set to compare on, at even distances")
    parser.add_argument("--compared", nargs="+", default=[*ENGINES, DOUBLE], choices=[*ENGINES, DOUBLE])
    parser.add_argument("--only", choices=("speed", "equality"), help="the other table stays as it is")
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    parser.add_argument("--work", type=Path, default=Path("data/cache/benchmarks"), help="keeps the quantized networks")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--note", default="", help="what the reader has to know of the machine, such as that it was busy"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for what, measure in (("equality", equality), ("speed", speed)):
        if args.only not in (None, what):
            continue
        rows: list[dict] = []
        before = pd.read_csv(args.out / f"{what}.csv") if (args.out / f"{what}.csv").exists() else pd.DataFrame()
        for name in args.networks:
            model = adabm.load_quantized(checkpoint(name, args.data, args.work))
            for row in measure(model, args):
                rows.append({"network": name, **row})
                _merged(before, pd.DataFrame(rows), CASE[what]).to_csv(args.out / f"{what}.csv", index=False)
        (args.out / f"{what}.json").write_text(json.dumps(machine(args.note, PACKAGES), indent=1) + "\n")
    draw(args.out)
    (args.out / "README.md").write_text(page(args.out))


def _merged(before: pd.DataFrame, rows: pd.DataFrame, case: list[str]) -> pd.DataFrame:
    """The rows, and those of before that are of other cases, sorted by case."""
    kept = before if before.empty else before[~before.set_index(case).index.isin(rows.set_index(case).index)]
    together = pd.concat([kept, rows], ignore_index=True)
    networks = together["network"].map({name: place for place, name in enumerate(NETWORKS)})
    return together.assign(place=networks).sort_values(["place", *case[1:]], kind="stable").drop(columns="place")


def checkpoint(name: str, data: Path, work: Path) -> Path:
    """Quantize a network, unless that is done."""
    path = work / f"{name.replace(' ', '_')}.safetensors"
    if not path.exists():
        pictures = [read_rgb(file) for file in list_images(data / "x4" / "calibration" / "LR")[:20]]
        source = NETWORKS[name]
        network = adabm.load_network(data / source if "/" in source else backbone_path(source))
        model = adabm.quantize(network, pictures, adabm.preset("adabm-notune"), patch_size=48)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        adabm.save_quantized(model, path)
    return path


def speed(model: adabm.QuantizedSR, args: argparse.Namespace):
    """Yield one row a run: all engines in turns, so that all see the same disturbances."""
    for threads in args.threads:
        torch.set_num_threads(threads)
        for tile in args.tiles:
            ways = _ways(model, tile, threads)
            with torch.no_grad():
                for act in ways.values():
                    act()
                for repeat in range(args.repeats):
                    for way, act in ways.items():
                        begun = time.perf_counter()
                        act()
                        seconds = time.perf_counter() - begun
                        yield {"threads": threads, "tile": tile, "engine": way, "repeat": repeat, "seconds": seconds}


def _ways(model: adabm.QuantizedSR, tile: int, threads: int) -> dict[str, Callable[[], object]]:
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    picture = np.random.default_rng(0).integers(0, 256, (1, tile, tile, 3)).astype(np.uint8)
    x = torch.from_numpy(picture.transpose(0, 3, 1, 2).copy()).float() * (model.descriptor.value_range / 255)
    x_last = x.contiguous(memory_format=torch.channels_last)

    def full(network: adabm.QuantizedSR, values: torch.Tensor) -> torch.Tensor:
        with network.full_precision():
            return network.network(values)

    graph = layer_graph(model)
    whole = {name: _full_precision(model, layer) for name, layer in integer_layers(model, 0).items()}
    compiled = {p: openvino.compiled(openvino.lowered(graph, whole), threads, p) for p in ("f32", "bf16")}
    requests = {p: each.create_infer_request() for p, each in compiled.items()}
    runtime = onnx.runner(onnx.files(graph, {0: whole}))
    integer = {name: open_engine(name, model) for name in ENGINES}
    for engine in integer.values():  # all have the middle factor
        engine.card["image2bit"] = None
    return {
        BASE: lambda: full(model, x),
        "torch FP32 channels_last": lambda: full(last, x_last),
        "simulated": lambda: model(x),
        "simulated channels_last": lambda: last(x_last),
        "OpenVINO FP32": lambda: requests["f32"].infer([x.numpy()]),
        "OpenVINO bf16": lambda: requests["bf16"].infer([x.numpy()]),
        "ONNX Runtime FP32": lambda: runtime(x.numpy(), 0),
        **{f"{name} (int8)": lambda engine=engine: engine.upscale(picture) for name, engine in integer.items()},
    }


def _full_precision(model: adabm.QuantizedSR, layer: IntegerConv) -> IntegerConv:
    weight = model.layers[layer.name].weight.detach().numpy()
    return dataclasses.replace(layer, grid=None, weight=None, bits=32, used=weight, taps=None, exact_border=False)


def equality(model: adabm.QuantizedSR, args: argparse.Namespace):
    """Yield one row a picture and engine: how it differs from the simulation."""
    torch.set_num_threads(max(args.threads))
    simulated, scale = SimulatedEngine(model), model.descriptor.scale
    engines = {name: open_engine(name, model) for name in args.compared if name != DOUBLE}
    if DOUBLE in args.compared:
        engines[DOUBLE] = SimulatedEngine(copy.deepcopy(model).double())
    for name in args.sets:
        folder = args.data / f"x{scale}" / name
        if not folder.is_dir():
            continue
        pictures = read_pictures(folder / "HR", folder / "LR", scale)
        places = np.linspace(0, len(pictures) - 1, min(args.most, len(pictures))).round().astype(int)
        for picture in (pictures[place] for place in places):
            reference = simulated.upscale(picture.low[None])
            expected = adabm.round_to_uint8(reference.images[0])
            for engine, running in engines.items():
                out = running.upscale(picture.low[None])
                found = adabm.round_to_uint8(out.images[0])
                bits = {layer: used.tolist() for layer, used in out.layer_bits.items()}
                yield {
                    "set": name,
                    "picture": picture.name,
                    "engine": engine,
                    "difference_db": psnr_y(found, picture.high, scale) - psnr_y(expected, picture.high, scale),
                    "rms": float(np.sqrt(np.mean((out.images - reference.images) ** 2, dtype=np.float64))),
                    "equal": float((found == expected).mean()),
                    "same_bits": bits == {layer: used.tolist() for layer, used in reference.layer_bits.items()},
                }


def draw(folder: Path) -> None:
    """Draw the ways' speeds of each case beside each other, as ``speed.png`` and ``speed.svg``; nothing without a table."""
    if not (folder / "speed.csv").exists():
        return
    case = ["network", "threads", "tile"]
    best = pd.read_csv(folder / "speed.csv").groupby([*case, "engine"], sort=False)["seconds"].min().unstack()
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
    for kind in ("png", "svg"):
        figure.savefig(folder / f"speed.{kind}", dpi=150, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def page(folder: Path) -> str:
    """The page of results, from the tables."""
    lines = ["# Engines: speed and equality", "", "Made by `python -m benchmarks.engines`; W4A4 FQ, not fine-tuned."]
    if (folder / "speed.csv").exists():
        samples, about = pd.read_csv(folder / "speed.csv"), json.loads((folder / "speed.json").read_text())
        cells = ratios(samples, ["network", "threads", "tile"], "engine", BASE)
        lines += [
            "",
            "## Speed",
            "",
            f"How many times as fast as {BASE} (NCHW): by the fastest run / by the median over runs of pairs in turns. "
            f"{told(about)} An integer is 8 bits wide whatever the bits of the quantizer: fewer bits make nothing faster. "
            "Raw samples: [speed.csv](speed.csv).",
            "",
            cells.to_markdown(index=False),
            "",
            "![Speeds of the engines, by network, tile and threads](speed.png)",
        ]
    if (folder / "equality.csv").exists():
        rows, about = pd.read_csv(folder / "equality.csv"), json.loads((folder / "equality.json").read_text())
        groups = rows.groupby(["network", "set", "engine"], sort=False)
        summary = groups.agg(
            pictures=("picture", "count"),
            mean_db=("difference_db", "mean"),
            largest_db=("difference_db", lambda d: d.abs().max()),
            rms_of_255=("rms", "mean"),
            equal_values=("equal", "mean"),
            same_bits=("same_bits", "all"),
        )
        lines += [
            "",
            "## Equality",
            "",
            "PSNR on Y minus that of the simulation (mean, largest), root mean square of the difference of outputs, and the "
            "share of equal 8-bit values. The simulation in float64 differs from the simulation as much as rounding does. "
            f"{told(about)} Each picture: [equality.csv](equality.csv).",
            "",
            summary.round(4).reset_index().to_markdown(index=False),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
