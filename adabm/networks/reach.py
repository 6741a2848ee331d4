"""How far a network sees: from how far away a pixel of the input can change one of the output.

A band of NaN in a strip of zeros marks all that depends on it, since arithmetic never makes a number of a NaN. The
convolutions and products, which cost nearly all the time of a network, are replaced by what they do to such marks.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..errors import out_of_memory
from .trace import evaluation_mode

_BAND = 64  # pixels; a multiple of the usual windows and strides
_MARGINS = (32, 128, 512)  # pixels on both sides of the band, tried in turn; whoever sees farther sees everything
_BREADTHS = (1, 64)  # of the strips; foreign networks may refuse a narrow one
_CLOSE, _COARSE = 1e-3, 5e-2  # of the largest value: what another order of sums may do, in half precision more


@dataclass(frozen=True)
class Reach:
    """How far a network sees.

    Attributes:
        pixels: an output pixel depends on no input pixel farther away than this, in input pixels; None if no such bound
            was found: the network looks at the whole picture (global pooling, attention), or does not show.
        alignment: parts of a picture that begin and end at multiples of it (or at its border) are computed as in the whole.
    """

    pixels: int | None
    alignment: int = 1


class _NoBound(Exception):
    """The network sees farther than the strips are long, or hides what it sees."""


@torch.no_grad()
def find_reach(network: nn.Module, channels: int, scale: int, size_multiple: int = 1) -> Reach:
    """Find how far ``network``, in full precision, sees; weights play no part, so that zeros count like others.

    A network that adapts its grid to the picture's size, as adaptive pooling does, is taken to be like that on multiples of
    64. What turns a NaN into a number, such as ``torch.where(x > 0, x, 0)``, hides what it sees where it is the only way.

    Args:
        channels, scale, size_multiple: see :class:`adabm.NetworkDescriptor`.
    """
    marking = _Marking()
    with evaluation_mode(network):
        for breadth in _BREADTHS:
            breadth = -(-breadth // size_multiple) * size_multiple
            try:
                with marking:
                    found = _reach(network, channels, scale, size_multiple, breadth, marking)
            except _NoBound:
                break
            except Exception as error:  # foreign code may raise anything
                if out_of_memory(error) and not marking.attends:  # attention takes that much of a strip on any machine
                    raise
                continue
            if _holds(network, channels, scale, size_multiple, breadth, found):
                return found
            break
    return Reach(None, size_multiple)


def _holds(network: nn.Module, channels: int, scale: int, multiple: int, breadth: int, found: Reach) -> bool:
    """Whether parts of a strip come out as in the whole of it: what goes by the size of the picture, or by the place of a pixel
    in it, such as ``F.interpolate(..., align_corners=True)``, leaves no mark.

    A strip of a size that the network does not take tells nothing.
    """
    if found.pixels is None:
        return True
    step = found.alignment
    breadth = max(breadth, 2 * multiple)  # rows of which each could see the end of the one before
    band, short = (-(-pixels // step) * step for pixels in (_BAND, 2 * found.pixels + _BAND))
    for vertical in (False, True):
        for more in (band + multiple, band):  # the first off the network's own grid
            comes_out = _comes_out(network, (channels, breadth, short + more), short, scale, found, vertical)
            if comes_out is not None:
                break
        if comes_out is False:
            return False
    return True


def _comes_out(
    network: nn.Module, size: tuple[int, int, int], short: int, scale: int, found: Reach, vertical: bool
) -> bool | None:
    like = next(network.parameters(), torch.zeros(()))
    whole = torch.rand(1, *size, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    begin = (size[2] - short) // found.alignment * found.alignment

    def run(strip: Tensor) -> Tensor:
        output = network(strip.transpose(2, 3).contiguous() if vertical else strip.clone())
        return output.transpose(2, 3) if vertical else output

    try:
        all_of_it, first, last = run(whole), run(whole[..., :short]), run(whole[..., begin:])
    except Exception:  # foreign code may raise anything
        return None
    edge, near = (short - found.pixels) * scale, (begin + found.pixels) * scale
    differences = (
        all_of_it[..., :edge] - first[..., :edge],
        all_of_it[..., near:] - last[..., found.pixels * scale :],
    )
    coarse = like.dtype in (torch.float16, torch.bfloat16)
    most = (_COARSE if coarse else _CLOSE) * all_of_it.abs().max()
    return all(bool((difference.abs() <= most).all()) for difference in differences)


def _reach(network: nn.Module, channels: int, scale: int, multiple: int, breadth: int, marking: "_Marking") -> Reach:
    found, alignments = [], [multiple]
    for vertical in (False, True):
        for margin in _MARGINS:
            # what demands wide strips, or attends, has windows: it is slow, and sees the whole picture or far
            if margin == _MARGINS[-1] and (breadth >= _BREADTHS[-1] or marking.attends):
                raise _NoBound
            margin = -(-margin // multiple) * multiple
            strips = _Strips(network, marking, channels, scale, multiple, breadth, margin, vertical)
            near = strips.extents([0, multiple])
            if near is not None:
                break
        else:
            raise _NoBound
        if not marking.attends and (strips.joins_ends() or len(marking.counted) > 1):  # attention masks what was rolled
            raise _NoBound
        if near[0] != near[1]:  # a grid inside the network: what a pixel sees depends on its place
            alignments.append(_period(strips, multiple))
        found.append(max(near[0]))
    return Reach(max(found), math.lcm(*alignments))


def _period(strips: "_Strips", multiple: int) -> int:
    places: list[tuple[int, int]] = []
    for count in (8, 16, 32, _BAND):
        places += strips.extents(range(len(places) * multiple, count * multiple, multiple)) or ()
        for period in range(2, len(places) // 2 + 1):
            if places[period:] == places[:-period]:
                return period * multiple
    raise _NoBound


class _Strips:
    """Strips of a picture, of zeros but for a band of NaN; the first with one that stays without."""

    def __init__(
        self,
        network,
        marking: "_Marking",
        channels: int,
        scale: int,
        multiple: int,
        breadth: int,
        margin: int,
        vertical: bool,
    ) -> None:
        self.network, self.marking, self.channels, self.scale, self.multiple = (
            network,
            marking,
            channels,
            scale,
            multiple,
        )
        self.breadth, self.margin, self.vertical = breadth, margin, vertical
        self.controlled = margin > -(-_MARGINS[0] // multiple) * multiple  # shorter ones were before

    def extents(self, shifts: Iterable[int]) -> list[tuple[int, int]] | None:
        """How many pixels before and behind the band depend on it, for each shift of the band; None: no end is seen."""
        band = _BAND * self.multiple
        length = 2 * (self.margin + band)  # the same for all, since foreign networks may demand multiples
        found = []
        for shift in shifts:
            begin = self.margin + shift
            end = begin + band
            marks = self._marks(begin, end, length)
            first, last = marks[0] // self.scale, marks[-1] // self.scale
            if first == 0 or last == length - 1:
                return None
            found.append((max(0, begin - first), max(0, last + 1 - end)))
        return found

    def joins_ends(self) -> bool:
        """Whether one end of a strip depends on the other: circular padding, rolling."""
        band = _BAND * self.multiple
        length = 2 * (self.margin + 2 * band)  # longer than before, see _Marking.counted
        ends = self._output((slice(0, band), slice(length - band, length)), length)
        return bool(ends[0, :, :, -1].any() or ends[1, :, :, 0].any())

    def _output(self, bands: Sequence[slice], length: int) -> Tensor:
        """What depends on the band of NaN in strips of zeros, one strip a band: True in an output whose last axis is the strip's."""
        like = next(self.network.parameters(), torch.zeros(()))
        strips = like.new_zeros(len(bands), self.channels, self.breadth, length)
        for strip, band in zip(strips, bands):
            strip[:, :, band] = torch.nan
        with self.marking.one_pass():
            output = self.network(strips.transpose(2, 3) if self.vertical else strips)
        return (output.transpose(2, 3) if self.vertical else output).isnan()

    def _marks(self, begin: int, end: int, length: int) -> list[int]:
        """Lines of the output, from the first to the last of the strip, that depend on the band."""
        marks = self._output((slice(begin, end), slice(0))[: 1 if self.controlled else 2], length)
        lines = marks[0].any(0).any(0).nonzero().flatten().tolist()
        if marks.shape[3] != length * self.scale or not lines or marks[1:].any():
            raise _NoBound
        self.controlled = True
        return lines


