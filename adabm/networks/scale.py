"""The upsampling factor of a known network, and of a file of its weights."""

import json
import math
from pathlib import Path

from torch import nn

from ..errors import ConfigError
from ..serialization import file_metadata

_NAMES = ("upscale", "scale")  # of the option, and of the attribute that remembers it


def network_scale(network: nn.Module) -> int:
    """Return the upsampling factor of a network that :func:`adabm.build_network` knows."""
    for attribute in _NAMES:
        if hasattr(network, attribute):
            return getattr(network, attribute)
    # BasicSR's EDSR and RCAN do not remember it
    return math.prod(m.upscale_factor for m in network.modules() if isinstance(m, nn.PixelShuffle))


def file_scale(path: str | Path) -> int:
    """Return the upsampling factor that the metadata of full-precision weights tells; the network is not built.

    Raises:
        CheckpointError: missing or damaged.
        ConfigError: the metadata does not tell it.
    """
    try:
        options = json.loads(file_metadata(path)["options"])
        scale = next((options[name] for name in _NAMES if name in options), None)
    except (KeyError, TypeError, json.JSONDecodeError):
        scale = None
    if not isinstance(scale, int):
        raise ConfigError(
            f"{path}: its metadata does not tell the scale; run `adabm import` on it, or export it with adabm.save_network"
        )
    return scale
