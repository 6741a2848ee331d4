"""Save and load quantized models: safetensors with JSON metadata, complete in one file."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from . import __version__
from .errors import CheckpointError, ConfigError, NetworkError
from .files import open_regular_file, write_atomically
from .metadata import begins_as_exported, check_content, check_quantized, content_sha256
from .networks import NetworkDescriptor, build_network
from .networks.architecture import architecture_of
from .networks.community import SOURCE, rebuildable, recognize
from .networks.describe import describe, network_name, restore_descriptor
from .networks.limits import no_larger_than
from .networks.sameness import gives_kept_values, kept_values, same_output
from .networks.usable import check_network
from .quantization.layers import QuantizedLayer
from .quantization.model import IsModel, QuantizedSR
from .recipes import QuantizationConfig
from .recipes.earlier import configuration
from .serialization import file_metadata, safetensors_bytes
from .soundness import full_precision_output, quantizes_otherwise, unsound
from .validation import File, Whole, check_all

FORMAT = "adabm-quantized-3"
_SECOND = "adabm-quantized-2"  # its sha256 is that of the tensors alone
_FIRST = "adabm-quantized-1"  # settings under other names, no recipe


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
    quantizers = {f"{name}.{n}" for name, layer in layers for n in layer.state_dict() if "." in n}
    return {name: value for name, value in model.network.state_dict().items() if name not in quantizers}


def save_quantized(model: QuantizedSR, path: str | Path, *, preset: str | None = None, seed: int | None = None) -> None:
    """Write a calibrated model to ``path`` (.safetensors), atomically.

    The file holds the network's weights, all quantization parameters, and as JSON metadata the bits, the recipe with
    all settings, the descriptor, the network's hash, seed and package version, and a sha256 over all of it. Where the
    network cannot be built again by its name, or was changed after it was built, the file is loaded with the network; then,
    and where a user's file defines its class, it keeps some full-precision outputs, which loading compares.

    Args:
        preset: name of the recipe to be recorded instead of its own.

    Raises:
        CheckpointError: the model is not calibrated, or holds what no file could be loaded with: NaN, an empty range.
        ConfigError: an argument of another type.
    """
    check_all(model=(model, IsModel), path=(path, File), preset=(preset, str | None), seed=(seed, Whole | None))
    if not model.calibrated:
        raise CheckpointError("the model is not calibrated; there is no quantization state to save")
    own = _network_state(model)
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "preset": preset if preset is not None else model.config.recipe.title,
        "seed": None if seed is None else int(seed),
        "clipped": model.clipped,
        "config": model.config.to_dict(),
        "layer_bits": {name: [m.weight_bits, m.activation_bits] for name, m in model.layers.items()},
        "network": dict(
            model.descriptor.to_dict(),
            sha256=network_hash(own),
        ),
    }
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    fault = next(unsound(model, tensors), None)
    if fault is not None:
        raise CheckpointError(
            f"{path}: is not written, since {fault}; the settings were too extreme, such as a learning rate"
        )
    if model.descriptor.source:  # the network is recognized again by its own tensors
        left_out = rebuildable(model.network, own)
        metadata["network"] |= {"tensors": sorted(own.keys() - left_out.keys()), "left_out": left_out}
    output = full_precision_output(model)
    if _is_built_alone(metadata["network"]) and not _comes_back(path, model, metadata, tensors, output):
        warnings.warn(
            f"{path}: this {model.descriptor.name} was changed after it was built (such as mean, img_range, res_scale, a block or a "
            "hook), which no file holds; load it with the network: adabm.load_quantized(path, network)",
            stacklevel=2,
        )
        metadata["network"] |= {"options": {}, "source": "", "tensors": [], "left_out": {}}
    if not _is_built_alone(metadata["network"]) or _is_of_user(model.network):
        metadata["network"]["outputs"] = kept_values(output)
    left_out = metadata["network"].get("left_out", ())
    tensors = {name: value for name, value in tensors.items() if name.removeprefix("network.") not in left_out}
    metadata["sha256"] = content_sha256(tensors, metadata)
    header = json.dumps(metadata)
    check_quantized(path, json.loads(header), told="is not written, since a step left")  # as it will be read
    write_atomically(path, safetensors_bytes(tensors, {"adabm": header}))


def _is_built_alone(identity: Mapping) -> bool:
    """Whether a checkpoint's network is built from the file, so that it need not be given."""
    return identity.get("source") == SOURCE or bool(identity["options"])


