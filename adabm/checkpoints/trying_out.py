"""Try a checkpoint's network out: whether what is built of the file computes what the model did that is in it."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, out_of_memory
from ..networks.architecture import architecture_of
from ..networks.community import SOURCE
from ..networks.sameness import gives_kept_values, same_output
from ..quantization.model import QuantizedSR
from .restoring import MISFITS, restored
from .soundness import full_precision_output, quantizes_otherwise


def is_built_alone(identity: Mapping) -> bool:
    """Whether a checkpoint's network is built from the file, so that it need not be given."""
    return identity.get("source") == SOURCE or bool(identity["options"])


def is_of_user(network: nn.Module) -> bool:
    """Whether a file outside of this package defines the network, which may be edited after the model was saved."""
    known = architecture_of(network)
    return known is not None and known.file is not None


def comes_back(
    path: str | Path, model: QuantizedSR, metadata: dict, tensors: Mapping[str, Tensor], output: Tensor | None
) -> bool:
    """Whether the network that will be built computes what the model's does in full precision.

    Raises:
        CheckpointError: it does, but the quantized model that will be loaded does not.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            again = restored(path, json.loads(json.dumps(metadata)), tensors, None).to(model.device)
    except (CheckpointError, *MISFITS) as error:
        if out_of_memory(error):
            raise
        return False
    if not same_output(full_precision_output(again), output, model):
        return False
    again.calibrated, again.clipped = True, model.clipped
    if quantizes_otherwise(model, again):
        if _parts(model.network) != _parts(again.network):  # which differ little in full precision
            return False
        raise CheckpointError(
            f"{path}: is not written, since the model that would be loaded from it chooses other bits or gives another picture: a "
            "quantizer, a policy, a measure or a hook was set by hand, which no file holds; register what computes so "
            "(docs/extending.md) and name it in the recipe"
        )
    return True


def _parts(network: nn.Module) -> list[tuple[str, type]]:
    return [(name, type(module)) for name, module in network.named_modules()]


def check_computing(
    path: str | Path, metadata: dict, tensors: Mapping[str, Tensor], model: QuantizedSR, given: bool
) -> None:
    """Compare what the network computes with what the file tells of it, where it was given or its class is a user's."""
    identity = metadata["network"]
    if kept := identity.get("outputs", ()):
        same = gives_kept_values(full_precision_output(model), kept, model)
    elif given and is_built_alone(identity):
        alone = restored(path, metadata, tensors, None).to(model.device)
        same = same_output(full_precision_output(alone), full_precision_output(model), model)
    else:
        same = True
    if not same:
        whose = "the network given has its weights, but" if given else "its class"
        raise CheckpointError(
            f"{path}: was made from another {identity['name']}: {whose} computes something else than when the file was written; "
            "build it as the quantized one was, with the same code, options and changes"
        )
