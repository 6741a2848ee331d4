"""``adabm evaluate``: PSNR, SSIM and bits of checkpoints on pictures with ground truth."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..full_precision import FULL_PRECISION_SETTING
from .console import Console, table
from .failures import explain
from .options import (
    add_compute,
    add_engine,
    add_import,
    add_overwrite,
    check_output,
    expanded,
    new_parser,
    own_files,
    side,
    whole,
)

if TYPE_CHECKING:
    import torch

    from ..engines import Engine
    from ..engines.evaluation import Evaluation
    from ..pictures.picture import Picture
    from ..quantization.model import QuantizedSR

_DETAILS = """\
PSNR and SSIM are on Y of BT.601 from 8-bit pictures, `scale` pixels cropped at each border. --hr is a folder
of pictures or of HR/ and LR/; without --lr and LR/ the inputs are made as MATLAB's imresize makes them. LR names may differ from HR names by
img_001_SRF_4_HR / img_001_SRF_4_LR, _HR / _LR, or an x4 at the end of the LR name.
FAB is the feature average bits of the simulated quantization. BitOPs (for a 1280x720 output) and size are
theoretical counts; full-precision weights give the row of 32 bits to compare with. An engine of your own is a
Python file that registers it (see adabm.engines); it has theoretical counts if it shows the network that it runs.

examples:
  adabm evaluate fp.safetensors w4a4.safetensors --hr Set14/HR --lr Set14/LR_x4 --csv set14.csv
  adabm evaluate swinir.pth dat_light_x4 --hr Set14
  adabm evaluate w4a4.safetensors --hr Set14   # with Set14/HR and Set14/LR
  adabm evaluate w4a4.safetensors --hr Set14 --engine my_engine.py
