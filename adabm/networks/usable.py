"""Refuse what is no network whose weights can be computed with, before anything is done with it."""

import copy
from collections.abc import Iterator, Mapping
from types import CellType, FunctionType

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin
from torch.nn.utils import parametrize

from ..errors import NetworkError
from .descriptor import NetworkDescriptor

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)  # what is quantized in its place
_OF_TORCH = frozenset(vars(nn.Module()))  # where torch keeps parameters, buffers, modules, hooks


def check_network(network: object) -> None:
    """Refuse what is no module, one with weights that are not there, complex, sparse or whole numbers, and one with layers
    that compute more than their class says: hooks and a ``forward`` of their own would be lost; and functions in it that a
    copy would share with it.

    Raises:
        NetworkError: naming the weight and the remedy.
    """
    if not isinstance(network, nn.Module):
        what = f"the class {network.__name__}" if isinstance(network, type) else f"a {type(network).__name__}"
        raise NetworkError(
            f"the network is {what}; give a torch.nn.Module, such as adabm.load_network(FILE) or adabm.build_network(NAME)"
        )
    name_of_all = type(network).__name__
    if isinstance(getattr(network, "descriptor", None), NetworkDescriptor):  # a QuantizedSR, which stands floors above
        raise NetworkError(f"{name_of_all} is quantized already; its .descriptor describes it. Give the network itself")
    for name, module in network.named_modules():
        if (kind := _compiled(module)) is not None:
            raise NetworkError(
                f"{name_of_all}: {name} is {kind}, whose layers cannot be replaced; put in the module that it was made from"
                if name
                else f"{name_of_all} is {kind}, whose layers cannot be replaced; give the module that it was made from"
            )
    parameters = list(network.named_parameters())
    for name, value in [*parameters, *network.named_buffers()]:
        if (fault := _fault(value)) is not None:
            raise NetworkError(f"{name_of_all}: {name} {fault}")
    for name, value in parameters:
        if not value.is_floating_point():
            raise NetworkError(
                f"{name_of_all}: {name} is of type {str(value.dtype).removeprefix('torch.')}, not floating point; "
                "give the network that it was quantized from"
            )
    if (place := _tied(network)) is not None:
        raise NetworkError(
            f"{name_of_all}: {place} is a function that holds a part of this very network, and would go on computing with it where "
            "the network was copied and quantized; make it a method of the class, or take what it needs from its argument"
        )
    if (place := _listed(network)) is not None:
        raise NetworkError(
            f"{name_of_all}: {place} holds layers of the network in a plain container, where quantized ones could not take their "
            "place; use nn.ModuleList or nn.ModuleDict"
        )
    if _copies_itself(network):
        raise NetworkError(
            f"{name_of_all}: copy.deepcopy gives layers of the network itself, which quantizing a copy would change; let its __deepcopy__ "
            "copy them, or leave that method out"
        )
    for name, module in network.named_modules():
        if isinstance(module, _LAYERS) and (added := _added(module)) is not None:
            raise NetworkError(
                f"{name_of_all}: {name} has {added}, which quantization would lose; remove it (of weight_norm, spectral_norm and "
                "prune with the function of torch that removes them), or put it around the layer"
            )
        # not a weight that is computed, which may count how often it was asked for (spectral_norm)
        weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
        if isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.dtype != bias.dtype:
            raise NetworkError(
                f"{name_of_all}: weight and bias of {name} are {weight.dtype} and {bias.dtype}; give them one type, such as "
                "with network.float()"
            )


@torch.no_grad()  # of weights made in inference mode torch keeps no graph
def check_finite_weights(network: nn.Module) -> None:
    """Refuse weights that are NaN or infinite, and buffers that are NaN, behind which no picture comes out.

    Raises:
        NetworkError: naming the first.
    """
    for name, value in network.named_parameters():
        if not value.isfinite().all():
            raise NetworkError(f"{type(network).__name__}: {name} holds NaN or infinite values")
    for name, value in network.named_buffers():  # infinite ones may be masks
        if value.isnan().any():
            raise NetworkError(f"{type(network).__name__}: {name} holds NaN")


