"""PSNR and SSIM of the super-resolution literature: on Y of BT.601, borders cropped (method section 7)."""

import math

import numpy as np
from skimage.metrics import structural_similarity

from ..errors import ImageError


def luma(image: np.ndarray) -> np.ndarray:
    """Return the studio-range Y (16 to 235) of an (H, W, 3) RGB picture of values 0 to 255, as float64."""
    return 16.0 + image.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255.0)


def _pair(image: np.ndarray, reference: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    if image.shape != reference.shape:
        raise ImageError(
            f"pictures of shapes {image.shape} and {reference.shape} cannot be compared; was the scale right?"
        )
    if min(image.shape[:2]) <= 2 * border + 11:
        raise ImageError(
            f"a picture of {image.shape[1]}x{image.shape[0]} pixels is too small to evaluate with a border of {border}"
        )
    crop = slice(border, -border) if border else slice(None)
    return luma(image)[crop, crop], luma(reference)[crop, crop]


def psnr_y(image: np.ndarray, reference: np.ndarray, border: int) -> float:
    """Peak signal-to-noise ratio in dB of two (H, W, 3) uint8 RGB pictures; infinite if equal.

    Args:
        border: pixels cropped from each side; the convention is the upsampling factor.
    """
    a, b = _pair(image, reference, border)
    error = np.mean((a - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim_y(image: np.ndarray, reference: np.ndarray, border: int) -> float:
    """Structural similarity (Wang 2004: 11x11 Gaussian window of sigma 1.5) of two uint8 RGB pictures."""
    a, b = _pair(image, reference, border)
    return float(
        structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    )
