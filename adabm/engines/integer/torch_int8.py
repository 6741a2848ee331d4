"""Integer networks in torch alone: the network itself, its convolutions on oneDNN's kernels of unsigned times signed bytes.

Each convolution quantizes its input to bytes and gives floating point; what lies between them stays as it is. Where the
processor's sums of products may overflow the convolution is computed in floating point, on the same quantized values.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import EngineError
from ...full_precision import FULL_PRECISION_BITS
from ...networks.placing import placed
from ...quantization.model import QuantizedSR
from ...quantization.quantizers import Scratch, fake_quantize
from ...support.surroundings import as_usual
from ..registry import engine
from .agreement import agreeing
from .engine import IntegerEngine, described, in_memory
from .exported import Exported, card_of
from .grid import CODES
from .layers import IntegerConv
from .stand_in import StandIn

TORCH_INT8 = "torch-int8"  # the engine's name
_KERNEL_CHANNELS = 16  # of the output, that a kernel computes at once


@engine(TORCH_INT8, description="8-bit integers in torch (oneDNN), on the CPU")
@as_usual
def open_torch_int8(model: QuantizedSR | Path, device: torch.device) -> IntegerEngine:
    """Open a model or a quantized checkpoint.

    Raises:
        EngineError: this build of torch lacks the kernels, or see
            :func:`adabm.engines.integer.engine.described`.
    """
    there = hasattr(torch.ops.onednn, "qconv2d_pointwise") and hasattr(torch, "quantize_per_tensor")
    if not (torch.backends.mkldnn.is_available() and there):
        raise EngineError(f"engine {TORCH_INT8!r}: this build of torch has no 8-bit convolutions of oneDNN")
    model = in_memory(model, device, TORCH_INT8)
    plain, layers = described(model)
    exported = Exported(card_of(plain, TORCH_INT8, layers), {})
    network, chosen = _replaced(copy.deepcopy(plain), layers)

    @torch.no_grad()
    def run(picture: np.ndarray, factor: int) -> np.ndarray:
        chosen.factor = factor
        return network(torch.from_numpy(picture)).numpy()

    return IntegerEngine(exported, agreeing(run, plain, TORCH_INT8), model)


@dataclass
class _Chosen:
    """What a pass shares with its layers: the factor of its image, and memory."""

    factor: int = 0
    scratch: Scratch = field(default_factory=Scratch)


def _replaced(model: QuantizedSR, layers: Mapping[int, Mapping[str, IntegerConv]]) -> tuple[nn.Module, _Chosen]:
    """Put integer convolutions into the model's network, wherever a layer is called from."""
    chosen = _Chosen()
    made = {
        layer: _Layer(
            layer, {factor: _Prepared(of_factor[name], chosen) for factor, of_factor in layers.items()}, chosen
        )
        for name, layer in model.layers.items()
    }
    for name, module in list(model.network.named_modules(remove_duplicate=False)):
        if module in made:
            parent, _, child = name.rpartition(".")
            setattr(model.network.get_submodule(parent), child, made[module])
    return placed(model.network, "cpu"), chosen


class _Layer(StandIn):
    def __init__(self, replaced: nn.Conv2d, prepared: Mapping[int, "_Prepared"], chosen: _Chosen) -> None:
        super().__init__(replaced)
        self.prepared, self.chosen = prepared, chosen

    def forward(self, input: Tensor) -> Tensor:
        return self.prepared[self.chosen.factor](input)


