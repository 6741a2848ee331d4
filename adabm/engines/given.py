"""What the engines of this package are given: refused where a library would compute a picture of something else."""

import numpy as np

from ..errors import ImageError


def check_pictures(pictures: object, channels: int) -> None:
    """Refuse what is no batch (N, H, W, ``channels``) of finite numbers.

    Raises:
        ImageError: with the remedy.
    """
    if not isinstance(pictures, np.ndarray) or pictures.ndim != 4 or pictures.shape[3] != channels:
        found = (
            f"have shape {pictures.shape}" if isinstance(pictures, np.ndarray) else f"are a {type(pictures).__name__}"
        )
        raise ImageError(f"the pictures {found}; expected an array (N, H, W, {channels})")
    if not pictures.size:
        raise ImageError(f"the pictures are empty, of shape {pictures.shape}; give one or more")
    if pictures.dtype.kind not in "uif":
        raise ImageError(f"the pictures are of type {pictures.dtype}; give numbers from 0 to 255")
    if pictures.dtype.kind == "f" and not np.isfinite(pictures).all():
        raise ImageError("the pictures have NaN or infinite values")
