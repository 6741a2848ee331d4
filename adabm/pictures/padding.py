"""Pictures of a size that a network takes."""

import numpy as np


def fitting_side(side: int, multiple: int, minimum: int = 1) -> int:
    """Return the least number of pixels, no less than ``side`` and ``minimum``, that is a multiple of ``multiple``."""
    return -(-max(side, minimum) // multiple) * multiple


def padded(picture: np.ndarray, multiple: int, minimum: int = 1) -> np.ndarray:
    """Repeat the last row and column of a (H, W, C) picture until its sides are :func:`fitting_side`."""
    below, after = (fitting_side(side, multiple, minimum) - side for side in picture.shape[:2])
    return np.pad(picture, ((0, below), (0, after), (0, 0)), "edge") if below or after else picture