@cache
def overflows() -> bool:
    """Whether sums of bytes' products overflow on this processor, as one convolution of the largest ones shows."""
    side = _KERNEL_CHANNELS
    scale, zeros = torch.ones(side), torch.zeros(side)
    largest = torch.full((side, side, 1, 1), 127, dtype=torch.int8)
    packed = torch.ops.onednn.qconv_prepack(largest, scale, 1.0, 0, [1, 1], [0, 0], [1, 1], 1, None)
    codes = torch.full((1, side, 4, 4), CODES, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    found = _convolution(codes, 1.0, 0, (packed, scale, zeros.int(), zeros), (1, 1), [0, 0], (1, 1))
    return bool((found != side * CODES * 127).any())


class _Prepared:
    """One convolution at one number of bits, its weights packed for the kernels."""

    def __init__(self, layer: IntegerConv, chosen: _Chosen) -> None:
        if layer.may_overflow and overflows():
            layer = replace(layer, weight=None)
        self.layer, self.chosen = layer, chosen
        self.shift, self.stretch = (None if v is None else _per_channel(v) for v in (layer.shift, layer.stretch))
        top, left, bottom, right = layer.padding
        self.even = (top, left) == (bottom, right)
        self.padding = [top, left] if self.even else [0, 0]
        if layer.weight is None:
            self.weight = torch.from_numpy(layer.used).contiguous(memory_format=torch.channels_last)
            self.bias = torch.from_numpy(layer.bias.astype(np.float32))
            return
        weight = layer.weight
        codes, scale = weight.codes, weight.scale
        bias = layer.inner_bias
        self.half, self.summing = None, None
        if weight.half is not None:  # the same for all weights of a channel: the sum over the window, made once
            ones, self.half = np.ones((1, *codes.shape[1:]), np.int8), _per_channel(weight.half)
            if len(codes) < _KERNEL_CHANNELS:  # room for one more channel
                codes, scale, bias = np.concatenate([codes, ones]), np.append(scale, 1.0), np.append(bias, 0.0)
            else:
                self.summing = self._packed(ones[:, :, :1, :1], np.ones(1), np.zeros(1))
                self.window = torch.ones(1, 1, *codes.shape[2:])
        self.kernel = self._packed(codes, scale, bias)
        self.border = _Border(layer) if layer.exact_border else None

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.weight is None:
            x = self._padded(self._levels(x), 0.0)
            return F.conv2d(x, self.weight, self.bias, layer.stride, self.padding, layer.dilation)
        height, width = x.shape[2:]
        codes = self._padded(self._codes(x), layer.grid.zero)
        made = self._convolved(codes, self.kernel, layer.stride, self.padding, layer.dilation)
        if self.summing is not None:
            summed = self._convolved(codes, self.summing, (1, 1), [0, 0], (1, 1))
            summed = F.conv2d(summed, self.window, None, layer.stride, self.padding, layer.dilation)
            made.addcmul_(summed, self.half)
        elif self.half is not None:
            made = made[:, :-1].addcmul(made[:, -1:], self.half)
        if self.border is not None:
            self.border.correct(made, height, width)
        return made

    def _to_domain(self, x: Tensor) -> Tensor:
        x = x if self.shift is None else x - self.shift
        return x if self.stretch is None else x / self.stretch

    def _levels(self, x: Tensor) -> Tensor:
        """The quantized values themselves."""
        layer = self.layer
        if layer.bits >= FULL_PRECISION_BITS:
            return x
        ends = torch.tensor([layer.lower]), torch.tensor([layer.upper])
        x = fake_quantize(self._to_domain(x), *ends, layer.bits)
        x = x if self.stretch is None else x * self.stretch
        return x if self.shift is None else x + self.shift

    def _codes(self, x: Tensor) -> Tensor:
        grid = self.layer.grid
        x = self._to_domain(x).contiguous(memory_format=torch.channels_last)
        values = torch.clamp(x, self.layer.lower, self.layer.upper, out=self.chosen.scratch.like(x))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor")  # that it may be gone one day
            quantized = torch.quantize_per_tensor(values.sub_(grid.remainder), grid.step, grid.zero, torch.quint8)
        # its bytes as they are: int_repr() would copy them
        return torch.empty(0, dtype=torch.uint8).set_(
            quantized.untyped_storage(), 0, quantized.shape, quantized.stride()
        )

    def _padded(self, x: Tensor, value: float) -> Tensor:
        top, left, bottom, right = self.layer.padding
        return x if self.even else F.pad(x, (left, right, top, bottom), value=value)

    def _packed(self, codes: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        grid, scales = self.layer.grid, torch.from_numpy(scale.astype(np.float32))
        packed = torch.ops.onednn.qconv_prepack(
            torch.from_numpy(np.ascontiguousarray(codes)), scales, grid.step, grid.zero,
            list(self.layer.stride), self.padding, list(self.layer.dilation), 1, None,
        )  # fmt: skip
        zeros = torch.zeros(len(codes), dtype=torch.int32)
        return packed, scales, zeros, torch.from_numpy(bias.astype(np.float32))

    def _convolved(self, codes: Tensor, kernel: tuple, stride: tuple, padding: list, dilation: tuple) -> Tensor:
        return _convolution(codes, self.layer.grid.step, self.layer.grid.zero, kernel, stride, padding, dilation)


class _Border:
    """What taps outside of the picture would have added: it is taken off again at the border."""

    def __init__(self, layer: IntegerConv) -> None:
        self.layer = layer
        self.taps = torch.from_numpy(layer.taps.astype(np.float32))
        self._parts = lru_cache(maxsize=2)(self._found)

    def correct(self, made: Tensor, height: int, width: int) -> None:
        """Correct the output for an input of ``height`` and ``width``."""
        rows, inner, of_rows, columns, of_columns = self._parts(height, width)
        made[:, :, rows] += of_rows
        if inner is not None:
            made[:, :, inner, columns] += of_columns

    def _found(self, height: int, width: int) -> tuple[Tensor, slice | None, Tensor, Tensor, Tensor]:
        """Rows at the border, rows between them, columns at the border, and what is added to each of them."""
        top, left, bottom, right = self.layer.padding
        taps = self.taps
        inside_rows = self._inside(0, height, top, bottom)
        inside_columns = self._inside(1, width, left, right)
        rows, columns = ((~inside.all(1)).nonzero().flatten() for inside in (inside_rows, inside_columns))
        of_rows = torch.einsum("ouv,iu,jv->oij", taps, inside_rows[rows].float(), inside_columns.float())
        of_columns = torch.einsum("ov,jv->oj", taps.sum(1), inside_columns[columns].float())
        total = taps.sum((1, 2))
        whole = inside_rows.all(1).nonzero().flatten()
        inner = slice(int(whole[0]), int(whole[-1]) + 1) if len(whole) else None
        return rows, inner, of_rows - total.view(-1, 1, 1), columns, (of_columns - total.view(-1, 1))[:, None]

    def _inside(self, axis: int, side: int, before: int, behind: int) -> Tensor:
        """(outputs, taps) whether a tap lies inside of the picture."""
        count, dilation, stride = self.taps.shape[axis + 1], self.layer.dilation[axis], self.layer.stride[axis]
        outputs = (side + before + behind - dilation * (count - 1) - 1) // stride + 1
        places = torch.arange(outputs)[:, None] * stride - before + torch.arange(count) * dilation
        return (places >= 0) & (places < side)


def _convolution(
    codes: Tensor, step: float, zero: int, kernel: tuple, stride: tuple, padding: list, dilation: tuple
) -> Tensor:
    packed, scales, zeros, bias = kernel
    return torch.ops.onednn.qconv2d_pointwise(
        codes, step, zero, packed, scales, zeros, bias, list(stride), padding, list(dilation), 1,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip


def _per_channel(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32).reshape(1, -1, 1, 1))
