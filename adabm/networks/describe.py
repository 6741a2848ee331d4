"""Describe a network to the quantizer: known ones from a table, others from one traced forward."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from torch import nn

from ..errors import NetworkError
from .descriptor import NetworkDescriptor, Role
from .folding import is_unfolded
from .infer import infer_blocks, infer_roles, infer_scale
from .registry import registered_name
from .scale import network_scale
from .trace import trace_network


@dataclass(frozen=True)
class _Layout:
    """Where a known network has what.

    Attributes:
        roles: (pattern of the full module name, role); the first match counts. The network's first
            and last convolution are FIRST and LAST without a pattern.
        blocks: pattern of the names of the blocks; of these, the modules that hold a BODY convolution.
        value_range: largest pixel value.
        block_feature_size_normalized: see NetworkDescriptor.
        size_multiples: what the sides of the input must be multiples of, by scale; elsewhere any side will do.
    """

    roles: tuple[tuple[str, Role], ...]
    blocks: str = r"body\.\d+"
    value_range: float = 1.0
    block_feature_size_normalized: bool = False
    size_multiples: Mapping[int, int] = field(default_factory=dict)

    def size_multiple(self, scale: int) -> int:
        return self.size_multiples.get(scale, 1)


_LAYOUTS = {
    "EDSR": _Layout(
        ((r"body\..+", Role.BODY), ("conv_after_body", Role.AFTER_BODY), (r"upsample\..+", Role.UPSAMPLER))
    ),
    "MSRResNet": _Layout(((r"body\..+", Role.BODY), ("upconv[12]|conv_hr", Role.UPSAMPLER))),
    "RCAN": _Layout(
        (
            (r"body\..+\.attention\..+", Role.SKIP),
            (r"body\..+", Role.BODY),
            ("conv_after_body", Role.AFTER_BODY),
            (r"upsample\..+", Role.UPSAMPLER),
        )
    ),
    "RRDBNet": _Layout(
        ((r"body\..+", Role.BODY), ("conv_body", Role.AFTER_BODY), ("conv_up[12]|conv_hr", Role.UPSAMPLER)),
        size_multiples={1: 4, 2: 2},  # there it unshuffles its input
    ),
    "SRVGGNetCompact": _Layout(((r"body\.\d+", Role.BODY),)),
    "ECBSR": _Layout(((r"backbone\.\d+\.conv", Role.BODY),), blocks=r"backbone\.\d+"),
    "SRResNet": _Layout(
        (
            (r"body\.\d+\.conv[12]", Role.BODY),
            (r"body\.\d+", Role.AFTER_BODY),
            (r"tail\.0\.\d+", Role.UPSAMPLER),
        ),
        value_range=255.0,
    ),
    "RDN": _Layout(
        (
            ("SFENet2", Role.FIRST),
            (r"RDBs\.\d+\.convs\..+", Role.BODY),
            (r"RDBs\.\d+\.LFF", Role.FUSION),
            (r"GFF\.\d+", Role.BODY),
            (r"UPNet\.\d+", Role.UPSAMPLER),
        ),
        blocks=r"RDBs\.\d+",
        value_range=255.0,
        block_feature_size_normalized=True,
    ),
}


def describe(network: nn.Module, *, scale: int | None = None, value_range: float | None = None) -> NetworkDescriptor:
    """Find the scale, the roles of the convolutions and the blocks of ``network``.

    The eight networks that :func:`build_network` knows have a fixed layout. Any other is run once
    on a small picture (see :func:`trace_network`); its roles and blocks are then a guess by the
    rules of :mod:`adabm.networks.infer`: check it with ``print(descriptor.summary())``.

    Args:
        network: full precision; a network of ECB blocks must be folded first.
        scale: upsampling factor, needed only where it cannot be found; elsewhere it must agree.
        value_range: largest pixel value of input and output, 1.0 or 255.0. The default is 255.0 for
            SRResNet and RDN, as in the papers' code, and 1.0 for all others.

    Raises:
        NetworkError: nothing to quantize, unfolded blocks, a contradicting scale, a forward that
            fails, or a scale that is not an integer.
    """
    name = type(network).__name__
    unfolded = next((n or name for n, module in network.named_modules() if is_unfolded(module)), None)
    if unfolded is not None:
        raise NetworkError(f"{name}: {unfolded} is not folded; call fold_reparameterized(network) first")
    known = registered_name(network)
    layout = _LAYOUTS[known] if known else _Layout(())
    if known:
        found: int | None = network_scale(network)
        roles = _layout_roles(network, known, layout)
        blocks = _layout_blocks(network, known, layout, roles)
        channels = network.get_submodule(next(iter(roles))).in_channels // layout.size_multiple(found) ** 2
    else:
        trace = trace_network(network)
        roles = infer_roles(network, trace)
        found = infer_scale(trace)
        blocks = infer_blocks(network, trace, roles)
        channels = trace.channels
        if found is None and scale is None:
            raise NetworkError(
                f"{name}: output side / input side is {trace.factors}, not an integer; pass scale=..., "
                "or a NetworkDescriptor by hand"
            )
    if scale is not None and found is not None and scale != found:
        raise NetworkError(f"{name}: scale {scale} was asked for, but the network enlarges by {found}")
    scale = found if found is not None else scale
    return NetworkDescriptor(
        name=name,
        scale=scale,
        value_range=layout.value_range if value_range is None else value_range,
        roles=roles,
        blocks=blocks,
        block_feature_size_normalized=layout.block_feature_size_normalized,
        options=dict(getattr(network, "adabm_options", {})),
        channels=channels,
        size_multiple=layout.size_multiple(scale),
    )


def restore_descriptor(stored: Mapping[str, object]) -> NetworkDescriptor:
    """Return the descriptor that :meth:`NetworkDescriptor.to_dict` gave; other entries are ignored.

    Old files lack channels and size multiple: the channels are then what the network was built with (3 if unknown),
    the size multiple is that of the known network of this name.
    """
    values = {field.name: stored[field.name] for field in fields(NetworkDescriptor) if field.name in stored}
    values["roles"] = {name: Role(role) for name, role in values["roles"].items()}
    values["blocks"] = tuple(values["blocks"])
    values.setdefault("channels", values["options"].get("num_in_ch", 3))
    layout = _LAYOUTS.get(values["name"], _Layout(()))
    values.setdefault("size_multiple", layout.size_multiple(values["scale"]))
    return NetworkDescriptor(**values)


def _layout_roles(network: nn.Module, known: str, layout: _Layout) -> dict[str, Role]:
    # In these networks the order of definition is the order of execution.
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    roles = {}
    for name in convolutions:
        role = next((role for pattern, role in layout.roles if re.fullmatch(pattern, name)), None)
        if name == convolutions[0]:
            role = Role.FIRST
        elif name == convolutions[-1]:
            role = Role.LAST
        if role is None:
            raise NetworkError(f"{known}: {name} is no convolution of {known}; pass a NetworkDescriptor by hand")
        roles[name] = role
    return roles


def _layout_blocks(network: nn.Module, known: str, layout: _Layout, roles: dict[str, Role]) -> tuple[str, ...]:
    body = [name for name, role in roles.items() if role is Role.BODY]
    if known == "SRVGGNetCompact":  # a plain chain: the activation that follows each convolution
        return tuple(f"body.{int(name.split('.')[1]) + 1}" for name in body)
    names = (name for name, _ in network.named_modules() if re.fullmatch(layout.blocks, name))
    return tuple(name for name in names if any(conv.startswith(f"{name}.") for conv in body))
