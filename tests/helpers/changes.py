"""Changes to a network after it was built, which no option of its constructor tells."""

from collections.abc import Callable
from types import MethodType

import torch
from torch import nn


def _brighter(part: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return type(part).forward(part, images) + 0.5


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "mean": lambda edsr: setattr(edsr, "mean", torch.full((1, 3, 1, 1), 0.3)),
    "img_range": lambda edsr: setattr(edsr, "img_range", 2.0),
    "res_scale": lambda edsr: setattr(edsr.body[0], "res_scale", 0.5),
    "a hook of a block": lambda edsr: edsr.body[0].register_forward_hook(lambda _m, _i, output: 2 * output),
    "a hook": lambda edsr: edsr.register_forward_hook(lambda _m, _i, output: output.clamp(0, 0.4)),
    "a forward": lambda edsr: setattr(edsr, "forward", MethodType(_brighter, edsr)),
    "an activation": lambda edsr: setattr(edsr.body[0], "relu", nn.LeakyReLU(0.2)),
    "the forward of a part": lambda edsr: setattr(edsr.upsample, "forward", MethodType(_brighter, edsr.upsample)),
}
