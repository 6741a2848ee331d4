"""A tiny network of every kind that can be built by name, and what describing it must tell."""

import torch
from torch import nn

from adabm.networks import NetworkDescriptor, Role, build_network, fold_reparameterized

# name: (options, scale, first, last, convolutions with the role BODY, blocks)
TINY = {
    "EDSR": (dict(num_feat=8, num_block=2, upscale=4), 4, "conv_first", "conv_last", 4, ("body.0", "body.1")),
    "MSRResNet": (dict(num_feat=8, num_block=2, upscale=4), 4, "conv_first", "conv_last", 4, ("body.0", "body.1")),
    "RCAN": (
        dict(num_feat=8, num_group=2, num_block=2, squeeze_factor=4, upscale=3),
        3, "conv_first", "conv_last", 10, ("body.0", "body.1"),
    ),
    "RRDBNet": (
        dict(num_feat=8, num_block=1, num_grow_ch=4, scale=4),
        4, "conv_first", "conv_last", 15, ("body.0",),
    ),
    "SRVGGNetCompact": (
        dict(num_feat=8, num_conv=3, upscale=2), 2, "body.0", "body.8", 3, ("body.3", "body.5", "body.7"),
    ),
    "ECBSR": (
        dict(num_block=2, num_channel=8, with_idt=True, act_type="prelu", scale=2),
        2, "backbone.0.conv", "backbone.3.conv", 2, ("backbone.1", "backbone.2"),
    ),
    "SRResNet": (dict(num_feat=8, num_block=2, upscale=4), 4, "head.0", "tail.1", 4, ("body.0", "body.1")),
    "RDN": (
        dict(num_feat=8, num_block=2, num_layer=3, growth=4, upscale=2),
        2, "SFENet1", "UPNet.2", 8, ("RDBs.0", "RDBs.1"),
    ),
}  # fmt: skip


def tiny(name: str, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    return fold_reparameterized(build_network(name, **TINY[name][0] | changes)).eval()


def run(network: nn.Module, side: int = 8) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.linspace(0, 1, 3 * side * side).view(1, 3, side, side))


def with_role(descriptor: NetworkDescriptor, role: Role) -> list[str]:
    return [name for name, r in descriptor.roles.items() if r is role]
