"""Load networks from weight files of any origin."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..errors import CheckpointError, NetworkError
from ..support.metadata import check_weights, parse_options
from ..support.serialization import file_metadata
from .architecture import FILES
from .backbones import weight_file
from .community import SOURCE, recognize
from .folding import fold_reparameterized
from .importing import import_weights
from .limits import no_larger_than
from .registry import build_network, known_networks, load_weights


def load_network(path: str | Path) -> nn.Module:
    """Build a network from a file of its full-precision weights, or by the name of one that ships, such as ``dat_light_x4``.

    A safetensors file with the metadata ``network`` and ``options``, which :func:`adabm.save_network` and ``adabm import``
    write, tells which network it is: ``network`` is a name that :func:`build_network` knows, ``options`` its options as a
    JSON object. Code that a file names is never run by loading it: a user's own architecture has to be imported, see
    :func:`adabm.networks.known_architectures`. Of any other file the names and shapes of the tensors tell it, see
    :func:`adabm.import_weights`.
    Every weight must be there, with the right shape, and nothing else; the weights of a folded
    ECBSR give a folded network.

    Returns:
        The network on the CPU in float32, in evaluation mode; torch's random state is left as it was.

    Raises:
        CheckpointError: the file is missing or damaged, its network is unknown, or its weights do not fit.
    """
    path = weight_file(path)
    metadata = file_metadata(path)
    if "adabm" in metadata:
        raise CheckpointError(f"{path}: is quantized already; give the full-precision weights it was made from")
    if not metadata.keys() & {"network", "format"}:
        return import_weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from None
    check_weights(path, tensors, metadata)
    return _described(path, metadata, tensors) if "network" in metadata else import_weights(path)


def _described(path: Path, metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> nn.Module:
    name = metadata["network"]
    if metadata.get("recognized_by") == SOURCE:
        try:
            network = recognize(tensors, json.loads(metadata.get("left_out", "{}")))
        except (CheckpointError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{path}: {error}") from None
        if network is None or network.adabm_facts.name != name:
            raise CheckpointError(f"{path}: should be {name}, but its tensors are not; the file is damaged")
        return network
    options = _options(path, metadata)
    try:
        with torch.random.fork_rng(devices=[]), no_larger_than(tensors):
            network = build_network(name, **options)
    except NetworkError as error:
        remedy = ""
        if (defined_in := metadata.get("defined_in")) and name not in known_networks():
            remedy = (
                f"; {defined_in} defines it: name that file in the environment variable {FILES}, or import it first"
            )
        raise CheckpointError(f"{path}: {error}{remedy}") from error
    if tensors.keys() != network.state_dict().keys():
        network = fold_reparameterized(network)
    load_weights(network, tensors, f"{path}: the weights do not fit {name} with options {options}", path)
    return network.eval()


def _options(path: Path, metadata: dict[str, str]) -> dict[str, object]:
    if "options" not in metadata:
        raise CheckpointError(
            f"{path}: its metadata names the network {metadata['network']}, but lacks its options; build it with "
            "build_network, load the weights with load_state_dict, and export it with save_network"
        )
    return parse_options(path, metadata["options"])
