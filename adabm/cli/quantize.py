"""``adabm quantize``: from a full-precision network and low-resolution pictures to a checkpoint."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console, table
from .options import add_compute, add_overwrite, check_output, expanded, new_parser, own_files, whole
from .resuming import check_partial, resumable
from .sampling import add_sampling, check_sampling, choose

if TYPE_CHECKING:
    import numpy as np

    from ..quantization.model import QuantizedSR
    from ..steps import CalibrationRecord, TuningStep

_DETAILS = """\
The network is a file of full-precision weights: a PyTorch .pth, .pt or .ckpt state dict or .safetensors of an
architecture that is known (see `adabm import --help`), or what `adabm import` wrote; or the name of a network.
The same seed, pictures, threads and machine give the same file.
Each round of fine-tuning is kept in FILE.partial beside the output until it is written: after an interruption
the same command with --resume goes on behind the last round, to the same result.

examples:
  adabm quantize --images photos/LR --output edsr_w4a4.safetensors
  adabm quantize --images photos --high-resolution --recipe adabm-relative --activation-bits 6 \\
      --set tune.lr_image=0.05 --output edsr_w4a6.safetensors
  adabm quantize --images photos/LR --network swinir.pth --output swinir_w4a4.safetensors
  adabm quantize --images frames --sampling diverse --pictures 100 --output edsr_w4a4.safetensors
  adabm quantize --images photos/LR --output edsr_w4a4.safetensors --resume
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``quantize``."""
    parser = new_parser(
        commands, "quantize", "quantize a super-resolution network from pictures without ground truth", _DETAILS
    )
    parser.add_argument(
        "--images", required=True, type=expanded, metavar="FOLDER", help="low-resolution pictures, about 100"
    )
    parser.add_argument(
        "--high-resolution",
        "--images-are-high-resolution",
        "--hr",
        action="store_true",
        help="the pictures are high-resolution: shrink them first, as MATLAB's imresize would",
    )
    add_sampling(parser)
    parser.add_argument(
        "--output", required=True, type=expanded, metavar="FILE", help="checkpoint to write (.safetensors)"
    )
    parser.add_argument(
        "--network",
        type=expanded,
        metavar="FILE_OR_NAME",
        help="full-precision weights, or the name of a network such as dat_light_x4 (default: the shipped EDSR x4)",
    )
    parser.add_argument(
        "--recipe",
        "--preset",
        default="fast",
        metavar="NAME_OR_FILE",
        help="method, see `adabm recipes`, or a recipe file of your own (.yaml) (default: fast)",
    )
    parser.add_argument("--weight-bits", type=whole(1), metavar="N", help="(default: 4)")
    parser.add_argument("--activation-bits", type=whole(1), metavar="N", help="base bits (default: 4)")
    parser.add_argument(
        "--body-only", action="store_true", help="keep first, upsampling and last convolutions in full precision"
    )
    parser.add_argument(
        "--patch-size", type=whole(1), metavar="N", help="side of the patches in LR pixels (default: 96)"
    )
    parser.add_argument("--patches", type=whole(1), metavar="N", help="calibration patches (default: one a picture)")
    parser.add_argument("--batch-size", type=whole(1), default=16, metavar="N", help="of calibration (default: 16)")
    parser.add_argument("--rounds", type=whole(0), metavar="N", help="fine-tuning rounds (default: the recipe's)")
    parser.add_argument("--steps-per-round", type=whole(1), metavar="N", help="(default: the recipe's)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of a step, e.g. calibrate.ema=0.8, tune.batch_size=4 or tune=none; may be repeated",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="of patches, augmentation and sampling (default: 0)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run of this command stopped, if one did"
    )
    add_compute(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Calibrate, fine-tune, save and report."""
    from ..checkpoints.checkpoint import save_quantized
    from ..errors import ConfigError
    from ..guarded import quantize
    from ..networks import describe
    from ..networks.backbones import default_backbone, weight_file
    from ..networks.placing import placed
    from .models import check_channels, computing, load_full_precision, note_unlike
    from .settings import configuration

    config, name = configuration(args)
    check_sampling(args)
    source = weight_file(args.network) if args.network is not None else default_backbone()
    if args.output.suffix.lower() != ".safetensors":
        raise ConfigError(f"--output {args.output}: the name must end in .safetensors")
    check_output(args.output, args.overwrite, [source, *own_files(args), *config.recipe.files])
    check_partial(args)
    with computing(args.threads, args.device) as device:
        network = placed(load_full_precision(source), device)
        descriptor = describe(network)
        check_channels(source, descriptor)
        console.say(descriptor.summary())
        size = args.patch_size or 96
        sizes = [size, *(s for step in config.recipe.steps if (s := getattr(step, "patch_size", None)))]
        pictures = _read_images(args.images, descriptor.scale if args.high_resolution else None, max(sizes))
        chosen = choose(args, console, pictures, network, config, descriptor)
        images = [pictures[file] for file in chosen]
        console.say(f"{len(images)} pictures; recipe {name}, seed {args.seed}; calibrating ...")
        total = sum(getattr(step, "total_steps", 0) for step in config.recipe.steps)
        begun = time.perf_counter()
        console.stage(f"calibrating on {len(images)} pictures")
        with (
            resumable(args, console, network, descriptor, config, images) as (progress, taken),
            console.progress(total, "fine-tuning", lines=True) as bar,
        ):
            if taken:
                console.say(f"resuming behind fine-tuning step {taken} of {total}")
                bar.update(taken)

            def on_calibrated(_: QuantizedSR) -> None:
                console.stage(f"calibrated; {total - taken} of {total} fine-tuning steps are to be taken")

            def on_step(step: TuningStep) -> None:
                bar.set_postfix_str(
                    f"{step.group}, loss {step.pixel + step.structure:.3f}, FAB {step.feature_average_bits:.2f}", False
                )
                bar.update()

            model, record, steps = quantize(
                network,
                images,
                config,
                descriptor,
                patch_size=size,
                patches=args.patches,
                batch_size=args.batch_size,
                seed=args.seed,
                after_calibration=on_calibrated,
                on_step=on_step,
                progress=progress,
            )
            seconds = time.perf_counter() - begun
            check_output(args.output, args.overwrite)  # again: another run may have written it meanwhile
            console.stage(f"writing {args.output}")
            save_quantized(model, args.output, preset=name, seed=args.seed)
            note_unlike(console, source, network, descriptor)
    report = _report(model, record, steps)
    _show(console, model, report, args.output, seconds)
    console.document(
        {
            "output": str(args.output),
            "recipe": name,
            "seed": args.seed,
            "pictures": len(images),
            "files": chosen,
            "seconds": seconds,
        }
        | report
        | {"config": config.to_dict()}
    )
    return 0