class _Marking(TorchFunctionMode):
    """Let convolutions, linear layers and products give NaN where they see one, and zero elsewhere, at little cost.

    Attributes:
        attends: whether there was a product of two tensors, or attention.
        counted: of each pass that counted places by ``arange`` or ``linspace``, up to where; several, if that goes by the size
            of the picture, so that the network knows where in it a pixel lies.
    """

    attends = False

    def __init__(self) -> None:
        super().__init__()
        self.counted: set[tuple] = set()
        self._pass: list[object] = []

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Note what the network counts inside the ``with`` block, if it counts."""
        self._pass = []
        yield
        if self._pass:  # what was kept of an earlier pass is not made again
            self.counted.add(tuple(self._pass))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.arange, torch.linspace):
            self._pass += [
                func.__name__,
                *(value for value in (*args, *kwargs.values()) if isinstance(value, (int, float))),
            ]
        if func in (torch.conv2d, torch.conv_transpose2d):
            return _marked_convolution(func, *args, **kwargs)
        if func is F.linear:
            return _marked_linear(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self.attends = True
        if func in _PRODUCTS and len(args) == 2 and min(factor.dim() for factor in args) >= 2 and not kwargs:
            self.attends = True
            return _as_nan(_marks(args[0], -1)) + _as_nan(_marks(args[1], -2))
        return func(*args, **kwargs)


_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)


def _marked_convolution(func, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args, **kwargs) -> Tensor:
    # of the arguments after the bias only those of the one-channel convolution differ: its number of groups
    names = ("stride", "padding", "dilation", "groups")
    if func is torch.conv_transpose2d:
        names = ("stride", "padding", "output_padding", "groups", "dilation")
    given = dict(zip(names, args)) | kwargs
    groups = given.pop("groups", 1)
    seen = func(_marks(input, 1), weight.new_ones(1, 1, *weight.shape[2:]), **given)
    channels = weight.shape[1] * groups if func is torch.conv_transpose2d else weight.shape[0]
    return _as_nan(seen).repeat(*(1,) * (seen.dim() - 3), channels, 1, 1)


def _marked_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    seen = _as_nan(_marks(input, -1))
    return seen.repeat(*(1,) * (seen.dim() - 1), weight.shape[0])


def _marks(x: Tensor, dim: int) -> Tensor:
    return x.isnan().any(dim, keepdim=True).to(x.dtype)


def _as_nan(seen: Tensor) -> Tensor:
    return torch.zeros_like(seen).masked_fill(seen > 0.5, torch.nan)
