"""Whether calibration pictures show anything."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError


def check_contrast(images: Sequence[np.ndarray]) -> None:
    """Refuse calibration pictures of which none shows anything: ranges measured on them fit no picture.

    Args:
        images: arrays of uint8; what is none is left to others.

    Raises:
        DataError: each is of one colour, or no value of any is above 1.
    """
    if not isinstance(images, (list, tuple)) or not images or not all(map(_is_picture, images)):
        return
    if all((image == image[:1, :1]).all() for image in images):
        raise DataError(
            "each calibration picture is of one colour, on which no range can be measured; give pictures that show something"
        )
    if max(int(image.max()) for image in images) <= 1:
        raise DataError(
            "no value of the calibration pictures is above 1; multiply pictures of 0 to 1 by 255 before they are made uint8"
        )


def _is_picture(image: object) -> bool:
    return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and bool(image.size)