def _is_of_user(network: nn.Module) -> bool:
    """Whether a file outside of this package defines the network, which may be edited after the model was saved."""
    known = architecture_of(network)
    return known is not None and known.file is not None


def _comes_back(
    path: str | Path, model: QuantizedSR, metadata: dict, tensors: Mapping[str, Tensor], output: Tensor | None
) -> bool:
    """Whether the network that will be built computes what the model's does in full precision.

    Raises:
        CheckpointError: it does, but the quantized model that will be loaded does not.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            again = _restored(path, json.loads(json.dumps(metadata)), tensors, None).to(model.device)
    except (CheckpointError, *_MISFITS):
        return False
    if not same_output(full_precision_output(again), output, model):
        return False
    again.calibrated, again.clipped = True, model.clipped
    if quantizes_otherwise(model, again):
        raise CheckpointError(
            f"{path}: is not written, since the model that would be loaded from it chooses other bits or gives another picture: a "
            "quantizer, a policy, a measure or a hook was set by hand, which no file holds; register what computes so "
            "(docs/extending.md) and name it in the recipe"
        )
    return True


def read_metadata(path: str | Path) -> dict:
    """Return the metadata of a quantized checkpoint, of a file of the present format as it was written.

    Raises:
        CheckpointError: missing, damaged, edited, or not a quantized checkpoint (such as full-precision weights).
    """
    metadata = _parsed(path)
    _check_digest(path, metadata, _tensors(path))
    return metadata


def _parsed(path: str | Path) -> dict:
    """The metadata, complete and each entry of its kind and in its range."""
    metadata = file_metadata(path)
    if "adabm" not in metadata:
        with open_regular_file(path) as file:
            if begins_as_exported(file.read(64)):
                raise CheckpointError(
                    f"{path}: is an exported model, or the beginning of one; name the engine that it was exported for, or export "
                    "it again"
                )
        raise CheckpointError(
            f"{path}: holds no quantization state; it looks like full-precision weights. "
            "Run `adabm quantize` on it first."
        )
    try:
        metadata = json.loads(metadata["adabm"])
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({error})") from None
    found = metadata.get("format") if isinstance(metadata, dict) else metadata
    if found not in (FORMAT, _SECOND, _FIRST):
        raise CheckpointError(f"{path}: format {found!r:.60} is not {FORMAT!r}; use the adabm version that wrote it")
    check_quantized(path, metadata, first=found == _FIRST)
    return metadata


def _tensors(path: str | Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: its tensors cannot be read ({error})") from None


def _check_digest(path: str | Path, metadata: dict, tensors: Mapping[str, Tensor]) -> None:
    """Files of earlier formats have a sha256 of the tensors alone, the first ones none at all."""
    if metadata["format"] == FORMAT:
        check_content(path, tensors, metadata)
    elif metadata.get("sha256") not in (None, network_hash(tensors)):
        raise CheckpointError(
            f"{path}: the quantization parameters do not match their recorded sha256; the file is damaged"
        )


def load_quantized(path: str | Path, network: nn.Module | None = None) -> QuantizedSR:
    """Load a quantized model, ready to use, without the calibration data.

    Args:
        network: the full-precision network, needed only where this package can build it neither by name nor from its tensors;
            its weights must be those that were quantized.

    Raises:
        CheckpointError: unreadable, not quantized, damaged, edited, or for another network.
    """
    if network is not None:
        check_network(network)
    metadata, tensors = _parsed(path), _tensors(path)
    try:
        model = _restored(path, metadata, tensors, network)
    except CheckpointError:
        raise
    except _MISFITS as error:
        told = " ".join(str(error).split())[:400]
        raise CheckpointError(f"{path}: does not fit {metadata['network']['name']}: {told}") from None
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise CheckpointError(f"{path}: holds NaN or infinite values")
    _check_digest(path, metadata, tensors)
    _check_stored(path, model, tensors)
    model.calibrated, model.clipped = True, metadata["clipped"]
    _check_computing(path, metadata, tensors, model, network is not None)
    return model


def _check_computing(
    path: str | Path, metadata: dict, tensors: Mapping[str, Tensor], model: QuantizedSR, given: bool
) -> None:
    """Compare what the network computes with what the file tells of it, where it was given or its class is a user's."""
    identity = metadata["network"]
    if kept := identity.get("outputs", ()):
        same = gives_kept_values(full_precision_output(model), kept, model)
    elif given and _is_built_alone(identity):
        alone = _restored(path, metadata, tensors, None).to(model.device)
        same = same_output(full_precision_output(alone), full_precision_output(model), model)
    else:
        same = True
    if not same:
        whose = "the network given has its weights, but" if given else "its class"
        raise CheckpointError(
            f"{path}: was made from another {identity['name']}: {whose} computes something else than when the file was written; "
            "build it as the quantized one was, with the same code, options and changes"
        )


