"""Save networks to files that describe themselves, after trying out that they come back as they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from ..errors import CheckpointError, NetworkError
from ..support.surroundings import as_usual
from ..validation import check_all
from .architecture import architecture_of
from .community import facts_of, recognize
from .describe import describe, network_name
from .folding import fold_reparameterized
from .registry import build_network
from .registry import save_network as write_network
from .sameness import same_output, test_output
from .usable import check_network

_Options = Annotated[Mapping[str, object], "arguments of the constructor by name"]


@as_usual
def save_network(
    network: nn.Module, path: str | Path, options: Mapping[str, object] | None = None, *, digest: bool = True
) -> None:
    """Write full-precision weights as safetensors with the metadata that :func:`load_network` needs.

    The network is built again by its name and run once beside ``network`` on a small picture.

    Args:
        network: loaded by :func:`load_network`, built by :func:`build_network`, or of a class of yours that
            :func:`adabm.networks.register_architecture` registered.
        options: arguments of the constructor, needed only of a network that was built by calling its class.
        digest: record a sha256 over tensors and metadata, which loading compares. False writes the bytes of earlier
            versions, for files that are known by their own sha256.

    Raises:
        NetworkError: a network that cannot be rebuilt from such a file, or would come back as another one, since it was
            changed after it was built.
        ConfigError: options that are none, or a name that does not end in .safetensors.
    """
    check_all(options=(options, _Options | None))
    check_network(network)
    again = _rebuilt(network, options)
    if again is not None and not _comes_back_as(again, network):
        raise NetworkError(_changed(network, options))
    write_network(network, path, options, digest=digest)


def _comes_back_as(again: nn.Module, network: nn.Module) -> bool:
    """Whether a network that was built again computes what ``network`` does; what cannot be described is not compared."""
    like = next(network.parameters(), torch.zeros(()))
    again = fold_reparameterized(again.to(like.device, like.dtype).eval())
    try:
        takes = describe(again)
    except NetworkError:
        return True
    return same_output(test_output(again, takes), test_output(network, takes), network)


def _changed(network: nn.Module, options: Mapping[str, object] | None) -> str:
    name, built = network_name(network), "its options" if options is None else str(dict(options))
    return (
        f"this {name} computes something else than one that is built with {built}: it was changed after it was built (such as "
        "mean, img_range, res_scale, a block or a hook), which no file holds, or built with other ones; give a changed network a "
        "class of its own, registered with adabm.networks.register_architecture"
    )


def _rebuilt(network: nn.Module, options: Mapping[str, object] | None) -> nn.Module | None:
    """Build the network again as its file will; None where it cannot be, which writing it tells."""
    state = network.state_dict()
    if facts_of(network) is not None:
        try:
            return recognize(state)
        except CheckpointError:
            return None
    known, own = architecture_of(network), getattr(network, "adabm_options", None)
    given = own if options is None else options
    if known is None or given is None:
        return None
    with torch.random.fork_rng(devices=[]):
        again = build_network(known.name, **given)
    if again.state_dict().keys() != state.keys():
        again = fold_reparameterized(again)
    try:
        again.load_state_dict(state, strict=True)
    except (
        RuntimeError
    ):  # tensors of other names or shapes: a block was put in another's place, or the options are wrong
        if options is not None:
            return None
        raise NetworkError(_changed(network, None)) from None
    return again