def _read_images(folder: Path, scale: int | None, least: int) -> dict[str, np.ndarray]:
    """Read the pictures by file name, made low-resolution if ``scale`` is given; each must hold a patch of side ``least``."""
    from ..errors import ImageError
    from ..pictures.reading import list_images, read_rgb
    from ..pictures.resize import downscale, modcrop

    images = {}
    for path in list_images(folder):
        image = read_rgb(path)
        height, width = (side // (scale or 1) for side in image.shape[:2])
        if min(height, width) < least:
            raise ImageError(
                f"{path}: {width}x{height} low-resolution pixels are less than a patch of "
                f"{least}x{least}; take this picture away or give --patch-size {min(width, height)}"
            )
        images[path.name] = image if scale is None else downscale(modcrop(image, scale), scale)
    return images


def _report(model: QuantizedSR, record: CalibrationRecord, steps: Sequence[TuningStep]) -> dict:
    from ..engines.cost import size_bits
    from ..quantization.bit_rule import expected_average_bits

    complexities = record.complexities
    image2bit = model.image2bit
    factors = [0.0] * len(complexities) if image2bit is None else image2bit(complexities.to(model.device)).tolist()
    bits = expected_average_bits(list(model.layers.values()), factors)
    return {
        "network": {"name": model.descriptor.title, "scale": model.descriptor.scale},
        "patches": len(complexities),
        "complexity": {
            "least": float(complexities.min()),
            "mean": float(complexities.mean()),
            "most": float(complexities.max()),
            "lower_threshold": image2bit.lower.item() if image2bit is not None else None,
            "upper_threshold": image2bit.upper.item() if image2bit is not None else None,
        },
        "feature_average_bits": sum(bits) / len(bits),
        "fine_tuning": _rounds(steps),
        "theoretical_size_kib": size_bits(model) / 8 / 1024,
        "theoretical_full_precision_size_kib": size_bits(model, quantized=False) / 8 / 1024,
    }


def _rounds(steps: Sequence[TuningStep]) -> list[dict]:
    """Mean losses and FAB of each fine-tuning round."""
    rounds: dict[int, list[TuningStep]] = {}
    for step in steps:
        rounds.setdefault(step.round, []).append(step)

    def mean(part: list[TuningStep], name: str) -> float:
        return sum(getattr(step, name) for step in part) / len(part)

    names = ("pixel", "structure", "bit", "feature_average_bits")
    return [
        {"round": index + 1, "group": part[0].group} | {name: mean(part, name) for name in names}
        for index, part in rounds.items()
    ]


def _show(console: Console, model: QuantizedSR, report: dict, output: Path, seconds: float) -> None:
    complexity = report["complexity"]
    console.say(
        f"image complexity of {report['patches']} patches: {complexity['least']:.2f} to {complexity['most']:.2f}, "
        f"mean {complexity['mean']:.2f}"
    )
    if complexity["lower_threshold"] is not None:
        console.say(
            f"thresholds: one bit less below {complexity['lower_threshold']:.2f}, "
            f"one more above {complexity['upper_threshold']:.2f}"
        )
    if report["fine_tuning"]:
        numbers = ("pixel", "structure", "bit", "feature_average_bits")
        rows = [[r["round"], r["group"], *(f"{r[name]:.4f}" for name in numbers)] for r in report["fine_tuning"]]
        console.say(table(rows, ["round", "group", "pixel loss", "structure loss", "bit loss", "FAB"]))
    console.say(f"feature average bits (FAB) over the calibration patches: {report['feature_average_bits']:.3f}")
    console.say(
        f"theoretical size {report['theoretical_size_kib']:.1f} KiB, full precision "
        f"{report['theoretical_full_precision_size_kib']:.1f} KiB (the file itself stores floating point)"
    )
    console.say(f"{output}: {model.descriptor.title} x{model.descriptor.scale} {model.config.label}, {seconds:.1f} s")
