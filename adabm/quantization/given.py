"""What a model is given to compute: refused where broadcasting or a conversion inside the network would make something else of it."""

import torch
from torch import Tensor

from ..errors import ImageError


def check_images(images: object, channels: int, dtype: torch.dtype) -> None:
    """Refuse what is no batch of images (N, ``channels``, H, W) of the model's type.

    A network may take others without a word: one channel is repeated where colours are shifted, and whole numbers turn what
    BasicSR's networks keep, such as the mean that they subtract, into whole numbers for all images after it.

    Raises:
        ImageError: with the remedy.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels:
        found = tuple(images.shape) if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise ImageError(f"expected images of shape (N, {channels}, H, W), got {found}")
    if not images.numel():
        raise ImageError(f"the images are empty, of shape {tuple(images.shape)}; give one or more")
    if images.dtype != dtype:
        raise ImageError(
            f"the images are {images.dtype}, the model computes in {dtype}; give images.to(model.dtype), from 0 to the value range "
            "of its descriptor"
        )
