"""A picture with its ground truth."""

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError


@dataclass(frozen=True)
class Picture:
    """A picture to evaluate: its name, the ground truth and the low-resolution input, (H, W, 3) uint8 RGB."""

    name: str
    high: np.ndarray
    low: np.ndarray

    def __post_init__(self) -> None:
        for side, what in ((0, "height"), (1, "width")):
            if self.high.shape[side] % self.low.shape[side]:
                raise ImageError(
                    f"{self.name}: the {what} {self.high.shape[side]} of the ground truth is no multiple of the "
                    f"input's {self.low.shape[side]}; crop it first (adabm.pictures.resize.modcrop)"
                )

    @property
    def scale(self) -> int:
        return self.high.shape[0] // self.low.shape[0]
