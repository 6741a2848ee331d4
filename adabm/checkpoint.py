"""Save and load quantized models: safetensors with JSON metadata, complete in one file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from . import __version__
from .errors import CheckpointError, ConfigError, NetworkError
from .files import write_atomically
from .networks import build_network
from .networks.community import SOURCE, rebuildable, recognize
from .networks.describe import network_name, restore_descriptor
from .quantization.layers import QuantizedLayer
from .quantization.model import QuantizedSR
from .recipes import QuantizationConfig
from .recipes.earlier import configuration
from .serialization import file_metadata, safetensors_bytes

FORMAT = "adabm-quantized-2"
_EARLIER = "adabm-quantized-1"  # settings under other names, no recipe


def network_hash(state: dict[str, Tensor]) -> str:
    """sha256 over the names, shapes and float32 values of a network's tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _network_state(model: QuantizedSR) -> dict[str, Tensor]:
    """Tensors of the network itself, under the names they had before wrapping."""
    layers = [(n, m) for n, m in model.network.named_modules(remove_duplicate=False) if isinstance(m, QuantizedLayer)]
    quantizers = {f"{name}.{n}" for name, layer in layers for n, _ in layer.named_parameters() if "." in n}
    return {name: value for name, value in model.network.state_dict().items() if name not in quantizers}


def save_quantized(model: QuantizedSR, path: str | Path, *, preset: str | None = None, seed: int | None = None) -> None:
    """Write a calibrated model to ``path`` (.safetensors), atomically.

    The file holds the network's weights, all quantization parameters, and as JSON metadata the bits, the recipe with
    all settings, the descriptor, the network's hash, seed and package version.

    Args:
        preset: name of the recipe to be recorded instead of its own.
    """
    if not model.calibrated:
        raise CheckpointError("the model is not calibrated; there is no quantization state to save")
    own = _network_state(model)
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "preset": preset if preset is not None else model.config.recipe.title,
        "seed": seed,
        "clipped": model.clipped,
        "config": model.config.to_dict(),
        "layer_bits": {name: [m.weight_bits, m.activation_bits] for name, m in model.layers.items()},
        "network": dict(
            model.descriptor.to_dict(),
            sha256=network_hash(own),
        ),
    }
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    if model.descriptor.source:  # the network is recognized again by its own tensors
        left_out = rebuildable(model.network, own)
        metadata["network"] |= {"tensors": sorted(own.keys() - left_out.keys()), "left_out": left_out}
        tensors = {name: value for name, value in tensors.items() if name.removeprefix("network.") not in left_out}
    metadata["sha256"] = network_hash(tensors)
    write_atomically(path, safetensors_bytes(tensors, {"adabm": json.dumps(metadata)}))


def read_metadata(path: str | Path) -> dict:
    """Return the metadata of a quantized checkpoint.

    Raises:
        CheckpointError: missing, damaged, or not a quantized checkpoint (such as full-precision weights).
    """
    metadata = file_metadata(path)
    if "adabm" not in metadata:
        raise CheckpointError(
            f"{path}: holds no quantization state; it looks like full-precision weights. "
            "Run `adabm quantize` on it first."
        )
    try:
        metadata = json.loads(metadata["adabm"])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({error})") from None
    found = metadata.get("format") if isinstance(metadata, dict) else metadata
    if found not in (FORMAT, _EARLIER):
        raise CheckpointError(f"{path}: format {found!r} is not {FORMAT!r}; use the adabm version that wrote it")
    return metadata


def load_quantized(path: str | Path, network: nn.Module | None = None) -> QuantizedSR:
    """Load a quantized model, ready to use, without the calibration data.

    Args:
        network: the full-precision network, needed only where this package can build it neither by name nor from its tensors;
            its weights must be those that were quantized.

    Raises:
        CheckpointError: unreadable, not quantized, damaged, or for another network.
    """
    metadata = read_metadata(path)
    identity = metadata["network"]
    descriptor = restore_descriptor(identity)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    given = network is not None
    if network is None:
        network = _built(path, identity, tensors)
        stored = (tensors.get(f"network.{name}") for name, _ in network.named_parameters())
        network = network.to(next((tensor.dtype for tensor in stored if tensor is not None), torch.float32))
    if network_name(network) != identity["name"]:
        raise CheckpointError(f"{path}: is for {identity['name']}, not for {network_name(network)}")
    try:
        model = QuantizedSR(network, _config(path, metadata), descriptor)
        _set_layer_bits(path, model, metadata.get("layer_bits", {}))
        if given and network_hash(_network_state(model)) != identity["sha256"]:
            raise CheckpointError(
                f"{path}: was made from another {identity['name']}: the weights differ from the network given"
            )
        made = {f"network.{name}": model.network.get_buffer(name) for name in identity.get("left_out", ())}
        model.load_state_dict({**tensors, **made}, strict=True)
    except (RuntimeError, NetworkError) as error:
        raise CheckpointError(
            f"{path}: does not fit {identity['name']}: {' '.join(str(error).split())[:400]}"
        ) from None
    if network_hash(_network_state(model)) != identity["sha256"]:
        raise CheckpointError(f"{path}: the network's weights do not match their recorded sha256; the file is damaged")
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise CheckpointError(f"{path}: holds NaN or infinite values")
    if metadata.get("sha256", network_hash(tensors)) != network_hash(tensors):  # the first files lack it
        raise CheckpointError(
            f"{path}: the quantization parameters do not match their recorded sha256; the file is damaged"
        )
    model.calibrated, model.clipped = True, metadata["clipped"]
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
                f"{identity['name']} cannot be built by name; pass the network: load_quantized(path, network)"
            )
        with torch.random.fork_rng(devices=[]):  # the random weights that are about to be overwritten
            return build_network(identity["name"], **_tuples(identity["options"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: lacks {error}; the file is damaged") from None
    except (CheckpointError, NetworkError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _config(path: str | Path, metadata: dict) -> QuantizationConfig:
    try:
        if metadata["format"] == _EARLIER:
            return configuration(metadata["config"], metadata["preset"])
        return QuantizationConfig.from_dict(metadata["config"])
    except ConfigError as error:
        raise CheckpointError(
            f"{path}: {error}; if a file of yours defines it, load it first: adabm.load_file(FILE), or --import FILE"
        ) from None


def _set_layer_bits(path: str | Path, model: QuantizedSR, bits: Mapping[str, list[int]]) -> None:
    """Give each layer the bits that it had; the first files do not hold them, since all layers had those of the setting."""
    layers = model.layers
    for name, own in bits.items():
        kinds = [type(layers[name].weight_bits), int] if name in layers else []
        if not isinstance(own, list) or [type(bits) for bits in own] != kinds:
            raise CheckpointError(
                f"{path}: layer_bits of {name!r} = {own!r}: no layer of the network, or no two bit-widths"
            )
        layers[name].weight_bits, layers[name].activation_bits = own


def _tuples(options: dict) -> dict:
    """JSON has no tuples; network constructors take them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
