"""Describe a network to the quantizer: known ones by their layout, others by one traced forward."""

from collections.abc import Mapping
from dataclasses import fields

from torch import nn

from ..errors import NetworkError
from ..pictures.padding import fitting_side
from ..validation import Count, Positive, check_all
from .architecture import architecture_of, known_architectures
from .community import SOURCE, Facts, facts_of
from .descriptor import NetworkDescriptor, Role
from .folding import is_unfolded
from .infer import infer_blocks, infer_roles, infer_scale
from .layout import Layout
from .scale import network_scale
from .sides import network_sides
from .trace import SIDE, trace_network
from .unquantized import unquantized
from .usable import check_network


def describe(network: nn.Module, *, scale: int | None = None, value_range: float | None = None) -> NetworkDescriptor:
    """Find the scale, the roles of what multiplies, and the blocks of ``network``.

    The architectures that are registered have a fixed layout. Any other network is run once
    on a small picture (see :func:`trace_network`); its roles and blocks are then a guess by the
    rules of :mod:`adabm.networks.infer`: check it with ``print(descriptor.summary())``.

    Args:
        network: full precision; a network of ECB blocks must be folded first.
        scale: upsampling factor, needed only where it cannot be found; elsewhere it must agree.
        value_range: largest pixel value of input and output, 1.0 or 255.0. The default is 255.0 for
            SRResNet and RDN, as in the papers' code, 1.0 for all others that do not register another.

    Raises:
        NetworkError: nothing to quantize, unfolded blocks, a contradicting scale, a forward that
            fails, or a scale that is not an integer; or no network, see :func:`adabm.networks.usable.check_network`.
        ConfigError: a scale or value range of another type.
    """
    check_network(network)
    check_all(scale=(scale, Count | None), value_range=(value_range, Positive | None))
    name = network_name(network)
    facts = facts_of(network)
    unfolded = next((n or name for n, module in network.named_modules() if is_unfolded(module)), None)
    if unfolded is not None:
        raise NetworkError(f"{name}: {unfolded} is not folded; call fold_reparameterized(network) first")
    known = architecture_of(network)
    layout = known.layout if known is not None else None
    if layout is not None:
        found: int | None = network_scale(network)
        roles = layout.find_roles(network)
        blocks = layout.find_blocks(network, roles)
        channels = network.get_submodule(next(iter(roles))).in_channels // layout.size_multiple(found) ** 2
    else:
        layout = Layout(())
        trace = trace_network(network) if facts is None else trace_network(network, (facts.channels,), _side(facts))
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
    sides = network_sides(network)
    return NetworkDescriptor(
        name=name,
        scale=scale,
        value_range=layout.value_range if value_range is None else value_range,
        roles=roles,
        blocks=blocks,
        block_feature_size_normalized=layout.block_feature_size_normalized,
        options=dict(getattr(network, "adabm_options", {})),
        channels=channels,
        unquantized=unquantized(network, roles),
        size_multiple=sides.multiple,
        minimum_size=sides.minimum,
        **({} if facts is None else _told_by(facts)),
    )


def network_name(network: nn.Module) -> str:
    """Return the name of a network's architecture: of its class, or what spandrel calls it."""
    facts = facts_of(network)
    return type(network).__name__ if facts is None else facts.name


def _side(facts: Facts) -> int:
    """The side of a picture to trace with, which the network takes."""
    return fitting_side(SIDE, facts.size_multiple, facts.minimum_size)


def _told_by(facts: Facts) -> dict[str, object]:
    other = facts.output_channels != facts.channels
    return {
        "source": SOURCE,
        "output_channels": facts.output_channels if other else None,
    }


def restore_descriptor(stored: Mapping[str, object]) -> NetworkDescriptor:
    """Return the descriptor that :meth:`NetworkDescriptor.to_dict` gave; other entries are ignored.

    Old files lack channels and size multiple: the channels are then what the network was built with (3 if unknown),
    the size multiple is that of the known network of this name.
    """
    values = {field.name: stored[field.name] for field in fields(NetworkDescriptor) if field.name in stored}
    values["roles"] = {name: Role(role) for name, role in values["roles"].items()}
    values["blocks"] = tuple(values["blocks"])
    values.setdefault("channels", values["options"].get("num_in_ch", 3))
    known = known_architectures().get(values["name"])
    layout = known.layout if known is not None and known.layout is not None else Layout(())
    values.setdefault("size_multiple", layout.size_multiple(values["scale"]))
    return NetworkDescriptor(**values)
