"""Uniform fake quantization with straight-through rounding (method section 2; paper eq. 1-2).

Quantization is simulated: values are rounded to the low-bit grid and stored in floating point.
"""

import torch
from torch import Tensor, nn

FULL_PRECISION_BITS = 32


class _FakeQuantize(torch.autograd.Function):
    """Clamp to [lower, upper], round to ``steps`` uniform steps, map back.

    With t = (clamp(x) - lower)/(upper - lower), k = round(t*n) and q = k/n*(upper - lower) + lower,
    and rounding of gradient 1, the chain rule collapses to

        dq = dclamp(x) + (k/n - t)*(dupper - dlower) - (upper - lower)/n*(k/n - t)*dn,

    where (k/n - t)*(upper - lower) = q - clamp(x) is the rounding error. One reduction per image
    thus serves all three range gradients, and nothing but x and q has to be kept.
    """

    @staticmethod
    def forward(ctx, x: Tensor, lower: Tensor, upper: Tensor, steps: Tensor) -> Tensor:
        width = upper - lower
        q = torch.clamp(x, lower, upper)
        q = q.sub_(lower).div_(width).mul_(steps).round_().div_(steps).mul_(width).add_(lower)
        ctx.save_for_backward(x, q, lower, upper, steps)
        return q

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, q, lower, upper, steps = ctx.saved_tensors
        needs_x, needs_lower, needs_upper, needs_steps = ctx.needs_input_grad
        grad_x = grad_lower = grad_upper = grad_steps = None
        clamped = torch.clamp(x, lower, upper)
        if needs_x:
            grad_x = torch.where(clamped == x, grad, 0.0)  # ends included, as in torch.clamp
        if needs_lower or needs_upper or needs_steps:
            flat = grad.flatten(1) if steps.numel() > 1 else grad.reshape(1, -1)
            error = (q - clamped).view_as(flat)
            per_image = torch.linalg.vecdot(flat, error)
            by_width = per_image.sum() / (upper - lower)
            if needs_lower:
                grad_lower = (torch.where(x < lower, grad, 0.0).sum() - by_width).view_as(lower)
            if needs_upper:
                grad_upper = (torch.where(x > upper, grad, 0.0).sum() + by_width).view_as(upper)
            if needs_steps:
                grad_steps = -per_image.view_as(steps) / steps
        return grad_x, grad_lower, grad_upper, grad_steps


def fake_quantize(x: Tensor, lower: Tensor, upper: Tensor, bits: Tensor | float) -> Tensor:
    """Round ``x`` to the ``2**bits`` levels of the uniform grid on [lower, upper].

    Args:
        x: (N, ...) float tensor.
        lower, upper: one-element tensors, lower < upper.
        bits: a number, or a (N, 1, 1, 1) tensor with one bit-width per image; gradients reach it
            through ``2**bits - 1``. A number of 32 or more means full precision: ``x`` itself.

    Returns:
        Tensor shaped like ``x`` on the grid. Rounding has gradient 1; gradients reach ``lower``
        and ``upper`` through the clamp and the affine maps.

    >>> fake_quantize(torch.tensor([0.0, 0.4, 2.0]), torch.tensor([0.0]), torch.tensor([1.0]), 1)
    tensor([0., 0., 1.])
    """
    if not isinstance(bits, Tensor) and bits >= FULL_PRECISION_BITS:
        return x
    if x.dtype in (torch.float16, torch.bfloat16):  # the grid itself needs more precision than these have
        return fake_quantize(x.float(), lower.float(), upper.float(), bits).to(x.dtype)
    lower, upper = lower.to(x.dtype), upper.to(x.dtype)
    if not isinstance(bits, Tensor):
        steps = torch.tensor(2.0**bits - 1, dtype=x.dtype, device=x.device)
    else:
        steps = 2 ** bits.to(x.dtype) - 1
    return _FakeQuantize.apply(x, lower, upper, steps)


class ActivationQuantizer(nn.Module):
    """Asymmetric per-tensor quantizer with a learnable range [lower, upper]."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.tensor([-1.0]))
        self.upper = nn.Parameter(torch.tensor([1.0]))

    def forward(self, x: Tensor, bits: Tensor | float) -> Tensor:
        """Quantize activations ``x`` (N, C, H, W) to ``bits`` (see :func:`fake_quantize`)."""
        return fake_quantize(x, self.lower, self.upper, bits)

    @torch.no_grad()
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Set the range; a collapsed one (a constant input) is widened so that it can divide."""
        smallest = max(1e-6, torch.finfo(self.upper.dtype).eps) * torch.maximum(upper.abs(), torch.ones_like(upper))
        self.lower.copy_(lower)
        self.upper.copy_(torch.maximum(upper, lower + smallest))

    def extra_repr(self) -> str:
        return f"lower={self.lower.item():.4g}, upper={self.upper.item():.4g}"


class WeightQuantizer(nn.Module):
    """Symmetric per-tensor quantizer on [-scale, scale] with an even number of levels (no exact zero)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0]))

    def forward(self, weight: Tensor, bits: float) -> Tensor:
        """Quantize a weight tensor of any shape to ``bits``."""
        return fake_quantize(weight, -self.scale, self.scale, bits)

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Set the half-width; an all-zero weight gets a tiny one so that it can divide."""
        self.scale.copy_(scale.clamp_min(max(1e-12, torch.finfo(self.scale.dtype).tiny)))

    def extra_repr(self) -> str:
        return f"scale={self.scale.item():.4g}"
