"""Save and load quantized models: safetensors with JSON metadata, complete in one file."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .. import __version__
from ..errors import CheckpointError
from ..networks.architecture import known_architectures
from ..networks.community import rebuildable
from ..networks.sameness import kept_values
from ..networks.usable import check_network
from ..quantization.model import IsModel, QuantizedSR
from ..support.files import open_regular_file, write_atomically
from ..support.metadata import begins_as_exported, check_content, check_quantized, content_sha256
from ..support.serialization import check_ending, file_metadata, safetensors_bytes
from ..support.surroundings import as_usual
from ..turns import turn
from ..validation import File, Whole, check_all
from .restoring import FIRST, FORMAT, MISFITS, SECOND, network_hash, network_state, restored
from .soundness import full_precision_output, left_out, unsound
from .telling_bits import LAYER_BITS, tell_bits
from .trying_out import check_computing, comes_back, is_built_alone, is_of_user


@as_usual
def save_quantized(model: QuantizedSR, path: str | Path, *, preset: str | None = None, seed: int | None = None) -> None:
    """Write a calibrated model to ``path`` (.safetensors), atomically.

    The file holds the network's weights, all quantization parameters, and as JSON metadata the bits, the recipe with
    all settings, the descriptor, the network's hash, seed and package version, and a sha256 over all of it. Where the
    network cannot be built again by its name, or was changed after it was built, the file is loaded with the network; then,
    and where a user's file defines its class, it keeps some full-precision outputs, which loading compares.

    Args:
        preset: name of the recipe to be recorded instead of its own.

    Raises:
        CheckpointError: the model is not calibrated, its recipe decides how weights are rounded and was not carried out, or it
            holds what no file could be loaded with: NaN, an empty range.
        ConfigError: an argument of another type, or a name that does not end in .safetensors.
    """
    check_all(model=(model, IsModel), path=(path, File), preset=(preset, str | None), seed=(seed, Whole | None))
    check_ending(path)
    if not model.calibrated:
        raise CheckpointError("the model is not calibrated; there is no quantization state to save")
    if (step := left_out(model)) is not None:
        raise CheckpointError(
            f"{path}: is not written, since the step {step!r} of its recipe was not carried out: adabm.calibrate carries out "
            "the steps that watch alone; adabm.quantize carries out all of them"
        )
    with turn(model):  # which is switched to full precision and back
        _save(model, Path(path), preset, seed)


def _save(model: QuantizedSR, path: Path, preset: str | None, seed: int | None) -> None:
    own = network_state(model)
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
    state = {name: value for name, value in model.state_dict().items() if name != LAYER_BITS}  # the metadata hold them
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    fault = next(unsound(model, tensors), None)
    if fault is not None:
        raise CheckpointError(
            f"{path}: is not written, since {fault}; the settings were too extreme, such as a learning rate"
        )
    if model.descriptor.source:  # the network is recognized again by its own tensors
        left_out = rebuildable(model.network, own)
        metadata["network"] |= {"tensors": sorted(own.keys() - left_out.keys()), "left_out": left_out}
    output = full_precision_output(model)
    if is_built_alone(metadata["network"]) and not comes_back(path, model, metadata, tensors, output):
        warnings.warn(
            f"{path}: this {model.descriptor.name} was changed after it was built (such as mean, img_range, res_scale, a block or a "
            "hook), which no file holds; load it with the network: adabm.load_quantized(path, network)",
            stacklevel=4,
        )
        metadata["network"] |= {"options": {}, "source": "", "tensors": [], "left_out": {}}
    if not is_built_alone(metadata["network"]) or is_of_user(model.network):
        metadata["network"]["outputs"] = kept_values(output)
    left_out = metadata["network"].get("left_out", ())
    tensors = {name: value for name, value in tensors.items() if name.removeprefix("network.") not in left_out}
    metadata["sha256"] = content_sha256(tensors, metadata)
    header = json.dumps(metadata)
    check_quantized(path, json.loads(header), told="is not written, since a step left")  # as it will be read
    write_atomically(path, safetensors_bytes(tensors, {"adabm": header}))


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
        try:
            with open_regular_file(path) as file:
                begin = file.read(64)
        except OSError as error:  # a folder, such as "" is
            raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}); name a file") from None
        if begins_as_exported(begin):
            raise CheckpointError(
                f"{path}: is an exported model, or the beginning of one; name the engine that it was exported for, or export "
                "it again"
            )
        raise CheckpointError(
            f"{path}: holds no quantization state; if it is of full-precision weights, run `adabm quantize` on it first"
        )
    try:
        metadata = json.loads(metadata["adabm"])
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({error})") from None
    found = metadata.get("format") if isinstance(metadata, dict) else metadata
    if found not in (FORMAT, SECOND, FIRST):
        raise CheckpointError(f"{path}: format {found!r:.60} is not {FORMAT!r}; use the adabm version that wrote it")
    check_quantized(path, metadata, first=found == FIRST)
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


@as_usual
def load_quantized(path: str | Path, network: nn.Module | None = None) -> QuantizedSR:
    """Load a quantized model, ready to use, without the calibration data.

    Args:
        network: the full-precision network, needed only where this package can build it neither by name nor from its tensors;
            its weights must be those that were quantized.

    Raises:
        CheckpointError: unreadable, not quantized, damaged, edited, or for another network.
        NetworkError: a file of ADABM_ARCHITECTURES cannot be imported.
    """
    if network is not None:
        check_network(network)
    metadata, tensors = _parsed(path), _tensors(path)
    known_architectures()  # whose files, which the environment names, tell of themselves what is wrong with them
    try:
        model = restored(path, metadata, tensors, network)
    except CheckpointError:
        raise
    except MISFITS as error:
        told = " ".join(str(error).split())[:400]
        raise CheckpointError(f"{path}: does not fit {metadata['network']['name']}: {told}") from None
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise CheckpointError(f"{path}: holds NaN or infinite values")
    _check_digest(path, metadata, tensors)
    _check_stored(path, model, tensors)
    model.calibrated, model.carried_out, model.clipped = True, True, metadata["clipped"]
    check_computing(path, metadata, tensors, model, network is not None)
    return tell_bits(model)


def _check_stored(path: str | Path, model: QuantizedSR, tensors: Mapping[str, Tensor]) -> None:
    """Refuse quantization parameters that no step makes, whose pictures would be wrong or NaN without a word."""
    state = model.state_dict()
    for name, tensor in tensors.items():  # one parameter may have two names, and the last one would win
        if not torch.equal(state[name], tensor.to(state[name])):
            raise CheckpointError(f"{path}: {name} contradicts a tensor that is the same one; the file is damaged")
    fault = next(unsound(model, tensors), None)
    if fault is not None:
        raise CheckpointError(f"{path}: {fault}; the file is damaged")
