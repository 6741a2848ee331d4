"""How much context a tile needs, so that it comes out as in the whole picture."""

import math
from collections.abc import Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..networks.reach import Reach, find_reach
from ..networks.trace import evaluation_mode
from ..pictures.padding import fitting_side
from ..quantization.layers import BitContext
from ..quantization.model import QuantizedSR
from ..turns import turn
from .protocol import Engine
from .steady_sums import unsteady_layer

# Pixels of context by default where the network sees farther than half a tile: all of its context would make a tile more than
# four times as large, in time and memory.
MOST = 64
UNKNOWN = 32  # pixels where no bound is known
# Up to so many values of its input, torch computes a convolution on the CPU by another algorithm, whose sums round
# otherwise; at low bits the smallest difference becomes visible.
_SMALL = 20480
_SIDE = 48  # pixels of the picture in which inputs of convolutions are counted
# by `python -m benchmarks.seams`, see "Memory and tiles" in docs/use.md
_MEASURED = "near seams RRDBNet then differs by 14 of 255 in the mean and 102 at most with 4 bits, by 2 and 18 with 6"
_KEPT = "_known_reach"  # attribute of a model
Span = tuple[int, int]  # begin and end


@dataclass(frozen=True)
class Context:
    """What is computed around each tile and cut off again.

    Attributes:
        overlap: pixels on each side.
        alignment: the tile begins and ends, with its context, at multiples of it or at the border of the picture.
        reach: how far the network sees, in pixels; None without a known bound.
        least_area: pixels that a tile has with its context, where the picture does.
        least_side: pixels a side that it has likewise.
        unsteady: a layer whose sums round otherwise in a picture of another size, see :mod:`.steady_sums`; None for none.
    """

    overlap: int
    alignment: int = 1
    reach: int | None = None
    least_area: int = 1
    least_side: int = 1
    unsteady: str | None = None

    @property
    def exact(self) -> bool:
        """Whether tiles of the same bits come out as in the whole picture."""
        return self.reach is not None and self.overlap >= self.reach and self.unsteady is None

    @property
    def shortage(self) -> str:
        """Tell what tiles lack that are not exact, and the remedy."""
        if self.reach is None:
            return (
                "how far the network sees is not known, or it looks at the whole picture; tiles come near to the whole "
                "picture only, --tile 0 computes it"
            )
        if self.overlap >= self.reach:
            return (
                f"on this processor the sums of {self.unsteady!r} round otherwise in a picture of another size; with few bits a "
                "value may then fall to another level, so that tiles come near to the whole picture only; --tile 0 computes it"
            )
        return (
            f"the network sees {self.reach} pixels far, the tiles have {self.overlap} pixels of context and come near to "
            f"the whole picture only; {_MEASURED}; --overlap {self.reach} or --tile 0 computes it, with more time and memory"
        )

    def takes_in(self, height: int, width: int, tile: int) -> bool:
        """Whether a picture has no more pixels than a tile of at most ``tile`` pixels a side has with its context."""
        return height * width <= (tile + 2 * self.overlap) ** 2

    def around(self, rows: Span, columns: Span, height: int, width: int) -> tuple[Span, Span]:
        """Rows and columns of a picture that a tile of ``rows`` and ``columns`` takes in with its context."""
        rows = self._grown(*self._around(*rows, height), self.least_side, height)
        columns = self._grown(*self._around(*columns, width), self.least_side, width)
        columns = self._grown(*columns, -(-self.least_area // (rows[1] - rows[0])), width)
        return self._grown(*rows, -(-self.least_area // (columns[1] - columns[0])), height), columns

    def _around(self, begin: int, end: int, length: int) -> Span:
        return self._aligned(begin - self.overlap, end + self.overlap, length)

    def _grown(self, begin: int, end: int, least: int, length: int) -> Span:
        begin, end = self._aligned(begin, max(end, begin + least), length)
        return self._aligned(min(begin, end - least), end, length)

    def _aligned(self, begin: int, end: int, length: int) -> Span:
        return max(0, begin) // self.alignment * self.alignment, min(length, end + -end % self.alignment)


def context_of(engine: Engine, overlap: int | None = None, tile: int | None = None) -> Context:
    """Return the context that the tiles of an engine get.

    How far the engine sees is what it says itself (``reach``, a :class:`adabm.networks.reach.Reach`), or is found from the
    network that it shows (``model``).

    Args:
        overlap: pixels on each side; by default as far as the network sees, or 64 where that is more than 64 and more
            than half a tile, or 32 where no bound is known.
        tile: largest side of the tiles without their context.

    Raises:
        ConfigError: a negative overlap.
    """
    if overlap is not None and overlap < 0:
        raise ConfigError(f"overlap = {overlap}: must not be negative")
    reach, least = _seen(engine)
    if overlap is None:
        affordable = max(MOST, (tile or 0) // 2)
        overlap = UNKNOWN if reach.pixels is None else reach.pixels if reach.pixels <= affordable else MOST
    return Context(
        overlap,
        math.lcm(reach.alignment, engine.size_multiple),
        reach.pixels,
        int(_SMALL / least) + 1,
        minimum_size(engine),
        _unsteady(engine),
    )


def minimum_size(engine: Engine) -> int:
    """Return what the sides of an engine's pictures must not be less than; see :class:`Engine`."""
    return getattr(engine, "minimum_size", 1)


def _seen(engine: Engine) -> tuple[Reach, float]:
    """How far an engine sees, and the values that its smallest input of a convolution has for each pixel of a picture."""
    own, model = getattr(engine, "reach", None), getattr(engine, "model", None)
    if own is not None or not isinstance(model, QuantizedSR):
        return own or Reach(None), engine.channels
    described = model.descriptor
    if any(getattr(layer.activation, "of_whole_picture", False) for layer in model.layers.values()):
        return Reach(None, described.size_multiple), engine.channels  # a quantizer measures the picture
    with turn(model):
        made = (_made(model.network), described.channels, described.scale, described.size_multiple)
        known = getattr(model, _KEPT, None)
        if known is None or known[0] != made:
            with model.full_precision():
                reach = find_reach(model.network, *made[1:])
                least = engine.channels if reach.pixels is None else _least_values(model, reach.alignment)
            known = made, (reach, least)
            setattr(model, _KEPT, known)
    return known[1]


@torch.no_grad()
def _least_values(model: QuantizedSR, alignment: int) -> float:
    """The smallest input of a convolution, in values for each pixel of a picture: half a picture's sides inside are a quarter."""
    described = model.descriptor
    multiple = math.lcm(alignment, described.size_multiple)
    side = fitting_side(_SIDE, multiple, described.minimum_size)
    found = [described.channels * side * side]
    with evaluation_mode(model), ExitStack() as hooks:
        for module in model.network.modules():
            if isinstance(module, nn.Conv2d):
                count = lambda _module, inputs, named: found.append((*inputs, *named.values())[0].numel())
                hooks.callback(module.register_forward_pre_hook(count, with_kwargs=True).remove)
        model(next(model.parameters()).new_zeros(1, described.channels, side, side))
    return min(found) / (side * side)


def _unsteady(engine: Engine) -> str | None:
    """The layer of the network that an engine shows, if it computes in floating point itself."""
    model = getattr(engine, "model", None)
    if getattr(engine, "reach", None) is not None or not isinstance(model, QuantizedSR):
        return None
    return unsteady_layer(model.network)


def _made(network: nn.Module) -> tuple:
    """All that decides how far a network sees, which its weights do not: modules, their settings and hooks, shapes."""
    return tuple((name, type(module), *_settings(module)) for name, module in network.named_modules())


def _settings(module: nn.Module) -> Iterator[tuple[str, object]]:
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers"):
            yield name, tuple((key, None if tensor is None else tensor.shape) for key, tensor in value.items())
        elif name != "_modules" and not isinstance(value, BitContext):  # what one pass tells its layers
            yield name, _compared(value)


def _compared(value: object) -> object:
    """A value that is equal to another if it is the same setting."""
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, dict):
        return tuple((key, _compared(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_compared, value))
    if isinstance(value, nn.Module):
        return type(value)
    return value if isinstance(value, Hashable) else repr(value)
