"""Quantize, evaluate and compare on a GPU in one command. Writes results/speed/gpu/: a table of seconds and memory.

``python -m benchmarks.gpu`` calibrates and fine-tunes a network to W4A4 FQ by recipe ``adabm``, evaluates it on the sets of
stage prepare of the paper's profile, compares the device's numbers with the CPU's, and runs the tests against the released
code and the plain implementation. ``--device cpu --tiny`` does all that in seconds, without a GPU and without data.
"""

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import adabm
from adabm.networks.backbones import backbone_path
from adabm.pictures.folders import read_pictures
from adabm.pictures.patches import calibration_batches, random_batches
from adabm.pictures.picture import Picture
from adabm.pictures.reading import list_images, read_rgb
from adabm.pictures.resize import downscale
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from adabm.study.origin.provenance import CODE
from adabm.support.arguments import Parser

from .recording import RESULTS, add_note, peak_memory, publish, run_of, runs_of, told

SETS = ("Set5", "Set14", "BSD100", "Urban100")
TESTS = ("tests/test_parity.py", "tests/test_against_naive.py")
NEAR = {"calibration": 1e-4, "clipping": 1e-3}  # of a range's width: most that ranges of device and CPU may differ by
TINY = {"tune.rounds": 3, "tune.steps_per_round": 1, "tune.patch_size": 16}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--network", help="name or file (default: edsr_f64b16_x4)")
    parser.add_argument("--data", type=Path, default=Path("data/prepared/x4"))
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu")
    parser.add_argument("--tiny", action="store_true", help="few steps on a small network and made-up pictures")
    add_note(parser)
    args = parser.parse_args(arguments)
    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --tiny tries everything out without one")
    rows = list(measured(args))
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / "gpu.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    run = run_of(args, ("torch", "numpy")) | {"device": _device_name(args.device)}
    publish(table, run, CODE, ["gpu.py"])
    (args.out / "README.md").write_text(page(table))
    if failed := [row["what"] for row in rows if row["result"] == "failed"]:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield what was done, with seconds, peak memory and result."""
    network, images, sets = _small(args) if args.tiny else _whole(args)
    network = network.to(args.device, memory_format=torch.channels_last)
    size = 16 if args.tiny else 96
    _warm_up(network, images, size)
    times: dict[str, float] = {}
    with _watched(args.device) as seen:
        begun = time.perf_counter()

        def calibrated(_model: adabm.QuantizedSR) -> None:
            _synchronize(args.device)
            times["calibration"] = time.perf_counter() - begun

        changes = TINY if args.tiny else {}
        model, _, steps = adabm.quantize(
            network, images, adabm.preset("adabm", changes), patch_size=size, after_calibration=calibrated
        )
    yield _row("calibrate", times["calibration"], None, f"{len(images)} pictures")
    yield _row("calibrate, clip and fine-tune", seen["seconds"], seen["mib"], f"{len(steps)} steps")
    for name, pictures in sets.items():
        with _watched(args.device) as seen:
            found = adabm.evaluate(model, pictures).means()
        yield _row(
            f"evaluate {name}", seen["seconds"], seen["mib"],
            f"{len(pictures)} pictures, PSNR-Y {found['psnr_y_db']:.3f} dB, FAB {found['fab']:.3f}",
        )  # fmt: skip
    for what, most in _differences(network, images, size).items():
        told_of = f"{most:.1e} of a range's width" if most <= NEAR[what] else "failed"
        yield _row(f"{what} as on the CPU", None, None, told_of)
    begun = time.perf_counter()
    tests = TESTS[1:] if args.tiny else TESTS
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(["-k", "uniform"] if args.tiny else []), *tests],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    yield _row(f"tests {', '.join(tests)}", time.perf_counter() - begun, None, "failed" if done.returncode else summary)


def _row(what: str, seconds: float | None, mib: float | None, result: str) -> dict[str, object]:
    return {"what": what, "seconds": seconds, "peak_mib": mib, "result": result}


def _whole(args: argparse.Namespace) -> tuple[torch.nn.Module, list[np.ndarray], Mapping[str, list[Picture]]]:
    name = args.network or "edsr_f64b16_x4"
    network = adabm.load_network(name if "/" in name else backbone_path(name))
    images = [read_rgb(file) for file in list_images(args.data / "calibration" / "LR")[:100]]
    scale = adabm.networks.describe(network).scale
    sets = {n: list(read_pictures(args.data / n / "HR", args.data / n / "LR", scale)) for n in SETS}
    return network, images, sets


def _small(args: argparse.Namespace) -> tuple[torch.nn.Module, list[np.ndarray], Mapping[str, list[Picture]]]:
    network = adabm.load_network(backbone_path(args.network or "edsr_f32b8_x4"))
    rng = np.random.default_rng(0)
    high = [np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((12, 12, 1))).astype(np.uint8) for _ in range(3)]
    low = [downscale(picture, 4) for picture in high]
    return network, low, {"made up": [Picture("p", high[0], low[0])]}


def _warm_up(network: torch.nn.Module, images: list[np.ndarray], size: int) -> None:
    """Let the device load its kernels, which is no part of quantizing."""
    adabm.quantize(
        network, images[:1], adabm.preset("adabm", {"tune.rounds": 3, "tune.steps_per_round": 1}), patch_size=size
    )


def _differences(network: torch.nn.Module, images: list[np.ndarray], size: int) -> dict[str, float]:
    """The largest difference of an activation range from the CPU's, in units of its width."""
    models = [adabm.QuantizedSR(copy.deepcopy(network).to(device), adabm.preset("adabm")) for device in (
        "cpu", next(network.parameters()).device)]  # fmt: skip
    value_range = models[0].descriptor.value_range
    batch = calibration_batches(images[:2], size, value_range=value_range)[0]
    tuning = next(random_batches(images[:2], size, value_range=value_range))
    found = {}
    for what in NEAR:
        for model in models:
            if what == "calibration":
                calibrate(model, [batch.to(model.device)])
            else:
                clip_ranges(model, tuning.to(model.device))
        expected, ranges = (torch.stack([_range(layer) for layer in model.layers.values()]) for model in models)
        width = expected[:, 1:] - expected[:, :1]
        found[what] = float(((ranges - expected).abs() / width).max())
    return found


def _range(layer: torch.nn.Module) -> torch.Tensor:
    return torch.cat([layer.activation.lower, layer.activation.upper]).detach().cpu()


@contextmanager
def _watched(device: str) -> Iterator[dict[str, float]]:
    """Time the block and take the peak of memory: of the GPU's, or of this process on the CPU."""
    seen: dict[str, float] = {}
    on_gpu = torch.device(device).type == "cuda"
    _synchronize(device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    yield seen
    _synchronize(device)
    seen["seconds"] = time.perf_counter() - begun
    seen["mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else peak_memory())


def _synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def page(path: Path) -> str:
    """The page of results, from the table."""
    (run,) = runs_of(path)
    table = pd.read_csv(path).round(2).astype(object).fillna("").to_markdown(index=False)
    settings = (
        " Tiny settings, which try the script out: their numbers tell nothing." if run["arguments"]["tiny"] else ""
    )
    return (
        "# On a GPU\n\n"
        f"Made by `python -m benchmarks.gpu` on {run['device']}: recipe `adabm`, W4A4 FQ. {told(path)}{settings} "
        "Kernels were loaded before the clock started.\n\n"
        f"{table}\n"
    )


if __name__ == "__main__":
    main()
