"""The matrix products of attention, as calls of torch: which ones they are, and what they multiply."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_PRODUCTS = (
    torch.matmul,
    torch.Tensor.matmul,
    torch.linalg.matmul,
    torch.bmm,
    torch.Tensor.bmm,
    torch.mm,
    torch.Tensor.mm,
)
# f(summand, left, right): a product and what is added to it
_WITH_SUMMAND = (torch.baddbmm, torch.Tensor.baddbmm, torch.addmm, torch.Tensor.addmm)


@dataclass(frozen=True)
class Product:
    """A product of two tensors, both of which may come from the picture.

    Attributes:
        operands: the two tensors.
        compute: ``f(left, right)``: the product of any two tensors of these shapes.
    """

    operands: tuple[Tensor, Tensor]
    compute: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Attention:
    """A call of torch's fused attention: softmax(query key^T * scale + mask) value.

    Attributes:
        operands: query (..., L, E), key (..., S, E) and value (..., S, V).
        compute: the fused call on the three.
        scale: of the scores.
        mask: added to the scores, broadcast to (..., L, S), or None.
    """

    operands: tuple[Tensor, Tensor, Tensor]
    compute: Callable[[Tensor, Tensor, Tensor], Tensor]
    scale: float
    mask: Tensor | None


def as_product(func: Callable, args: Sequence, kwargs: Mapping) -> Product | Attention | None:
    """Return what a call of a torch function multiplies, or None if it is no product of two or three tensors.

    Source: the functions that the attention of published SR transformers calls: ``@``, ``matmul``, ``bmm``, ``einsum``
    of two tensors, and ``scaled_dot_product_attention``; and what else torch offers for the same: ``linalg.matmul``,
    ``tensordot``, ``baddbmm`` and ``addmm``. Calls that write into ``out`` stay as they are.
    """
    if kwargs.get("out") is not None:
        return None
    kwargs = {name: value for name, value in kwargs.items() if name != "out"}
    if func is torch.einsum and not kwargs:
        equation, *tensors = args
        tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        if isinstance(equation, str) and len(tensors) == 2:
            return Product(tuple(tensors), lambda left, right: torch.einsum(equation, left, right))
    elif func in _PRODUCTS:
        tensors = (*args, *(kwargs[name] for name in ("input", "other", "mat2") if name in kwargs))
        if len(tensors) == 2:
            return Product(tensors, lambda left, right: func(left, right))
    elif func is torch.tensordot:
        return _tensordot(*args, **kwargs)
    elif func in _WITH_SUMMAND:
        return _with_summand(func, *args, **kwargs)
    elif func is F.scaled_dot_product_attention:
        return _attention(*args, **kwargs)
    return None


def _tensordot(a: Tensor, b: Tensor, dims: object = 2) -> Product:
    return Product((a, b), lambda left, right: torch.tensordot(left, right, dims))


def _with_summand(func: Callable, input: Tensor, *factors: Tensor, **named: object) -> Product | None:
    """``input * beta + alpha * left @ right``; the two factors may be named."""
    names = [name for name in ("batch1", "mat1", "batch2", "mat2") if name in named]
    operands = (*factors, *(named.pop(name) for name in names))
    if len(operands) != 2:  # beta and alpha by their places, as torch once had them
        return None
    return Product(operands, lambda left, right: func(input, left, right, **named))


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Attention | None:
    if enable_gqa:  # heads that share keys and values, which no SR network has: it stays in full precision
        return None
    mask = attn_mask
    if is_causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)
    scale = query.shape[-1] ** -0.5 if scale is None else scale

    def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale)

    return Attention((query, key, value), fused, scale, mask)
