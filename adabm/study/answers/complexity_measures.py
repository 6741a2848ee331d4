"""How complex a picture is, by nine measures, all meant to be larger where there is more to see; and what a bit does to it."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from ...pictures.tensors import to_batch
from ...quantization.complexity import image_complexity
from ...quantization.model import QuantizedSR
from ..running.bench import Bench
from .probing import Patch, batch_of, bench_scale, image_factor, output, patches, squared_error

_QUALITY = 90  # of JPEG
_HIGH = 0.25  # cycles a pixel: half of what can be represented


def _gray(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0


def _laplacian(picture: np.ndarray) -> np.ndarray:
    return np.abs(ndimage.laplace(_gray(picture), mode="nearest"))


def gradient(picture: np.ndarray) -> float:
    """AdaBM's own: mean absolute Sobel gradient, times 1000."""
    return float(image_complexity(to_batch(picture[None]), 255.0)[0])


def variance(picture: np.ndarray) -> float:
    """Variance of the gray values."""
    return float(_gray(picture).var())


def entropy(picture: np.ndarray) -> float:
    """Shannon entropy of the gray values in 64 steps, in bits."""
    share = np.histogram(_gray(picture), 64, (0.0, 1.0))[0] / picture[..., 0].size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def laplacian_energy(picture: np.ndarray) -> float:
    """Mean square of the Laplacian."""
    return float((_laplacian(picture) ** 2).mean())


def laplacian_peak(picture: np.ndarray) -> float:
    """99th percentile of the absolute Laplacian."""
    return float(np.quantile(_laplacian(picture), 0.99))


def total_variation(picture: np.ndarray) -> float:
    """Mean absolute difference of neighbours, down and across."""
    gray = _gray(picture)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())


def jpeg_size(picture: np.ndarray) -> float:
    """Bytes a pixel as JPEG of quality 90."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=_QUALITY)
    return stored.getbuffer().nbytes / picture[..., 0].size


def high_frequencies(picture: np.ndarray) -> float:
    """Share of the spectrum's energy, without the mean, above a quarter of a cycle a pixel."""
    gray = _gray(picture)
    energy = np.abs(np.fft.fft2(gray - gray.mean())) ** 2
    rows, columns = (np.fft.fftfreq(side) for side in gray.shape)
    return float(energy[np.hypot(rows[:, None], columns) > _HIGH].sum() / max(energy.sum(), 1e-12))


def halving_residual(picture: np.ndarray) -> float:
    """Mean square of what is lost by halving the picture and enlarging it again, bicubic."""
    gray = torch.from_numpy(_gray(picture))[None, None]
    options = dict(mode="bicubic", align_corners=False)
    half = torch.nn.functional.interpolate(gray, scale_factor=0.5, antialias=True, **options)
    return float((torch.nn.functional.interpolate(half, size=gray.shape[-2:], **options) - gray).square().mean())


FACTORS = (-1, 0, 1)  # bits that an image adds
OWN = "gradient (AdaBM)"
MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    OWN: gradient,
    "variance": variance,
    "entropy": entropy,
    "Laplacian energy": laplacian_energy,
    "Laplacian, 99th percentile": laplacian_peak,
    "total variation": total_variation,
    "JPEG size": jpeg_size,
    "share of high frequencies": high_frequencies,
    "residual of halving": halving_residual,
}


def errors(model: QuantizedSR, bench: Bench, side: int | None, count: int | None) -> dict:
    """Return ``rows``: of each patch its measures, and its errors on Y at each factor, to ground truth and full precision.

    Args:
        side, count: of :func:`.probing.patches`; None: the sets' pictures as they are.
    """
    rows, border = [], model.descriptor.scale
    for patch in whole_pictures(bench) if side is None else patches(bench, side, count):
        batch = batch_of(model, [patch.low])
        with model.full_precision():
            full = output(model, batch)[0]
        row = {"dataset": patch.dataset, "patch": patch.name}
        row |= {name: of(patch.low) for name, of in MEASURES.items()}
        row["truth fp"] = squared_error(np.rint(full), patch.high, border)
        for factor in FACTORS:
            with image_factor(model, factor):
                image = output(model, batch)[0]
            row[f"fp {factor:+d}"] = squared_error(image, full, border)
            row[f"truth {factor:+d}"] = squared_error(np.rint(image), patch.high, border)
        row["fab"] = float(model.infer(batch).feature_average_bits) - float(
            model.image2bit(model.complexity(batch))
        ) * _share(model)
        rows.append(row)
    return {"rows": rows}


def whole_pictures(bench: Bench) -> list[Patch]:
    """Return the pictures of a bench's sets, each as one patch."""
    read = [
        (pictures.name, files.name, files.read(bench_scale(bench)))
        for pictures in bench.sets
        for files in pictures.files
    ]
    return [Patch(dataset, name, pair.low, pair.high) for dataset, name, pair in read]


def _share(model: QuantizedSR) -> float:
    """Of the layers that count in FAB, those that follow the image."""
    counted = [layer for name, layer in model.layers.items() if model.counts_in_fab(name)]
    return sum(layer.policy.value == "adaptive" for layer in counted) / len(counted)
