"""Patches for calibration and fine-tuning, drawn from low-resolution pictures by a seed."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from ..errors import DataError
from .tensors import to_batch


def random_patch(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random (size, size, C) patch; a side shorter than ``size`` is kept whole."""
    height, width = (min(size, side) for side in image.shape[:2])
    top = int(rng.integers(image.shape[0] - height + 1))
    left = int(rng.integers(image.shape[1] - width + 1))
    return image[top : top + height, left : left + width]


def augment(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip and transpose at random: one of the eight symmetries of the square."""
    horizontal, vertical, transpose = rng.random(3) < 0.5
    patch = patch[:, ::-1] if horizontal else patch
    patch = patch[::-1] if vertical else patch
    return patch.transpose(1, 0, 2) if transpose else patch


def _check(images: Sequence[np.ndarray], size: int) -> None:
    if len(images) == 0:
        raise DataError("no calibration picture was given")
    if isinstance(images, np.ndarray):
        raise DataError(f"expected a list of (H, W, C) pictures, got one array of shape {images.shape}")
    for index, image in enumerate(images):
        if (
            not isinstance(image, np.ndarray)
            or image.ndim != 3
            or image.shape[2] not in (1, 3)
            or image.dtype != np.uint8
        ):
            found = f"{image.dtype} {tuple(image.shape)}" if hasattr(image, "shape") else type(image).__name__
            raise DataError(f"calibration picture {index} is {found}; expected a uint8 array of shape (H, W, 3)")
        if min(image.shape[:2]) < size:
            raise DataError(
                f"calibration picture {index} has {image.shape[1]}x{image.shape[0]} pixels; patches need {size}x{size}. "
                "Use larger pictures or a smaller patch_size."
            )


def calibration_batches(
    images: Sequence[np.ndarray],
    size: int = 96,
    batch_size: int = 16,
    seed: int = 0,
    value_range: float = 255.0,
    patches: int | None = None,
) -> list[Tensor]:
    """Return the calibration patches in batches (N, C, size, size); the last may be smaller.

    Args:
        images: (H, W, C) uint8 low-resolution pictures.
        patches: how many patches in all, taken from the pictures in turn; by default one a picture.
    """
    _check(images, size)
    rng = np.random.default_rng((seed, 0))
    count = patches if patches is not None else len(images)
    drawn = [random_patch(images[i % len(images)], size, rng) for i in range(count)]
    return [to_batch(drawn[i : i + batch_size], value_range) for i in range(0, count, batch_size)]


def random_batches(
    images: Sequence[np.ndarray], size: int = 96, batch_size: int = 2, seed: int = 0, value_range: float = 255.0
) -> Iterator[Tensor]:
    """Yield fine-tuning batches of random augmented patches without end; the seed fixes them all."""
    _check(images, size)
    rng = np.random.default_rng((seed, 1))
    while True:
        chosen = rng.integers(len(images), size=batch_size)
        yield to_batch([augment(random_patch(images[i], size, rng), rng) for i in chosen], value_range)
