"""MATLAB-style bicubic resizing, the degradation that all SR benchmarks assume."""

import numpy as np

from ._compat import basicsr_module
from .errors import ImageError


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Crop the bottom and right of an (H, W, ...) picture to multiples of ``scale``."""
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise ImageError(f"picture of {width}x{height} pixels is smaller than the scale {scale}")
    return image[: height - height % scale, : width - width % scale]


def downscale(image: np.ndarray, scale: int) -> np.ndarray:
    """Return the low-resolution picture that MATLAB's ``imresize(image, 1/scale)`` would make.

    Args:
        image: (H, W, 3) uint8 RGB, sides multiples of ``scale`` (see :func:`modcrop`).
        scale: integer factor >= 1.

    Returns:
        (H/scale, W/scale, 3) uint8: antialiased bicubic (a = -0.5), rounded and clamped.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ImageError(f"sides {width}x{height} are not multiples of {scale}: call modcrop first")
    imresize = basicsr_module("utils.matlab_functions").imresize
    small = imresize(image.astype(np.float64) / 255.0, 1.0 / scale)
    return np.clip(np.round(small * 255.0), 0, 255).astype(np.uint8)