# What foreign or edited entries raise where a model is made of them: a network's or a user's code may do anything.
_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def _restored(
    path: str | Path, metadata: dict, tensors: Mapping[str, Tensor], network: nn.Module | None
) -> QuantizedSR:
    identity = metadata["network"]
    descriptor = restore_descriptor(identity)
    given = network is not None
    if network is None:
        network = _built(path, identity, tensors)
        stored = (tensors.get(f"network.{name}") for name, _ in network.named_parameters())
        network = network.to(next((tensor.dtype for tensor in stored if tensor is not None), torch.float32))
    if network_name(network) != identity["name"]:
        raise CheckpointError(f"{path}: is for {identity['name']}, not for {network_name(network)}")
    model = QuantizedSR(network, _config(path, metadata), descriptor)
    _check_descriptor(path, metadata, model)
    _set_layer_bits(path, model, metadata)
    if given and network_hash(_network_state(model)) != identity["sha256"]:
        raise CheckpointError(
            f"{path}: was made from another {identity['name']}: the weights differ from the network given"
        )
    made = {f"network.{name}": model.network.get_buffer(name) for name in identity.get("left_out", ())}
    model.load_state_dict({**tensors, **made}, strict=True)
    for name, tensor in model.state_dict(keep_vars=True).items():  # of a model whose type was changed after quantizing
        if name in tensors and tensor.dtype != tensors[name].dtype:
            tensor.data = tensor.data.to(tensors[name].dtype)
    if network_hash(_network_state(model)) != identity["sha256"]:
        raise CheckpointError(f"{path}: the network's weights do not match their recorded sha256; the file is damaged")
    return model


def _check_stored(path: str | Path, model: QuantizedSR, tensors: Mapping[str, Tensor]) -> None:
    """Refuse quantization parameters that no step makes, whose pictures would be wrong or NaN without a word."""
    state = model.state_dict()
    for name, tensor in tensors.items():  # one parameter may have two names, and the last one would win
        if not torch.equal(state[name], tensor.to(state[name])):
            raise CheckpointError(f"{path}: {name} contradicts a tensor that is the same one; the file is damaged")
    fault = next(unsound(model, tensors), None)
    if fault is not None:
        raise CheckpointError(f"{path}: {fault}; the file is damaged")


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
        if metadata["format"] == _FIRST:
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
        and all(type(step).__module__.startswith(f"{__package__}.") for step in model.config.recipe.steps)
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
