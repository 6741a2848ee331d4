"""Fold the parallel branches of re-parameterizable blocks into one convolution."""

import copy

import torch
from torch import nn
from torch.nn.utils import skip_init


def fold_reparameterized(network: nn.Module) -> nn.Module:
    """Replace each ECB block of a BasicSR ECBSR by the one convolution that it is at inference.

    BasicSR's block recomputes its merged weight in every forward, so there is no ``nn.Conv2d``
    that could be quantized. After folding, each block is an ``nn.Sequential`` with the children
    ``conv`` (3x3) and, unless the block was linear, ``act``; the outputs are those of the network
    in evaluation mode, up to rounding. Other networks are left as they are.

    Args:
        network: changed in place. Its parameters may be on any device and of any float dtype.

    Returns:
        The same network (a new module only where the network itself is one ECB block).

    Source: X. Zhang et al., "Edge-oriented Convolution Block for Real-time Super Resolution on
    Mobile Devices", ACM MM 2021, section 3.3.
    """
    if is_unfolded(network):
        return _fold_block(network)
    folded: dict[nn.Module, nn.Module] = {}
    for name, block in list(network.named_modules(remove_duplicate=False)):
        if is_unfolded(block):
            if block not in folded:
                folded[block] = _fold_block(block)
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, folded[block])
    return network


def is_unfolded(module: nn.Module) -> bool:
    """Tell whether ``module`` is an ECB block of BasicSR, without importing BasicSR."""
    return any((c.__module__, c.__name__) == ("basicsr.archs.ecbsr_arch", "ECB") for c in type(module).__mro__)


@torch.no_grad()
def _fold_block(block: nn.Module) -> nn.Sequential:
    like = block.conv3x3.weight
    # BasicSR builds its helper tensors in float32, so the merging itself is done in float32, on the CPU.
    weight, bias = copy.deepcopy(block).to("cpu", torch.float32).rep_params()
    # Not initialized, so that torch's random state stays as it was.
    conv = skip_init(nn.Conv2d, block.in_channels, block.out_channels, 3, padding=1)
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)
    folded = nn.Sequential()
    folded.add_module("conv", conv.to(like.device, like.dtype))
    if block.act_type != "linear":
        folded.add_module("act", block.act)
    return folded.train(block.training)
