"""Start an EDSR x4 from a trained x2 one that is shallower, so that training begins near the goal."""

from pathlib import Path

import torch
from torch import nn

from adabm.errors import NetworkError
from adabm.networks import load_network


def grow_edsr(small_file: str | Path, large: nn.Module) -> None:
    """Give ``large``, a BasicSR EDSR x4 of img_range 1, weights that begin where a small EDSR x2 ended.

    Head, blocks, the closing convolution, the first upsampler and the last convolution are copied.
    The copied blocks are spread evenly over the deeper body; every other block starts as the
    identity (its second convolution is zero). The second upsampler starts as nearest neighbour. So
    the start equals the x2 network, enlarged twice by repeating feature pixels.

    The value range moves from the file's ``img_range`` to 1 by scaling biases: ReLU networks are
    positively homogeneous.

    Raises:
        NetworkError: the small network is no EDSR x2 of the same width and at most the same depth.
    """
    small = load_network(small_file)
    options = small.adabm_options
    depth, width = len(large.body), large.conv_first.out_channels
    if (
        type(small) is not type(large)
        or options["upscale"] != 2
        or options["num_feat"] != width
        or options["num_block"] > depth
    ):
        raise NetworkError(
            f"{small_file}: not an EDSR x2 of {width} features and at most {depth} blocks, but {options}"
        )
    scale = 1.0 / options["img_range"]
    target = large.state_dict()
    places = [round(i * depth / options["num_block"]) for i in range(options["num_block"])]
    for name, value in small.state_dict().items():
        if name.startswith("body."):
            _, index, rest = name.split(".", 2)
            name = f"body.{places[int(index)]}.{rest}"
        target[name] = value * scale if name.endswith("bias") else value
    for index in set(range(depth)) - set(places):
        for kind in ("weight", "bias"):
            target[f"body.{index}.conv2.{kind}"] = torch.zeros_like(target[f"body.{index}.conv2.{kind}"])
        target[f"body.{index}.conv1.bias"] = torch.zeros_like(target[f"body.{index}.conv1.bias"])
    nearest = torch.zeros_like(target["upsample.2.weight"])
    nearest[torch.arange(4 * width), torch.arange(4 * width) // 4, 1, 1] = (
        1.0  # PixelShuffle's order: 4 outputs a channel
    )
    target["upsample.2.weight"], target["upsample.2.bias"] = nearest, torch.zeros(4 * width)
    large.load_state_dict(target)
