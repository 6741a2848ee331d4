"""Uniform fake quantization with straight-through rounding (method section 2; paper eq. 1-2).

Quantization is simulated: values are rounded to the low-bit grid and stored in floating point.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from ..full_precision import FULL_PRECISION_BITS
from .bounds import LEAST_WIDTH, end_above
from .memory import dense_format
from .own_numbers import OwnNumbers
from .tunable import Tunable, keep_apart

_LEAST_WIDTH = 0.01  # of the calibrated width; fine-tuning never makes a range narrower


class _FakeQuantize(torch.autograd.Function):
    """Clamp to [lower, upper], round to ``steps`` uniform steps, map back.

    With t = (clamp(x) - lower)/(upper - lower), k = round(t*n) and q = k/n*(upper - lower) + lower,
    and rounding of gradient 1, the chain rule collapses to

        dq = dclamp(x) + (k/n - t)*(dupper - dlower) - (upper - lower)/n*(k/n - t)*dn,

    where (k/n - t)*(upper - lower) = q - clamp(x) is the rounding error. Nothing but x and q has to
    be kept, and both directions work through the tensors in pieces that stay in the processor's cache.
    """

    @staticmethod
    def forward(ctx, x: Tensor, lower: Tensor, upper: Tensor, steps: Tensor) -> Tensor:
        q = torch.empty_like(x)
        _round_into(q, x, lower, upper, steps)
        ctx.save_for_backward(x, q, lower, upper, steps)
        return q

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, q, lower, upper, steps = ctx.saved_tensors
        needs_x, needs_lower, needs_upper, needs_steps = ctx.needs_input_grad
        grad_x = torch.empty_like(x) if needs_x else None
        inside = grad.new_zeros(steps.numel())  # grad . (q - clamp(x)) of each image
        signed, outside = grad.new_zeros(()), grad.new_zeros(())  # grad . sign and grad . |sign| of x - clamp(x)
        grad = grad.contiguous(memory_format=dense_format(x))
        for image, _, pieces in _pieces(steps, x, q, grad, grad_x if needs_x else x):
            values, rounded, gradient, result = pieces
            clamped = torch.minimum(torch.maximum(values, lower), upper)
            if needs_lower or needs_upper or needs_steps:
                inside[image] += torch.dot(gradient, rounded - clamped)
            sign = torch.sub(
                values, clamped, out=clamped
            ).sign_()  # -1 below the range, 1 above, 0 inside with its ends
            if needs_lower or needs_upper:
                signed += torch.dot(gradient, sign)
            magnitude = sign.abs_()
            if needs_lower or needs_upper:
                outside += torch.dot(gradient, magnitude)
            if needs_x:
                torch.mul(gradient, magnitude.neg_().add_(1), out=result)
        by_width = inside.sum() / (upper - lower)
        grad_lower = ((outside - signed) / 2 - by_width).view_as(lower) if needs_lower else None
        grad_upper = ((outside + signed) / 2 + by_width).view_as(upper) if needs_upper else None
        grad_steps = -inside.view_as(steps) / steps if needs_steps else None
        return grad_x, grad_lower, grad_upper, grad_steps


def _round_into(q: Tensor, x: Tensor, lower: Tensor, upper: Tensor, steps: Tensor) -> None:
    """Write the quantized ``x`` to ``q``, which is laid out as ``x`` is."""
    width = upper - lower
    ends = (
        (lower.item(), upper.item()) if x.device.type == "cpu" else None
    )  # an accelerator would have to be waited for
    for _, n, (source, target) in _pieces(steps, x, q, size=_LARGE_PIECE):
        if ends is not None:
            torch.clamp(source, *ends, out=target)
        else:
            torch.minimum(torch.maximum(source, lower, out=target), upper, out=target)
        target.sub_(lower).div_(width).mul_(n).round_().div_(n).mul_(width).add_(lower)


_PIECE = 1 << 16  # values; with the temporaries of a step, less than a megabyte of float32
_LARGE_PIECE = 1 << 18  # of what is rounded in place: starting an operation would cost more than a nearer cache gains


_MOST_KEPT = 1 << 27  # bytes


def _pieces(steps: Tensor, *tensors: Tensor, size: int = _PIECE) -> Iterator[tuple[int, Tensor, list[Tensor]]]:
    """Yield (image, its steps, the same flat piece of every tensor, in memory order).

    The tensors have one shape and layout. One number of steps is for all images: they then count as one.
    On an accelerator an image is one piece, since every piece costs kernel launches there.
    """
    count = steps.numel()
    if dense_format(tensors[0]) is torch.channels_last:
        tensors = tuple(t.permute(0, 2, 3, 1) for t in tensors)
    rows = [t.view(count, -1) for t in tensors]
    length = rows[0].shape[1]
    size = size if rows[0].device.type == "cpu" else max(length, 1)
    for image, n in enumerate(steps.view(-1, 1)):
        for start in range(0, length, size):
            yield image, n, [row[image, start : start + size] for row in rows]


class Scratch:
    """Memory for one tensor at a time, kept for the next one: asking the system for memory takes longer than rounding.

    A copy of it is a new one, without memory.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def like(self, x: Tensor) -> Tensor:
        """Return a tensor laid out as the dense ``x``; its values are lost when this is called again.

        What is large, or on an accelerator, gets memory of its own.
        """
        if x.device.type != "cpu" or x.numel() * x.element_size() > _MOST_KEPT:
            return torch.empty_like(x)
        memory = self._memory
        if memory is None or memory.dtype != x.dtype or len(memory) < x.numel():
            self._memory = memory = None  # before more is asked for
            with torch.inference_mode(False):  # a tensor made in that mode could not be written to later
                self._memory = memory = torch.empty(x.numel(), dtype=x.dtype)
        return memory.as_strided(x.shape, x.stride())

    def __reduce__(self) -> tuple:
        return Scratch, ()


