"""What a recipe asks of the hardware: how many codes its layers tell apart, and whether integer engines take it."""

from functools import cache

from ...engines.integer.layers import factors, integer_layers
from ...errors import ConfigError, EngineError
from ...networks import build_network
from ...quantization.model import QuantizedSR
from ...recipes import QuantizationConfig, Recipe

_NETWORK = dict(num_feat=8, num_block=1, upscale=2)  # of plain convolutions


def more_code_bits(recipe: Recipe) -> int:
    """Return how many bits the codes of a layer's input need beyond those of the layer: 1 where there are twice as many."""
    return sum(getattr(step, "more_code_bits", 0) for step in recipe.steps)


@cache
def in_integers(recipe: Recipe) -> bool | None:
    """Whether the integer engines take the quantizers of a recipe, on a network of plain convolutions.

    They are asked, with a tiny network in which the recipe's modules stand, at four bits. None: it does not work at these bits
    or on this network.
    """
    try:
        model = QuantizedSR(build_network("EDSR", **_NETWORK), QuantizationConfig(recipe=recipe))
    except ConfigError:
        return None
    try:
        for factor in factors(model):
            integer_layers(model, factor)
    except EngineError:
        return False
    return True
