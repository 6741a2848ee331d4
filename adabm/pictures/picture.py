"""A picture with its ground truth."""

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError
from ..validation import check


@dataclass(frozen=True)
class Picture:
    """A picture to evaluate: its name, the ground truth and the low-resolution input, (H, W, 3) uint8 RGB."""

    name: str
    high: np.ndarray
    low: np.ndarray

    def __post_init__(self) -> None:
        check("name", self.name, str)
        for what, array in (("ground truth", self.high), ("input", self.low)):
            check_array(array, f"{self.name}: the {what}")
            if array.ndim != 3 or not array.size:
                raise ImageError(f"{self.name}: the {what} has shape {array.shape}; expected (H, W, 3)")
        for side, what in ((0, "height"), (1, "width")):
            if self.high.shape[side] % self.low.shape[side]:
                raise ImageError(
                    f"{self.name}: the {what} {self.high.shape[side]} of the ground truth is no multiple of the "
                    f"input's {self.low.shape[side]}; crop it first (adabm.pictures.resize.modcrop)"
                )

    @property
    def scale(self) -> int:
        return self.high.shape[0] // self.low.shape[0]


def check_array(image: object, what: str) -> None:
    """Refuse what is no array, and a masked one, whose mask would be lost.

    Args:
        what: it is, in an error.

    Raises:
        ImageError: with the remedy.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{what} is a {type(image).__name__}; give an array of shape (H, W, 3)")
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError(f"{what} is a masked array, and a mask has no meaning here; give image.filled(VALUE)")
