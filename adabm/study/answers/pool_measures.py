"""How good a model is at the bits that it chooses, and at the same bits for all images and layers, where ranges alone differ."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from ...quantization.bit_rule import layer_factor
from ...quantization.model import QuantizedSR
from ..running.bench import Bench
from .layer_probes import adaptive_layers, adding
from .probing import batch_of, image_factor, output, patches, pixels, psnr, squared_error

OWN, IMAGES_ALIKE, ALIKE = "own bits", "same bits for all images", "same bits for all"


@contextmanager
def images_alike(model: QuantizedSR) -> Iterator[None]:
    """Let all images have the factor 0 inside the block."""
    with image_factor(model, 0):
        yield


@contextmanager
def all_alike(model: QuantizedSR) -> Iterator[None]:
    """Let all images and all adaptive layers compute at the base bits inside the block; ranges stay."""
    factors = {name: -(layer_factor(layer) or 0) for name, layer in adaptive_layers(model).items()}
    with image_factor(model, 0), adding(model, factors):
        yield


def quality(model: QuantizedSR, bench: Bench, side: int, count: int) -> dict:
    """Return ``rows``, one a set and ``bits``: mean PSNR of patches to ground truth (dB on Y), that of full precision, FAB.

    ``bits``: those that the model chooses and, of a model with bit mappings, the same for all images and for all.
    """
    found = patches(bench, side, count)
    batch, border = batch_of(model, [patch.low for patch in found]), model.descriptor.scale

    def mean_psnr(dataset: str, images: np.ndarray) -> float:
        here = [(patch, image.round()) for patch, image in zip(found, images) if patch.dataset == dataset]
        return float(np.mean([psnr(squared_error(image, patch.high, border)) for patch, image in here]))

    with model.full_precision():
        full = output(model, batch)
    states = {OWN: nullcontext()}
    if model.image2bit is not None:
        states |= {IMAGES_ALIKE: images_alike(model), ALIKE: all_alike(model)}
    rows = []
    for bits, state in states.items():
        with state:
            passed = model.infer(batch)
        used, images = passed.feature_average_bits.float().cpu().numpy(), pixels(model, passed.image)
        for dataset in dict.fromkeys(patch.dataset for patch in found):
            here = np.array([patch.dataset == dataset for patch in found])
            values = dict(psnr_y_db=mean_psnr(dataset, images), full_db=mean_psnr(dataset, full))
            rows.append(
                dict(bits=bits, dataset=dataset, **values, fab=float(used[here].mean()), patches=int(here.sum()))
            )
    return {"rows": rows}
