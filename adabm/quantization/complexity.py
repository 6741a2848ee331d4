"""Image complexity: the mean gradient magnitude that decides an image's bits (method section 3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ImageError
from ..own_functions import one_number_a_picture
from ..support.registry import Registry

_GRAY = (0.299, 0.587, 0.114)
_SOBEL_X = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


# f(images (N, C, H, W), value_range) -> (N,): what an image's bits follow
COMPLEXITIES = Registry(
    "image complexity", one_number_a_picture, "a floating-point tensor (N,), one finite number a picture", apart=True
)


@COMPLEXITIES.register("gradient")
def image_complexity(images: Tensor, value_range: float = 255.0) -> Tensor:
    """Return the complexity of each image: mean absolute Sobel gradient of its gray values, times 1000.

    Args:
        images: (N, 3, H, W) RGB or (N, 1, H, W) gray, 0 to ``value_range``.

    Returns:
        (N,) tensor. Kernels are divided by 8, borders replicated, gray = 0.299 R + 0.587 G + 0.114 B.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = tuple(images.shape) if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise ImageError(f"expected images of shape (N, 3, H, W) or (N, 1, H, W), got {found}")
    channels = images.shape[1]
    gray = images / value_range
    if channels == 3:
        weights = torch.tensor(_GRAY, dtype=gray.dtype, device=gray.device).view(1, 3, 1, 1)
        gray = (gray * weights).sum(1, keepdim=True)
    sobel = torch.tensor(_SOBEL_X, dtype=gray.dtype, device=gray.device) / 8
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1)
    gradients = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), kernels)
    return gradients.abs().mean((1, 2, 3)) * 1000
