"""Which modules of a network stay in full precision although they multiply."""

from collections.abc import Collection

from torch import nn

from .descriptor import NetworkDescriptor


def unquantized(network: nn.Module, quantized: Collection[str]) -> dict[str, str]:
    """Return the dotted names of the modules that multiply by a weight of their own, with the names of their classes.

    Found are those whose parameter ``weight`` (of :class:`nn.MultiheadAttention`, ``in_proj_weight``) has two
    dimensions or more, such as transposed convolutions; norms and activations scale by a vector, embeddings look up.

    Args:
        quantized: names of modules that have a role; they are left out.
    """
    found = {}
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        weight = own.get("weight", own.get("in_proj_weight"))
        if weight is not None and weight.ndim >= 2 and name not in quantized and not isinstance(module, _LOOKED_UP):
            found[name] = type(module).__name__
    return found


def left_out(network: nn.Module, descriptor: NetworkDescriptor) -> dict[str, str]:
    """Return the convolutions and linear layers that a descriptor neither gives a role nor lists as unquantized, with their classes.

    :func:`adabm.networks.describe` leaves out none; a descriptor by hand may.
    """
    found = unquantized(network, (*descriptor.roles, *descriptor.unquantized))
    return {
        name: kind for name, kind in found.items() if isinstance(network.get_submodule(name), nn.Conv2d | nn.Linear)
    }


_LOOKED_UP = (nn.Embedding, nn.EmbeddingBag)
