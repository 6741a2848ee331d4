"""The upsampling factor of a known network, and of a file of its weights."""

import json
import math
from functools import lru_cache
from pathlib import Path

from torch import nn

from ..errors import ConfigError
from ..support.serialization import file_metadata
from .community import facts_of
from .loading import load_network

_NAMES = ("upscale", "scale")  # of the option, and of the attribute that remembers it


def network_scale(network: nn.Module) -> int:
    """Return the upsampling factor of a network of a known architecture."""
    if (facts := facts_of(network)) is not None:
        return facts.scale
    for attribute in _NAMES:
        if hasattr(network, attribute):
            return getattr(network, attribute)
    # BasicSR's EDSR and RCAN do not remember it
    return math.prod(m.upscale_factor for m in network.modules() if isinstance(m, nn.PixelShuffle))


def file_scale(path: str | Path) -> int:
    """Return the upsampling factor of full-precision weights: metadata tell it; without, the network is built, once.

    Raises:
        CheckpointError: missing, damaged, or of an unknown network.
        ConfigError: the metadata does not tell it.
    """
    metadata = file_metadata(path)
    if "network" not in metadata and "adabm" not in metadata:
        state = Path(path).stat()
        return _scale_of_foreign(Path(path), state.st_mtime_ns, state.st_size)
    try:
        if "recognized_by" in metadata:
            return int(metadata["scale"])
        options = json.loads(metadata["options"])
        scale = next((options[name] for name in _NAMES if name in options), None)
    except (KeyError, TypeError, ValueError):
        scale = None
    if not isinstance(scale, int):
        raise ConfigError(
            f"{path}: its metadata does not tell the scale; run `adabm import` on it, or export it with adabm.save_network"
        )
    return scale


@lru_cache
def _scale_of_foreign(path: Path, changed: int, size: int) -> int:
    return network_scale(load_network(path))
