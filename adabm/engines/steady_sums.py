"""Whether a network's layers give a pixel the same sum in a picture of any size, on this processor."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Sides of a picture and of a part of it, twice; all so large that torch takes the algorithm of large inputs, see engines/context.py.
_TRIED = (((104, 260), (96, 150)), ((92, 120), (85, 97)))
_BEGIN = (4, 20)  # where the part begins


def unsteady_layer(network: nn.Module) -> str | None:
    """Name the first convolution or linear layer whose sums depend, in their last bit, on the size of the picture.

    A sum of floating-point numbers depends on its order, and which order a library takes may depend on the size: oneDNN's
    general matrix products do, by which processors without AVX-512 compute windows of 9x9 on three channels. Each layer is tried
    once, on random numbers, where its weights lie. Products of attention are not tried.

    >>> unsteady_layer(nn.Conv2d(16, 16, 3, padding=1))
    """
    for name, layer in network.named_modules():
        sums = _sums(layer)
        if sums is not None and _depends_on_size(*sums):
            return name or type(layer).__name__
    return None


def _sums(layer: nn.Module) -> tuple | None:
    """What decides in which order a layer sums: function, shape, options and where its weights lie; None for other layers."""
    if isinstance(layer, nn.Linear):
        function, options = F.linear, ()
    elif isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str):
            return None
        function, options = F.conv2d, (layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        return None
    weight = layer.weight
    last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return function, tuple(weight.shape), options, weight.dtype, weight.device, last


@cache
def _depends_on_size(
    function: Callable, shape: tuple, options: tuple, dtype: torch.dtype, device: torch.device, channels_last: bool
) -> bool:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draw).to(device, dtype)
    if channels_last:
        weight = weight.contiguous(memory_format=torch.channels_last)
    groups = options[3] if options else 1
    same = _same_of_pixels if function is F.linear else _same_of_windows
    with torch.no_grad():
        for sides, cut in _TRIED:
            picture = torch.randn(1, shape[1] * groups, *sides, generator=draw).to(device, dtype)
            if not same(picture, cut, weight, options):
                return True
    return False


def _same_of_pixels(picture: Tensor, cut: tuple[int, int], weight: Tensor, options: tuple) -> bool:
    (row, column), (height, width) = _BEGIN, cut
    pixels = picture.movedim(1, -1).contiguous()
    part = pixels[:, row : row + height, column : column + width].contiguous()
    whole = F.linear(pixels, weight)[:, row : row + height, column : column + width]
    return torch.equal(F.linear(part, weight), whole)


def _same_of_windows(picture: Tensor, cut: tuple[int, int], weight: Tensor, options: tuple) -> bool:
    """Compare what lies so far inside that the border is not seen."""
    stride, padding = options[0], options[1]
    begin = [low // step * step for low, step in zip(_BEGIN, stride)]
    ends = [low + side // step * step for low, side, step in zip(begin, cut, stride)]
    part = picture[:, :, begin[0] : ends[0], begin[1] : ends[1]].contiguous()
    whole, of_part = F.conv2d(picture, weight, None, *options), F.conv2d(part, weight, None, *options)
    margin = [-(-pad // step) for pad, step in zip(padding, stride)]
    rows, columns = (range(edge, side - edge) for edge, side in zip(margin, of_part.shape[2:]))
    moved = [low // step for low, step in zip(begin, stride)]
    inside = of_part[:, :, rows.start : rows.stop, columns.start : columns.stop]
    there = whole[
        :, :, rows.start + moved[0] : rows.stop + moved[0], columns.start + moved[1] : columns.stop + moved[1]
    ]
    return torch.equal(inside, there)