"""
_COLUMNS = {  # of a row -> heading
    "psnr_y_db": "PSNR-Y (dB)",
    "ssim_y": "SSIM-Y",
    "fab": "FAB (simulated bits)",
    "theoretical_bitops_g": "theoretical BitOPs (G)",
    "theoretical_relative_bitops": f"of {FULL_PRECISION_SETTING}",
    "theoretical_size_kib": "theoretical size (KiB)",
}
_FORMATS = {
    "psnr_y_db": ".4f",
    "ssim_y": ".5f",
    "fab": ".3f",
    "theoretical_bitops_g": ".1f",
    "theoretical_relative_bitops": ".2%",
    "theoretical_size_kib": ".1f",
}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``evaluate``."""
    parser = new_parser(commands, "evaluate", "compare checkpoints on pictures with ground truth", _DETAILS)
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=expanded,
        metavar="CHECKPOINT",
        help="quantized, or full-precision weights: a file, or a network's name",
    )
    parser.add_argument(
        "--hr", required=True, type=expanded, metavar="FOLDER", help="ground truth, or a folder with HR/ and LR/"
    )
    parser.add_argument(
        "--lr",
        type=expanded,
        metavar="FOLDER",
        help="low-resolution inputs (default: LR/ beside HR/, else made from the ground truth)",
    )
    parser.add_argument("--scale", type=whole(1), metavar="N", help="refuse checkpoints of another scale")
    parser.add_argument(
        "--tile",
        type=side,
        default=0,
        metavar="N",
        help="evaluate in patches of NxN input pixels, each with its own bits; the literature takes 96 for large "
        "pictures (default: 0, whole pictures)",
    )
    parser.add_argument(
        "--csv", type=expanded, metavar="FILE", help="write one row a picture and one of means a checkpoint (.csv)"
    )
    add_engine(parser)
    add_import(parser)
    add_compute(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Evaluate each checkpoint; one that cannot be loaded or measured does not stop the others."""
    from ..errors import AdabmError
    from .models import computing

    if args.csv is not None:
        check_output(args.csv, args.overwrite, [*args.checkpoints, *own_files(args)])
        if args.csv.suffix.lower() != ".csv":  # --overwrite would replace pictures and weights
            raise AdabmError(f"--csv {args.csv}: the name must end in .csv")
    results, failures = [], {}
    pictures: dict[int, tuple[list[Picture], str]] = {}
    with computing(args.threads, args.device) as device:
        for path in args.checkpoints:
            try:
                result = _measured(path, args, device, pictures, console)
            except Exception as error:
                if len(args.checkpoints) == 1 or (told := explain(error)) is None:
                    raise
                if told not in failures.values():  # of pictures that no checkpoint can be measured on
                    console.note(f"error: {told}")
                failures[str(path)] = told
                continue
            results.append(result)
            _show(console, result)
    if args.csv is not None and results:
        _write_csv(args.csv, results)
    console.document({"results": results, "failures": failures})
    return 0 if not failures else 1 if results else 2


def _measured(
    path: Path,
    args: argparse.Namespace,
    device: torch.device,
    pictures: dict[int, tuple[list[Picture], str]],
    console: Console,
) -> dict:
    """Measure one checkpoint on the pictures of its scale, which are read once, with where they come from."""
    from ..errors import CheckpointError
    from ..networks.backbones import weight_file
    from ..pictures.folders import read_pictures
    from ..pictures.telling import tell_inputs
    from .models import open_for_rgb

    engine = open_for_rgb(args.engine, weight_file(path), device)
    scale = engine.scale
    if args.scale not in (None, scale):
        raise CheckpointError(f"{path}: is a x{scale} network, not x{args.scale}")
    if scale not in pictures:
        pictures[scale] = read_pictures(args.hr, args.lr, scale), tell_inputs(args.hr, args.lr, scale)
        console.say(f"x{scale} {pictures[scale][1]}")
    return _evaluate(path, engine, pictures[scale][0], args.tile or None, console) | {"inputs": pictures[scale][1]}


def _evaluate(path: Path, engine: Engine, pictures: list[Picture], tile: int | None, console: Console) -> dict:
    from ..engines.evaluation import evaluate
    from .models import shown_model

    with console.progress(len(pictures), path.name) as bar:
        evaluation = evaluate(engine, pictures, tile, on_picture=lambda _: bar.update())
    network, bits, theory = _told_by_model(shown_model(engine), evaluation)
    return {
        "checkpoint": str(path),
        "engine": engine.name,
        "network": network,
        "scale": engine.scale,
        "bits": bits,
        "tile": tile,
        "pictures": evaluation.pictures.to_dict("records"),
        "mean": evaluation.means() | theory,
        "layer_bits": evaluation.layer_bits,
    }


def _told_by_model(model: QuantizedSR | None, evaluation: Evaluation) -> tuple[str | None, str | None, dict]:
    """Return name, bits and theoretical cost of the network, None where the engine shows none or it cannot be counted."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

    if model is None:
        return None, None, dict.fromkeys(list(_COLUMNS)[3:])
    try:
        summary = evaluation.summary(model)
        theory = {f"theoretical_{name}": summary[name] for name in ("bitops_g", "relative_bitops", "size_kib")}
    except (DataDependentOutputException, DynamicOutputShapeException):  # its code reads numbers of the picture
        theory = dict.fromkeys(list(_COLUMNS)[3:])
    return model.descriptor.title, model.config.label if evaluation.layer_bits else FULL_PRECISION_SETTING, theory


def _show(console: Console, result: dict) -> None:
    network = result["network"] or f"engine {result['engine']}"
    console.result(f"{result['checkpoint']}: {network} x{result['scale']} {result['bits'] or ''}".rstrip())
    measured = list(_COLUMNS)[:3]
    rows = [[row["picture"], *(format(row[key], _FORMATS[key]) for key in measured)] for row in result["pictures"]]
    rows.append(["mean", *(format(result["mean"][key], _FORMATS[key]) for key in measured)])
    console.result(table(rows, ["picture", *(_COLUMNS[key] for key in measured)]))
    theory = [key for key in list(_COLUMNS)[3:] if result["mean"][key] is not None]
    console.result(", ".join(f"{_COLUMNS[key]} {format(result['mean'][key], _FORMATS[key])}" for key in theory) + "\n")


def _write_csv(path: Path, results: list[dict]) -> None:
    """Flat rows; the theoretical columns stand in the rows of means alone."""
    from ..support.files import write_atomically

    identity = ("checkpoint", "network", "scale", "bits", "tile", "engine")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*identity, "picture", *_COLUMNS], restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        shared = {key: result[key] for key in identity}
        for row in (*result["pictures"], {"picture": "mean"} | result["mean"]):
            writer.writerow(shared | row)
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))
