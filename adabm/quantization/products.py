"""Products of two tensors, such as those of attention, with quantized operands."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..networks.products import Attention, Product, as_product
from .layers import BitContext, Bits, Operand, QuantizedLayer

_SITES = "adabm_products"  # attribute of a module with products: their names by their place in its forward


class QuantizedProduct(nn.Module):
    """The product of two operands, each at bits of its own."""

    def __init__(self, name: str, bits: Bits, context: BitContext, device: torch.device) -> None:
        super().__init__()
        self.left = Operand(f"{name}.left", bits, context, device)
        self.right = Operand(f"{name}.right", bits, context, device)

    def forward(self, product: Product) -> Tensor:
        """Multiply the operands of a call."""
        left, right = product.operands
        return product.compute(self.left(left), self.right(right))


class QuantizedAttention(nn.Module):
    """Both products of a call of torch's fused attention; the softmax between them is in full precision."""

    def __init__(self, name: str, bits: Bits, context: BitContext, device: torch.device) -> None:
        super().__init__()
        self.context = context
        self.scores = QuantizedProduct(f"{name}.scores", bits, context, device)
        self.mixture = QuantizedProduct(f"{name}.mixture", bits, context, device)

    def forward(self, attention: Attention) -> Tensor:
        """Attend; in full precision, with nobody to look on, by the fused call itself."""
        if not self.context.quantizing and self.context.visitor is None:
            return attention.compute(*attention.operands)
        query, key, value = attention.operands
        scores = self.scores(Product((query, key.transpose(-2, -1)), torch.matmul)) * attention.scale
        if attention.mask is not None:
            scores = scores + attention.mask
        return self.mixture(Product((scores.softmax(-1), value), torch.matmul))


def quantized_layers(module: nn.Module) -> list[QuantizedLayer]:
    """Return what is quantized of a layer, product or attention: itself, or its operands as they are multiplied."""
    if isinstance(module, QuantizedLayer):
        return [module]
    sites = isinstance(module, (QuantizedProduct, QuantizedAttention))
    return [operand for operand in module.modules() if isinstance(operand, Operand)] if sites else []


def quantize_products(owner: nn.Module, sites: Mapping[int, nn.Module]) -> None:
    """Let the forward of ``owner`` compute some of its products by ``sites``, which become its children.

    It has to be done for every module whose forward computes products, even where all of them stay as they are.

    Args:
        owner: changed in place: its class becomes one that watches over the calls of torch's functions in its forward.
        sites: modules by the place of their product among those of the forward, from 0; products without one stay.
    """
    names = {
        index: f"{'attention' if isinstance(site, QuantizedAttention) else 'product'}{index}"
        for index, site in sites.items()
    }
    for index, site in sites.items():
        owner.add_module(names[index], site)
    setattr(owner, _SITES, names)
    owner.__class__ = _with_products(type(owner))


@cache
def _with_products(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of ``cls`` whose forward computes products by the sites of the module."""

    def forward(self, *args, **kwargs):
        with _Dispatch(self):
            return cls.forward(self, *args, **kwargs)

    return type(cls.__name__, (cls,), {"forward": forward, "__module__": cls.__module__, "__doc__": cls.__doc__})


class _Dispatch(TorchFunctionMode):
    """Hands the products of one forward of a module to its sites.

    What a site computes, and a product that stays as it is, is not seen by the modes of modules further out: their
    forwards did not make that call.
    """

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.owner, self.index = owner, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        product = as_product(func, args, kwargs)
        if product is None:
            return func(*args, **kwargs)
        name = getattr(self.owner, _SITES).get(self.index)
        self.index += 1
        with torch._C.DisableTorchFunction():
            return func(*args, **kwargs) if name is None else getattr(self.owner, name)(product)
