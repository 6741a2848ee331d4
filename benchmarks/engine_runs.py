"""Run engines: their times in turns, and how their pictures differ from the simulation's."""

import argparse
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

import adabm
from adabm.engines import open_engine
from adabm.engines.integer import onnx, openvino
from adabm.engines.integer.graph import layer_graph
from adabm.engines.integer.layers import IntegerConv, integer_layers
from adabm.engines.metrics import psnr_y
from adabm.engines.simulated import SimulatedEngine
from adabm.pictures.folders import read_pictures
from adabm.pictures.picture import Picture

NETWORKS = {
    "EDSR f64b16 x4": "edsr_f64b16_x4",
    "EDSR f32b8 x4": "edsr_f32b8_x4",
    "EDSR f64b8 x2": "weights/edsr_f64b8_x2.safetensors",
    "SRResNet BN x4": "weights/srresnet_bn_x4.safetensors",
    "RRDBNet x4": "weights/rrdbnet_psnr_x4.safetensors",
}
SETS = ["Set5", "Set14", "BSD100", "Urban100"]
BASE = "torch FP32"
ENGINES = ("openvino", "onnx", "torch-int8")
DOUBLE = "simulated, float64"


def seconds(model: adabm.QuantizedSR, args: argparse.Namespace) -> Iterator[dict[str, object]]:
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
                        took = time.perf_counter() - begun
                        yield {"threads": threads, "tile": tile, "engine": way, "repeat": repeat, "seconds": took}


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


def equality(model: adabm.QuantizedSR, args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield one row a picture and engine: how it differs from the simulation."""
    torch.set_num_threads(max(args.threads))
    simulated, scale = SimulatedEngine(model), model.descriptor.scale
    engines = {name: open_engine(name, model) for name in args.compared if name != DOUBLE}
    if DOUBLE in args.compared:
        engines[DOUBLE] = SimulatedEngine(copy.deepcopy(model).double())
    for name in args.sets:
        folder = args.data / f"x{scale}" / name
        if not folder.is_dir():  # not prepared at each scale
            continue
        pictures = read_pictures(folder / "HR", folder / "LR", scale)
        places = np.linspace(0, len(pictures) - 1, min(args.most, len(pictures))).round().astype(int)
        for picture in (_middle(pictures[place], args.crop, scale) for place in places):
            reference = simulated.upscale(picture.low[None])
            expected = adabm.round_to_uint8(reference.images[0])
            for engine, running in engines.items():
                out = running.upscale(picture.low[None])
                found = adabm.round_to_uint8(out.images[0])
                bits = {layer: used.tolist() for layer, used in out.layer_bits.items()}
                yield {
                    "set": name if args.crop is None else f"{name}, middle {args.crop}x{args.crop}",
                    "picture": picture.name,
                    "engine": engine,
                    "difference_db": psnr_y(found, picture.high, scale) - psnr_y(expected, picture.high, scale),
                    "rms": float(np.sqrt(np.mean((out.images - reference.images) ** 2, dtype=np.float64))),
                    "equal": float((found == expected).mean()),
                    "same_bits": bits == {layer: used.tolist() for layer, used in reference.layer_bits.items()},
                }


def _middle(picture: Picture, size: int | None, scale: int) -> Picture:
    """The middle of a picture, of ``size`` pixels at low resolution each way; all of it where it has fewer, or for None."""
    height, width = picture.low.shape[:2]
    rows, columns = min(size or height, height), min(size or width, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = lambda image, by: image[top * by : (top + rows) * by, left * by : (left + columns) * by]
    return Picture(picture.name, cut(picture.high, scale), cut(picture.low, 1))
