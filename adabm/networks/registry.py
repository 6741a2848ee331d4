"""Build networks by name, and load them from weight files that describe themselves."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..errors import CheckpointError, NetworkError
from ..files import write_atomically
from ..serialization import safetensors_bytes
from .architecture import FILES, architecture_of, known_architectures
from .folding import fold_reparameterized

# Some BasicSR networks demand these two; all of ours and the other BasicSR ones have these defaults.
_DEFAULTS = {"num_in_ch": 3, "num_out_ch": 3}


def known_networks() -> tuple[str, ...]:
    """Return the names that :func:`build_network` takes, in alphabetical order."""
    return tuple(known_architectures())


def build_network(name: str, /, **options: object) -> nn.Module:
    """Build a network with random weights, in training mode.

    Args:
        name: of an architecture, see :func:`known_networks`.
        options: arguments of the network's constructor; ``num_in_ch`` and ``num_out_ch`` are 3
            unless given, others have the constructor's default, if any.

    Returns:
        The network. Its attribute ``adabm_options`` holds all options, defaults included and
        tuples as lists (as JSON returns them), so that a checkpoint can rebuild it.

    Raises:
        NetworkError: unknown name, unknown or missing option, or a value the network refuses.

    >>> network = build_network("EDSR", num_feat=16, num_block=4, upscale=2)
    """
    cls = _network_class(name)
    parameters = inspect.signature(cls).parameters
    for option in options:
        if option not in parameters:
            raise NetworkError(f"{name} has no option {option!r}; its options are {', '.join(parameters)}")
    complete = {p.name: _DEFAULTS.get(p.name, p.default) for p in parameters.values()} | options
    missing = [option for option, value in complete.items() if value is inspect.Parameter.empty]
    if missing:
        raise NetworkError(f"{name} needs a value for {', '.join(missing)}")
    try:
        network = cls(**complete)
    except NetworkError:
        raise
    except Exception as error:  # whatever foreign code does on a bad value, e.g. an AttributeError
        raise NetworkError(f"{name} cannot be built with {complete}: {type(error).__name__}: {error}") from error
    network.adabm_options = {k: list(v) if isinstance(v, tuple) else v for k, v in complete.items()}
    return network


def load_network(path: str | Path) -> nn.Module:
    """Rebuild a network from a safetensors file with the metadata ``network`` and ``options``.

    ``network`` is a name that :func:`build_network` knows, ``options`` its options as a JSON object. Code that a
    file names is never run by loading it: a user's own architecture has to be imported, see
    :func:`adabm.networks.known_architectures`.
    Every weight must be there, with the right shape, and nothing else; the weights of a folded
    ECBSR give a folded network.

    Returns:
        The network on the CPU, in evaluation mode; torch's random state is left as it was.

    Raises:
        CheckpointError: the file is missing, damaged, without the metadata, or its weights do not fit.
    """
    path = Path(path)
    name, options, tensors, defined_in = _read(path)
    try:
        with torch.random.fork_rng(devices=[]):
            network = build_network(name, **options)
    except NetworkError as error:
        remedy = ""
        if defined_in and name not in known_networks():
            remedy = (
                f"; {defined_in} defines it: name that file in the environment variable {FILES}, or import it first"
            )
        raise CheckpointError(f"{path}: {error}{remedy}") from error
    if tensors.keys() != network.state_dict().keys():
        network = fold_reparameterized(network)
    load_weights(network, tensors, f"{path}: the weights do not fit {name} with options {options}", path)
    return network.eval()


def load_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor], misfit: str, path: Path) -> None:
    """Load ``tensors``, read from ``path``, into ``network``: all of them, each of the right shape and finite.

    Raises:
        CheckpointError: otherwise; where names or shapes are wrong it begins with ``misfit``.
    """
    misfits = _misfits(network.state_dict(), tensors)
    if misfits:
        shown = "; ".join(misfits[:4]) + (f"; and {len(misfits) - 4} more" if len(misfits) > 4 else "")
        raise CheckpointError(f"{misfit}: {shown}")
    spoilt = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoilt:
        raise CheckpointError(f"{path}: {spoilt[0]} holds NaN or infinite values; get or export it again")
    network.load_state_dict(tensors, strict=True)


def save_network(network: nn.Module, path: str | Path) -> None:
    """Write full-precision weights as safetensors with the metadata that :func:`load_network` needs.

    Args:
        network: built by :func:`build_network` (or loaded by :func:`load_network`), its weights loaded.

    Raises:
        NetworkError: a network that cannot be rebuilt by name.
    """
    known, options = architecture_of(network), getattr(network, "adabm_options", None)
    if known is None or options is None:
        raise NetworkError(f"{type(network).__name__} was not built by build_network, so a file could not rebuild it")
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in network.state_dict().items()}
    metadata = {"network": known.name, "options": json.dumps(options)}
    if known.file is not None:
        metadata["defined_in"] = known.file.name
    write_atomically(path, safetensors_bytes(tensors, metadata))


def registered_name(network: nn.Module) -> str | None:
    """Return the name under which exactly this class can be built, or None."""
    known = architecture_of(network)
    return known.name if known is not None else None


def _network_class(name: str) -> type[nn.Module]:
    known = known_architectures()
    if name not in known:
        raise NetworkError(f"unknown network {name!r}; known are {', '.join(known)}")
    return known[name].network_class


def _read(path: Path) -> tuple[str, dict[str, object], dict[str, torch.Tensor], str]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged or not a safetensors file ({error}); weights in another format, such as a PyTorch .pth "
            "file, are converted by `adabm import`, or by save_network for a network built with build_network"
        ) from None
    absent = [key for key in ("network", "options") if key not in metadata]
    if absent:
        raise CheckpointError(
            f"{path}: its metadata lacks {' and '.join(absent)}; run `adabm import` on it, or build the network "
            "with build_network, load the weights with load_state_dict, and export it with save_network"
        )
    try:
        options = json.loads(metadata["options"])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its metadata 'options' is not JSON ({error})") from None
    if not isinstance(options, dict):
        raise CheckpointError(f"{path}: its metadata 'options' is {metadata['options']}, not a JSON object")
    return metadata["network"], options, tensors, metadata.get("defined_in", "")


def _misfits(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    misfits = [f"{key} is missing" for key in expected if key not in found]
    misfits += [f"{key} is not part of the network" for key in found if key not in expected]
    misfits += [
        f"{key} has shape {tuple(found[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    return misfits
