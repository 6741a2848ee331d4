"""The graph of a network as an ONNX model, in which each quantized layer is one node that names it."""

from __future__ import annotations

import copy
import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...errors import EngineError
from ...pictures.padding import fitting_side
from ...quantization.model import QuantizedSR
from .libraries import library

if TYPE_CHECKING:
    import onnx

DOMAIN, LAYER, NAME = "adabm", "Layer", "layer"  # of the nodes, and their attribute
OPSET = 17
_SIDE = 24  # of the picture that the network is traced on; any other size fits as well


class _Mark(torch.autograd.Function):
    """A layer, as torch computes it, which appears as one node."""

    @staticmethod
    def forward(ctx, x: Tensor, layer: nn.Conv2d) -> Tensor:
        return layer._conv_forward(x, layer.weight, layer.bias)

    @staticmethod
    def symbolic(g, x, layer: nn.Conv2d):
        made = g.op(f"{DOMAIN}::{LAYER}", x, **{f"{NAME}_s": layer.name})
        made.setType(x.type().with_sizes([None, layer.out_channels, None, None]))
        return made


class _Marked(nn.Module):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.hidden = (layer,)  # no child: its parameters are no part of the graph
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return _Mark.apply(x, *self.hidden)


@torch.no_grad()
def layer_graph(model: QuantizedSR) -> onnx.ModelProto:
    """Trace a model's network: (1, C, H, W) ``picture`` in the network's value range to ``upscaled``.

    All quantized layers have to be convolutions, see :func:`adabm.engines.integer.layers.integer_layers`.

    Raises:
        EngineError: the network computes what ONNX has no operation for.
    """
    onnx = library("onnx")
    network = copy.deepcopy(model.network).cpu().float()
    marked = {network.get_submodule(name): _Marked(network.get_submodule(name)) for name in model.layers}
    for place, module in [*network.named_modules(remove_duplicate=False)]:  # a shared one has several
        if module in marked:
            parent, _, child = place.rpartition(".")
            setattr(network.get_submodule(parent), child, marked[module])
    descriptor = model.descriptor
    side = fitting_side(_SIDE, descriptor.size_multiple, descriptor.minimum_size)
    sides = ({2: "height", 3: "width"}, {2: "upscaled_height", 3: "upscaled_width"})
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch has a newer exporter, which needs one package more
            torch.onnx.export(
                network,
                (torch.zeros(1, descriptor.channels, side, side),),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=["picture"],
                output_names=["upscaled"],
                dynamic_axes=dict(zip(("picture", "upscaled"), sides)),
                custom_opsets={DOMAIN: 1},
            )
    except Exception as error:  # torch raises many kinds
        for name in model.layers:
            if network.get_submodule(name).calls > 1:  # torch tells "unordered_map::at"
                raise EngineError(
                    f"{descriptor.title}: cannot be exported, since {name!r} is used more than once in a pass, which torch's "
                    "exporter does not take; --engine torch-int8 runs it"
                ) from error
        first = (str(error).splitlines() or [""])[0]
        raise EngineError(f"{descriptor.title}: cannot be exported: {type(error).__name__}: {first:.200}") from error
    return onnx.load_from_string(file.getvalue())
