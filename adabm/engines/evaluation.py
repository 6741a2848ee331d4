"""Evaluate a model on pictures with ground truth (protocol: method section 7)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ImageError
from ..pictures.picture import Picture
from ..quantization.model import QuantizedSR
from .cost import cost
from .metrics import psnr_y, ssim_y
from .protocol import Engine
from .simulated import as_engine
from .tiles import round_to_uint8, upscale


@dataclass(frozen=True)
class Measurement:
    """What was measured on one picture: dB, SSIM, FAB and the bits of each quantized layer (empty for FP)."""

    picture: str
    psnr_y_db: float
    ssim_y: float
    fab: float
    layer_bits: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Results of one model on one set.

    Attributes:
        pictures: one row a picture: ``picture, psnr_y_db, ssim_y, fab``.
        layer_bits: mean activation bits of each quantized layer over the pictures; empty for FP.
    """

    pictures: pd.DataFrame
    layer_bits: dict[str, float]

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> "Evaluation":
        """Gather the measurements of a set, at least one."""
        rows = [{k: v for k, v in vars(m).items() if k != "layer_bits"} for m in measurements]
        totals: dict[str, float] = {}
        for measurement in measurements:
            for name, bits in measurement.layer_bits.items():
                totals[name] = totals.get(name, 0.0) + bits / len(measurements)
        return cls(pd.DataFrame(rows), totals)

    def means(self) -> dict[str, float]:
        """Return means over the pictures: ``psnr_y_db, ssim_y, fab``."""
        return self.pictures[["psnr_y_db", "ssim_y", "fab"]].mean().to_dict()

    def summary(self, model: QuantizedSR, macs: Mapping[str, int] | None = None) -> dict[str, float]:
        """Return means over the pictures and the theoretical cost at 1280x720 output, of which ``macs`` may be known."""
        theory = cost(model, self.layer_bits, macs=macs)
        return {
            **self.means(),
            "bitops_g": theory.bitops / 1e9,
            "relative_bitops": theory.relative_bitops,
            "size_kib": theory.size_bits / 8 / 1024,
        }


def evaluate(
    model: QuantizedSR | Engine,
    pictures: Sequence[Picture],
    tile: int | None = None,
    on_picture: Callable[[str], None] | None = None,
) -> Evaluation:
    """Upscale each picture and compare its 8-bit result with the ground truth on Y.

    Args:
        model: an engine; or a calibrated model, or one inside ``model.full_precision()``.
        tile: None for whole pictures; 96 for the literature's large-input protocol.
        on_picture: called with the name after each picture, e.g. to show progress.

    Raises:
        ImageError: a picture's scale is not the model's.
    """
    engine = as_engine(model)
    if not pictures:
        raise ImageError("no picture to evaluate")
    measurements = []
    for picture in pictures:
        measurements.append(measure(engine, picture, tile))
        if on_picture is not None:
            on_picture(picture.name)
    return Evaluation.of(measurements)


def measure(model: QuantizedSR | Engine, picture: Picture, tile: int | None = None) -> Measurement:
    """Upscale one picture and compare; see :func:`evaluate`."""
    engine = as_engine(model)
    scale = engine.scale
    if picture.scale != scale:
        raise ImageError(f"{picture.name}: a x{picture.scale} pair for a x{scale} network")
    result = upscale(engine, picture.low, tile)
    if not np.isfinite(result.image).all():
        raise ImageError(f"{picture.name}: the model's output has NaN or infinite values")
    output = round_to_uint8(result.image)
    try:
        psnr, ssim = psnr_y(output, picture.high, scale), ssim_y(output, picture.high, scale)
    except ImageError as error:
        raise ImageError(f"{picture.name}: {error}") from None
    return Measurement(picture.name, psnr, ssim, result.feature_average_bits, result.layer_bits)