def fake_quantize(
    x: Tensor, lower: Tensor, upper: Tensor, bits: Tensor | float, scratch: Scratch | None = None
) -> Tensor:
    """Round ``x`` to the ``2**bits`` levels of the uniform grid on [lower, upper].

    Args:
        x: (N, ...) float tensor.
        lower, upper: one-element tensors, lower < upper.
        bits: a number, or a (N, 1, 1, 1) tensor with one bit-width per image; gradients reach it
            through ``2**bits - 1``. A number of 32 or more means full precision: ``x`` itself.
        scratch: where the result may stand, which the next call with it then overwrites; nothing has gradients.

    Returns:
        Tensor shaped like ``x`` on the grid. Rounding has gradient 1; gradients reach ``lower``
        and ``upper`` through the clamp and the affine maps.

    >>> fake_quantize(torch.tensor([0.0, 0.4, 2.0]), torch.tensor([0.0]), torch.tensor([1.0]), 1)
    tensor([0., 0., 1.])
    """
    if not isinstance(bits, Tensor) and bits >= FULL_PRECISION_BITS:
        return x
    if x.dtype in (torch.float16, torch.bfloat16):  # the grid itself needs more precision than these have
        return fake_quantize(x.float(), lower.float(), upper.float(), bits, scratch).to(x.dtype)
    lower, upper = lower.to(x.dtype), upper.to(x.dtype)
    if not isinstance(bits, Tensor):
        steps = torch.tensor(2.0**bits - 1, dtype=x.dtype, device=x.device)
    else:
        steps = 2 ** bits.to(x.dtype) - 1
    x = x.contiguous(memory_format=dense_format(x))
    if scratch is None:
        return _FakeQuantize.apply(x, lower, upper, steps)
    q = scratch.like(x)
    _round_into(q, x, lower, upper, steps)
    return q


class Domain(Protocol):
    """An exact, invertible map, such as a shift and a scale for each channel, in whose image a quantizer works.

    Integer arithmetic absorbs it into the weights, so that it costs nothing.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, C, ...) values to where they are quantized."""

    def inverse(self, x: Tensor) -> Tensor:
        """Map quantized values back."""


class ActivationQuantizer(OwnNumbers):
    """Asymmetric per-tensor quantizer with a learnable range [lower, upper].

    Attributes:
        domain: where values are quantized, a module that a step may put there; None: as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.domain: Domain | None = None
        self.lower = nn.Parameter(torch.tensor([-1.0]))
        self.upper = nn.Parameter(torch.tensor([1.0]))

    def forward(self, x: Tensor, bits: Tensor | float, scratch: Scratch | None = None) -> Tensor:
        """Quantize activations ``x`` (N, C, H, W) to ``bits`` (see :func:`fake_quantize`)."""
        if self.domain is None:
            return fake_quantize(x, self.lower, self.upper, bits, scratch)
        return self.domain.inverse(fake_quantize(self.domain(x), self.lower, self.upper, bits, scratch))

    @torch.no_grad()
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Set the range; a collapsed one is widened, see :func:`adabm.quantization.bounds.end_above`, whose errors it raises."""
        lower, upper = lower.to(self.lower), upper.to(self.upper)
        least = max(1e-6, torch.finfo(self.upper.dtype).eps)  # half precision could not tell such ends apart
        self.upper.copy_(end_above(lower, upper, least))
        self.lower.copy_(lower)

    def tunables(self) -> Iterator[Tunable]:
        """(l, u), which must neither cross nor collapse."""
        width = (self.upper - self.lower).item()
        parameters = (self.lower, self.upper)
        yield Tunable("activation", "activation", parameters, width, relative=True, keep_valid=self._keep_valid)

    def _keep_valid(self, width: float) -> None:
        keep_apart(self.lower, self.upper, width * _LEAST_WIDTH)

    def extra_repr(self) -> str:
        return f"lower={self.lower.item():.4g}, upper={self.upper.item():.4g}"


class WeightQuantizer(OwnNumbers):
    """Symmetric per-tensor quantizer on [-scale, scale] with an even number of levels (no exact zero).

    Attributes:
        domain: as of :class:`ActivationQuantizer`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.domain: Domain | None = None
        self.scale = nn.Parameter(torch.tensor([1.0]))

    def forward(self, weight: Tensor, bits: float) -> Tensor:
        """Quantize a weight tensor of any shape to ``bits``."""
        if self.domain is None:
            return fake_quantize(weight, -self.scale, self.scale, bits)
        return self.domain.inverse(fake_quantize(self.domain(weight), -self.scale, self.scale, bits))

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Set the half-width; an all-zero weight gets a tiny one so that it can divide."""
        scale, tiny = scale.to(self.scale), torch.finfo(self.scale.dtype).tiny
        self.scale.copy_(torch.where(scale > max(LEAST_WIDTH, tiny), scale, max(1e-12, tiny)))

    def tunables(self) -> Iterator[Tunable]:
        """s, which must stay positive."""
        parameters = (self.scale,)
        yield Tunable("weight", "weight", parameters, self.scale.item(), relative=True, keep_valid=self._keep_valid)

    def _keep_valid(self, width: float) -> None:
        self.scale.clamp_min_(width * _LEAST_WIDTH)

    def extra_repr(self) -> str:
        return f"scale={self.scale.item():.4g}"
