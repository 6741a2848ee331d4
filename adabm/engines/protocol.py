"""What runs a network on pictures, as tiling, evaluation, the command line and the study see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class EngineOutput:
    """What an engine gives for N pictures.

    Attributes:
        images: (N, scale*H, scale*W, C) float32, 0 to 255, neither rounded nor clamped.
        feature_average_bits: (N,) activation bits of each picture; 32 in full precision.
        layer_bits: (N,) activation bits of each quantized layer by name; empty in full precision.
    """

    images: np.ndarray
    feature_average_bits: np.ndarray
    layer_bits: Mapping[str, np.ndarray]


class Engine(Protocol):
    """A way to run a network; :func:`adabm.engines.engine` registers one under a name.

    An engine that runs a :class:`adabm.QuantizedSR` may show it as ``model``: the theoretical cost is then told
    beside what was measured. It has to give the bits of all layers of that model, or, in full precision, of none.

    Attributes:
        name: for tables and messages.
        scale: upsampling factor.
        channels: C of the pictures.
        size_multiple: H and W of the pictures must be multiples of it; whoever calls fills up.
        minimum_size: H and W must not be less; an engine without this attribute takes any.
        reach: how far it sees, a :class:`adabm.networks.reach.Reach`; an engine may lack it, or have None.
    """

    name: str
    scale: int
    channels: int
    size_multiple: int

    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        """Upscale (N, H, W, C) pictures of values 0 to 255, uint8 or floating point."""
        ...


def lacking(thing: object) -> list[str]:
    """Return what ``thing`` lacks to be an :class:`Engine`."""
    return [name for name in ("name", "scale", "channels", "size_multiple", "upscale") if not hasattr(thing, name)]
