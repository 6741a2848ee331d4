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
        # scaled first: in half precision the scores themselves could overflow
        scores = self.scores(Product((query * attention.scale, key.transpose(-2, -1)), torch.matmul))
        if attention.mask is not None:
            scores = scores + attention.mask  # which may leave nothing of a row
            weights = scores.softmax(-1).masked_fill(
                scores.isneginf().all(-1, keepdim=True), 0.0
            )  # as the fused call does
        else:
            weights = scores.softmax(-1)
        return self.mixture(Product((weights, value), torch.matmul))


def quantized_layers(module: nn.Module) -> list[QuantizedLayer]:
    """Return what is quantized of a layer, product or attention: itself, or its operands as they are multiplied."""
    if isinstance(module, QuantizedLayer):
        return [module]
    sites = isinstance(module, (QuantizedProduct, QuantizedAttention))
    return [operand for operand in module.modules() if isinstance(operand, Operand)] if sites else []


def quantize_products(owner: nn.Module, sites: Mapping[int, tuple[str, nn.Module]]) -> None:
    """Let the forward of ``owner`` compute some of its products by ``sites``, which become its children.

    It has to be done for every module whose forward computes products, even where all of them stay as they are.

    Args:
        owner: changed in place: its class becomes one that watches over the calls of torch's functions in its forward.
        sites: names in ``owner`` and modules, by the place of their product among those of the forward, from 0; products
            without one stay.
    """
    for name, site in sites.values():
        owner.add_module(name, site)
    setattr(owner, _SITES, {index: name for index, (name, _) in sites.items()})
    owner.__class__ = _with_products(type(owner))


@cache
def _with_products(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of ``cls`` whose forward computes products by the sites of the module."""

    def forward(self, *args, **kwargs):
        with _Dispatch(self):
            return cls.forward(self, *args, **kwargs)

    def reduced(self, protocol):  # as an instance of a class that can be imported, made one of this class again
        return _new, (cls,), self.__dict__

    content = {"forward": forward, "__reduce_ex__": reduced, "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), content)


def _new(cls: type[nn.Module]) -> nn.Module:
    made = _with_products(cls)
    return made.__new__(made)


class _Dispatch(TorchFunctionMode):
    """Hands the products that one forward of a module computes itself to its sites.

    Those of the modules that it calls are none of its own: while one of them runs, nothing is counted. Nor is what a site
    computes seen by the modes of modules further out.
    """

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.owner, self.index, self.inside = owner, 0, 0
        self.handles: list = []

    def __enter__(self):
        for module in list(self.owner.modules())[1:]:
            self.handles.append(module.register_forward_pre_hook(self._goes_in))
            self.handles.append(module.register_forward_hook(self._comes_out, always_call=True))
        return super().__enter__()

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        return super().__exit__(*error)

    def _goes_in(self, module: nn.Module, inputs: tuple) -> None:
        self.inside += 1

    def _comes_out(self, module: nn.Module, inputs: tuple, output: object) -> None:
        self.inside -= 1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        product = None if self.inside else as_product(func, args, kwargs)
        if product is None:
            return func(*args, **kwargs)
        name = getattr(self.owner, _SITES).get(self.index)
        self.index += 1
        with torch._C.DisableTorchFunction():
            return func(*args, **kwargs) if name is None else getattr(self.owner, name)(product)