def _compiled(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "a TorchScript module"
    # by its name, since importing torch._dynamo takes seconds
    return "a compiled module (torch.compile)" if type(module).__name__ == "OptimizedModule" else None


def _added(layer: nn.Module) -> str | None:
    """What was added to one layer, whose place another one takes."""
    if layer._forward_pre_hooks or layer._forward_hooks:
        return "a hook"
    if "forward" in vars(layer):
        return "a forward of its own"
    if getattr(type(layer), "forward", None) not in (nn.Conv2d.forward, nn.Linear.forward):
        return None  # nothing takes the place of such a layer
    if "_conv_forward" in vars(layer) or getattr(type(layer), "_conv_forward", None) not in (
        None,
        nn.Conv2d._conv_forward,
    ):
        return "a _conv_forward of its own"
    if type(layer).__call__ is not nn.Module.__call__:
        return "a __call__ of its own"
    if "weight" not in layer._parameters and not parametrize.is_parametrized(layer):
        return "a weight that is computed"
    return None


def _copies_itself(network: nn.Module) -> bool:
    """Whether a copy by code of the network's own shares modules with it; one that cannot be made is told where it is needed."""
    if not any(hasattr(type(module), "__deepcopy__") for module in network.modules()):
        return False
    try:
        copied = copy.deepcopy(network)
    except Exception:  # whatever foreign code raises
        return False
    return not isinstance(copied, nn.Module) or not set(network.modules()).isdisjoint(copied.modules())


def _tied(network: nn.Module) -> str | None:
    """Where a function was put into a network that knows a part of it by another way than its arguments.

    ``copy.deepcopy`` copies methods with the module that they belong to, but leaves functions as they are.
    """
    parts = set(network.modules())
    for name, module in network.named_modules():
        place = f" of {name}" if name else ""
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
        functions = [(f"a hook{place}", hook) for hook in hooks]
        functions += [(f"the {said}{place}", held) for said, value in _own(module) for held in _held(value)]
        for told, function in functions:
            if isinstance(function, FunctionType) and not parts.isdisjoint(_known_modules(function)):
                return told
    return None


def _listed(network: nn.Module) -> str | None:
    """Where layers of the network are held beside its own places for modules."""
    layers = {module for module in network.modules() if isinstance(module, _LAYERS)}
    for name, module in network.named_modules():
        for said, value in _own(module):
            if any(isinstance(held, nn.Module) and held in layers for held in _held(value)):
                return f"{name}.{said}" if name else said
    return None


def _own(module: nn.Module) -> Iterator[tuple[str, object]]:
    """What was set on a module beside parameters, buffers, modules and hooks."""
    return ((name, value) for name, value in vars(module).items() if name not in _OF_TORCH)


def _held(value: object, deep: int = 3) -> Iterator[object]:
    """The value, or what is in it if it is a container."""
    if not isinstance(value, (list, tuple, set, frozenset, Mapping)):
        yield value
    elif deep:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _held(item, deep - 1)


def _known_modules(function: FunctionType) -> Iterator[nn.Module]:
    cells = (
        cell.cell_contents for cell in function.__closure__ or () if cell != CellType()
    )  # but those without content
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    read = (function.__globals__.get(name) for name in function.__code__.co_names)
    return (value for value in (*cells, *defaults, *read) if isinstance(value, nn.Module))


def _fault(value: Tensor) -> str | None:
    if isinstance(value, UninitializedTensorMixin):
        return "has no shape yet; run the network once on a picture"
    if value.is_meta:
        return (
            "has no values (device meta); load the weights onto a device first, such as network.to_empty(device='cpu')"
        )
    if value.is_complex():
        return "is complex; networks of real numbers alone can be quantized"
    if value.layout != torch.strided:
        return f"is {str(value.layout).removeprefix('torch.')}; make it dense first, such as with to_dense()"
    return None
