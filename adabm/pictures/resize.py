"""MATLAB-style bicubic downscaling, the degradation that all SR benchmarks assume.

BasicSR's ``imresize`` computes the same filter but rounds once, at the end, and mirrors the borders,
as newer versions of MATLAB do. The published low-resolution pictures were rounded after each
direction and had their borders repeated; doing the same makes all their pixels identical instead of 88 %.
"""

import numpy as np
from scipy.sparse import csr_array

from ..errors import ImageError
from ..validation import Count, check


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Crop the bottom and right of an (H, W, ...) picture to multiples of ``scale``.

    Raises:
        ConfigError: a scale that is no whole number >= 1.
        ImageError: the picture is smaller than the scale.
    """
    scale = check("scale", scale, Count)
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise ImageError(f"picture of {width}x{height} pixels is smaller than the scale {scale}")
    return image[: height - height % scale, : width - width % scale]


def downscale(image: np.ndarray, scale: int) -> np.ndarray:
    """Return the low-resolution picture that MATLAB's ``imresize(image, 1/scale)`` would make.

    Args:
        image: (H, W) or (H, W, C) uint8, sides multiples of ``scale`` (see :func:`modcrop`).
        scale: integer factor >= 1.

    Returns:
        (H/scale, W/scale[, C]) uint8: antialiased bicubic (a = -0.5), rows first, then columns,
        each rounded half up and clamped to 0..255; border pixels are repeated.

    Raises:
        ConfigError: a scale that is no whole number >= 1.
        ImageError: sides that are no multiples of it, or samples of another type.
    """
    scale = check("scale", scale, Count)
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ImageError(f"sides {width}x{height} are not multiples of {scale}: call modcrop first")
    if image.dtype != np.uint8:
        raise ImageError(f"expected an 8-bit picture, got {image.dtype}")
    for axis in (0, 1):
        image = np.moveaxis(_downscale_rows(np.moveaxis(image, axis, 0), scale), 0, axis)
    return np.ascontiguousarray(image)


def _downscale_rows(image: np.ndarray, scale: int) -> np.ndarray:
    filtered = _filter(len(image), scale) @ image.reshape(len(image), -1).astype(np.float64)
    rounded = np.clip(np.floor(filtered + 0.5), 0, 255).astype(np.uint8)
    return rounded.reshape(-1, *image.shape[1:])


def _filter(length: int, scale: int) -> csr_array:
    """Return the (length/scale, length) matrix that filters and decimates one direction."""
    count = length // scale
    centers = (np.arange(count) + 0.5) * scale - 0.5
    taps = np.floor(centers - 2 * scale).astype(int)[:, None] + np.arange(4 * scale + 2)
    weights = _cubic((centers[:, None] - taps) / scale)
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(count), taps.shape[1])
    return csr_array((weights.ravel(), (rows, taps.clip(0, length - 1).ravel())), shape=(count, length))


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE TASSP 1981)."""
    x = np.abs(x)
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))
