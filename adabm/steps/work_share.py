"""How much of a step's usual work is done on networks that cost much for each pixel."""

from ..pictures.padding import fitting_side
from ..quantization.macs import count_macs
from ..quantization.model import QuantizedSR

SIDE = 48  # of the patches on which costly networks are looked at, in LR pixels
_USUAL = (
    4e6  # multiply-accumulates for an LR pixel up to which nothing is saved; EDSR with 64 features and 16 blocks: 2e6
)


def small_side(model: QuantizedSR) -> int:
    """Return the least side of at least 48 LR pixels that the network takes."""
    return fitting_side(SIDE, model.descriptor.size_multiple, model.descriptor.minimum_size)


def work_share(model: QuantizedSR) -> float:
    """Return the share, in (0, 1], of pixels and rows at which a network costs no more than a usual one with all of them."""
    side = small_side(model)
    return min(1.0, _USUAL / max(sum(count_macs(model, side, side).values()) / side**2, 1.0))
