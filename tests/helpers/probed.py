"""A tiny quantized network on a bench of tiny pictures, for tests of answers that look into a model."""

from pathlib import Path

import numpy as np

import adabm
from adabm.networks import load_network
from adabm.pictures.reading import read_rgb
from adabm.quantization.model import QuantizedSR
from adabm.study import Bench, Effort, Run
from helpers.study_files import write_pool, write_study


def probed(root: Path) -> tuple[QuantizedSR, Bench]:
    """Return a calibrated AdaBM model that is not fine-tuned, W4A4 FQ, and the bench of its study."""
    write_study(root)
    write_pool(root / "pool")
    bench = Bench.open(
        str(root / "net.safetensors"), str(root / "data"), ["First"], str(root / "pool"), Effort(12, None, 3, 1)
    )
    run = Run.at("adabm-own-bits", "W4A4 FQ", 0, {"tune": None})
    pictures = [np.asarray(picture) for picture in (read_rgb(path) for path in bench.pool)]
    model, _, _ = adabm.quantize(load_network(bench.backbone), pictures, run.config(bench.effort), patch_size=12)
    return model, bench
