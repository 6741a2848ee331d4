"""Patches for calibration and fine-tuning, drawn from low-resolution pictures by a seed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .picture import check_array
from .tensors import to_batch

MOST_BYTES = 8 * 2**30  # of patches that are held at once, in single precision; the paper takes 11 MB


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


def check_pictures(images: Sequence[np.ndarray], size: int = 1, what: str = "calibration picture") -> None:
    """Refuse what is no list of (H, W, 3|1) uint8 pictures of one kind, with sides of ``size`` at least.

    Args:
        what: one of them is, in an error.

    Raises:
        DataError: naming the first that is none.
    """
    if isinstance(images, np.ndarray):
        raise DataError(f"expected a list of (H, W, C) pictures, got one array of shape {images.shape}")
    if isinstance(images, str | bytes | type | Mapping) or not (
        hasattr(images, "__len__") and hasattr(images, "__getitem__")
    ):
        raise DataError(f"the {what}s are a {type(images).__name__}; give a list of uint8 arrays of shape (H, W, 3)")
    if len(images) == 0:
        raise DataError(f"no {what} was given")
    for index, image in enumerate(images):
        if isinstance(image, np.ma.MaskedArray):
            check_array(image, f"{what} {index}")
        if (
            not isinstance(image, np.ndarray)
            or image.ndim != 3
            or image.shape[2] not in (1, 3)
            or image.dtype != np.uint8
        ):
            found = f"{image.dtype} {tuple(image.shape)}" if hasattr(image, "shape") else type(image).__name__
            raise DataError(f"{what} {index} is {found}; expected a uint8 array of shape (H, W, 3)")
        if image.shape[2] != images[0].shape[2]:
            raise DataError(
                f"{what} {index} has {image.shape[2]} channels, the first one {images[0].shape[2]}; give pictures of one kind"
            )
        if not image.size:
            raise DataError(f"{what} {index} is empty, of shape {image.shape}")
        if min(image.shape[:2]) < size:
            raise DataError(
                f"{what} {index} has {image.shape[1]}x{image.shape[0]} pixels; patches need {size}x{size}. "
                "Use larger pictures or a smaller patch_size."
            )


def check_patches(images: Sequence[np.ndarray], size: int, patches: int) -> None:
    """Refuse more patches than there are places to take one from, unless it is one a picture, or than memory holds.

    Raises:
        DataError: too many.
    """
    places = sum((image.shape[0] - size + 1) * (image.shape[1] - size + 1) for image in images)
    if patches > max(places, len(images)):
        raise DataError(
            f"{patches} patches of {size}x{size} pixels: the {len(images)} calibration pictures have but {places} different "
            "ones; take fewer, or more or larger pictures"
        )
    _check_memory(images, size, patches)


def _check_memory(images: Sequence[np.ndarray], size: int, patches: int) -> None:
    if (need := patches * size * size * images[0].shape[2] * 4) > MOST_BYTES:
        most = patches * MOST_BYTES // need
        raise DataError(
            f"{patches} patches of {size}x{size} pixels: all are held in memory, {need / 2**30:.0f} GiB; take at most {most}"
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

    Raises:
        DataError: a picture that is none or too small, or more patches than :func:`check_patches` allows.
    """
    check_pictures(images, size)
    if patches is not None:
        check_patches(images, size, patches)
    rng = np.random.default_rng((seed, 0))
    count = patches if patches is not None else len(images)
    drawn = [random_patch(images[i % len(images)], size, rng) for i in range(count)]
    return [to_batch(drawn[i : i + batch_size], value_range) for i in range(0, count, batch_size)]


def random_batches(
    images: Sequence[np.ndarray], size: int = 96, batch_size: int = 2, seed: int = 0, value_range: float = 255.0
) -> Iterator[Tensor]:
    """Yield fine-tuning batches of random augmented patches without end; the seed fixes them all."""
    check_pictures(images, size)
    _check_memory(images, size, batch_size)
    rng = np.random.default_rng((seed, 1))
    while True:
        chosen = rng.integers(len(images), size=batch_size)
        yield to_batch([augment(random_patch(images[i], size, rng), rng) for i in chosen], value_range)


def pooled_batches(
    images: Sequence[np.ndarray],
    pool: int,
    size: int = 96,
    batch_size: int = 2,
    seed: int = 0,
    value_range: float = 255.0,
) -> Iterator[Tensor]:
    """Yield fine-tuning batches from a fixed pool of random augmented patches without end; the seed fixes them all.

    Every patch has its turn before one comes again. What depends on a patch alone can be kept between its turns.
    """
    check_pictures(images, size)
    _check_memory(images, size, pool)
    fresh = random_batches(images, size, 1, seed, value_range)
    patches = [next(fresh) for _ in range(pool)]
    rng = np.random.default_rng((seed, 2))
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            waiting.extend(rng.permutation(pool).tolist())
        yield torch.cat([patches[i] for i in waiting[:batch_size]])
        del waiting[:batch_size]
