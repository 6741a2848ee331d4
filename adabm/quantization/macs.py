"""Multiply-accumulates of a network, by what is quantized of it (method section 7)."""

import copy
import threading
from contextlib import ExitStack

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ..networks.trace import check_threads
from ..pictures.padding import fitting_side
from .layers import WeightedLayer
from .model import QuantizedSR
from .products import QuantizedProduct


@torch.no_grad()
def count_macs(model: QuantizedSR, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates for one (height, width) input, filled up to what the network takes, by name.

    Names are those of quantized layers and products, in the order of the network; under ``""`` stands all that is computed
    elsewhere, in full precision. Counted by torch at that size, on tensors without content.

    Raises:
        NetworkError: a layer runs in a thread of its own, where nothing is counted.
    """
    multiple, minimum = model.descriptor.size_multiple, model.descriptor.minimum_size
    height, width = (fitting_side(side, multiple, minimum) for side in (height, width))
    model = copy.deepcopy(model)  # what a forward keeps, such as masks, would be a tensor without content
    weight = next(model.network.parameters())
    macs: dict[str, int] = {}
    handles = []
    thread, threaded = threading.get_ident(), []
    with ExitStack() as stack:
        stack.enter_context(model.full_precision())
        stack.enter_context(model.visiting(lambda layer, x: None))  # attention then computes its products one by one
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        counter = stack.enter_context(FlopCounterMode(display=False))

        def begin(name: str) -> None:
            if threading.get_ident() != thread:
                threaded.append(name)
            macs[name] = macs.get(name, 0) - counter.get_total_flops() // 2

        def end(name: str) -> None:
            macs[name] += counter.get_total_flops() // 2

        for name, module in model.network.named_modules():
            if isinstance(module, (WeightedLayer, QuantizedProduct)):
                macs[name] = 0
                handles.append(module.register_forward_pre_hook(lambda _m, _i, name=name: begin(name)))
                handles.append(module.register_forward_hook(lambda _m, _i, _o, name=name: end(name)))
        try:
            size = (1, model.descriptor.channels, height, width)
            model.network(torch.zeros(size, device=weight.device, dtype=weight.dtype))
        finally:
            for handle in handles:
                handle.remove()
        check_threads(model.network, threaded)
        if elsewhere := counter.get_total_flops() // 2 - sum(macs.values()):
            macs[""] = elsewhere
    return macs


def macs_by_layer(model: QuantizedSR, height: int, width: int) -> dict[str, float]:
    """Return what :func:`count_macs` counts by the names of ``model.layers``; of a product each operand has half."""
    shares: dict[str, float] = {}
    for name, macs in count_macs(model, height, width).items():
        module = model.network.get_submodule(name) if name else None
        if isinstance(module, QuantizedProduct):
            shares[module.left.name] = shares[module.right.name] = macs / 2
        elif name:
            shares[module.name] = float(macs)
    return shares
