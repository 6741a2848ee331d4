"""Make a quantized model again of what a checkpoint holds."""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError, NetworkError
from ..networks import NetworkDescriptor, build_network
from ..networks.architecture import architecture_of
from ..networks.community import SOURCE, recognize
from ..networks.describe import describe, network_name, restore_descriptor
from ..networks.folding import fold_reparameterized, is_unfolded
from ..networks.limits import no_larger_than
from ..networks.unquantized import left_out
from ..own_functions import is_own
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..recipes import QuantizationConfig
from ..recipes.earlier import configuration

FORMAT = "adabm-quantized-3"
SECOND = "adabm-quantized-2"  # its sha256 is that of the tensors alone
FIRST = "adabm-quantized-1"  # settings under other names, no recipe
# What foreign or edited entries raise where a model is made of them: a network's or a user's code may do anything.
MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def network_hash(state: dict[str, Tensor]) -> str:
    """sha256 over the names, shapes and float32 values of a network's tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def network_state(model: QuantizedSR) -> dict[str, Tensor]:
    """Tensors of the network itself, under the names they had before wrapping."""
    layers = [(n, m) for n, m in model.network.named_modules(remove_duplicate=False) if isinstance(m, QuantizedLayer)]
    quantizers = {f"{name}.{n}" for name, layer in layers for n in layer.state_dict() if "." in n}
    return {name: value for name, value in model.network.state_dict().items() if name not in quantizers}


def restored(path: str | Path, metadata: dict, tensors: Mapping[str, Tensor], network: nn.Module | None) -> QuantizedSR:
    """Build the network unless it is given, wrap it as the metadata say, and put the tensors into it; not yet calibrated.

    Raises:
        CheckpointError: metadata or tensors are not those of the network.
        MISFITS: they are so odd that its code fails.
    """
    identity = metadata["network"]
    descriptor = restore_descriptor(identity)
    given = network is not None
    if network is None:
        network = _built(path, identity, tensors)
        stored = (tensors.get(f"network.{name}") for name, _ in network.named_parameters())
        network = network.to(next((tensor.dtype for tensor in stored if tensor is not None), torch.float32))
    if network_name(network) != identity["name"]:
        raise CheckpointError(f"{path}: is for {identity['name']}, not for {network_name(network)}")
    model = QuantizedSR(network, _config(path, metadata), _complete(network, descriptor))
    _check_descriptor(path, metadata, model)
    _set_layer_bits(path, model, metadata)
    if given and network_hash(network_state(model)) != identity["sha256"]:
        raise CheckpointError(
            f"{path}: was made from another {identity['name']}: the weights differ from the network given"
        )
    made = {f"network.{name}": model.network.get_buffer(name) for name in identity.get("left_out", ())}
    model.load_state_dict({**tensors, **made}, strict=True)
    for name, tensor in model.state_dict(keep_vars=True).items():  # of a model whose type was changed after quantizing
        if name in tensors and tensor.dtype != tensors[name].dtype:
            tensor.data = tensor.data.to(tensors[name].dtype)
    if network_hash(network_state(model)) != identity["sha256"]:
        raise CheckpointError(f"{path}: the network's weights do not match their recorded sha256; the file is damaged")
    return model


def _built(path: str | Path, identity: Mapping, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build the full-precision network of a checkpoint: by its name, or from what of its tensors is the network's own."""
    try:
        if identity.get("source") == SOURCE:
            own = {name: tensors[f"network.{name}"] for name in identity["tensors"]}
            network = recognize(own, identity["left_out"])
            if network is None:
                raise CheckpointError(f"its tensors are not those of {identity['name']}; the file is damaged")
            return network
        if not identity["options"]:
            raise CheckpointError(
                f"{identity['name']} cannot be built by name, or was changed after it was built; pass the network: "
                "load_quantized(path, network)"
            )
        # the random weights are about to be overwritten
        with torch.random.fork_rng(devices=[]), no_larger_than(tensors):
            return build_network(identity["name"], **_tuples(identity["options"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: lacks {error}; the file is damaged") from None
    except (CheckpointError, NetworkError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _complete(network: nn.Module, descriptor: NetworkDescriptor) -> NetworkDescriptor:
    """List the layers as unquantized that a descriptor passes by, as earlier versions let it; they are not quantized in the file."""
    if any(map(is_unfolded, network.modules())):
        network = fold_reparameterized(copy.deepcopy(network))
    others = left_out(network, descriptor)
    return dataclasses.replace(descriptor, unquantized={**descriptor.unquantized, **others}) if others else descriptor


def _check_descriptor(path: str | Path, metadata: dict, model: QuantizedSR) -> None:
    """Refuse a descriptor that contradicts the network, in a file whose metadata no digest protects.

    A file of the present format may hold a descriptor of the user's own.
    """
    if metadata["format"] == FORMAT or architecture_of(model.network) is None:
        return
    expected: NetworkDescriptor = describe(model.network)
    for name in ("scale", "value_range", "channels", "size_multiple"):
        found, own = getattr(model.descriptor, name), getattr(expected, name)
        if found != own:
            raise CheckpointError(
                f"{path}: {name} {found} is not {own}, that of the network {expected.name}; the file is damaged"
            )


def _config(path: str | Path, metadata: dict) -> QuantizationConfig:
    try:
        if metadata["format"] == FIRST:
            return configuration(metadata["config"], metadata["preset"])
        return QuantizationConfig.from_dict(metadata["config"])
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(
            f"{path}: {error}; if a file of yours defines it, load it first: adabm.load_file(FILE), or --import FILE"
        ) from None


def _set_layer_bits(path: str | Path, model: QuantizedSR, metadata: dict) -> None:
    """Give each layer the bits that it had; the first files do not hold them, since all layers had those of the setting."""
    bits, layers = metadata.get("layer_bits", {}), model.layers
    # steps of this package left all layers at the bits of the setting when no digest protected them
    fixed = (
        metadata["format"] != FORMAT
        and not model.config.recipe.files
        and not any(is_own(type(step)) for step in model.config.recipe.steps)
    )
    if (bits or metadata["format"] == FORMAT) and bits.keys() != layers.keys():
        raise CheckpointError(
            f"{path}: layer_bits are not those of the network's quantized layers; the file is damaged"
        )
    for name, own in bits.items():
        layer = layers[name]
        if [type(number) for number in own] != [type(layer.weight_bits), int]:
            raise CheckpointError(f"{path}: layer_bits of {name!r} = {own} are no bits of such a layer")
        if fixed and own != [layer.weight_bits, layer.activation_bits]:
            raise CheckpointError(
                f"{path}: layer_bits of {name!r} = {own} are not those of its settings; the file is damaged"
            )
        layer.weight_bits, layer.activation_bits = own


def _tuples(options: dict) -> dict:
    """JSON has no tuples; network constructors take them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
