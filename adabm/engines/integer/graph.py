"""The graph of a network as an ONNX model, in which each quantized layer is one node that names it."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...errors import EngineError
from ...pictures.padding import fitting_side
from ...quantization.model import QuantizedSR
from .libraries import library
from .stand_in import StandIn

if TYPE_CHECKING:
    import onnx

DOMAIN, LAYER, NAME = "adabm", "Layer", "layer"  # of the nodes, and their attribute
OPSET = 17
_SIDE = 24  # of the picture that the network is traced on; any other size fits as well
_OTHER_SIDES = (40, 32)  # of a brighter one, of which the same has to come


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


class _Marked(StandIn):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self.calls = 0

    def forward(self, input: Tensor) -> Tensor:
        self.calls += 1
        return _Mark.apply(input, *self.hidden)


@torch.no_grad()
def layer_graph(model: QuantizedSR) -> onnx.ModelProto:
    """Trace a model's network: (1, C, H, W) ``picture`` in the network's value range to ``upscaled``.

    All quantized layers have to be convolutions, see :func:`adabm.engines.integer.layers.integer_layers`.

    Raises:
        EngineError: the network computes what ONNX has no operation for, or something else on a picture of another size or
            content than the graph would hold.
    """
    library("onnx")  # refuses, if it is not there
    network = copy.deepcopy(model.network).cpu().float()
    for name in model.layers:  # torch's exporter does not take a weight that two layers share
        layer = network.get_submodule(name)
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    marked = {network.get_submodule(name): _Marked(network.get_submodule(name)) for name in model.layers}
    for place, module in [*network.named_modules(remove_duplicate=False)]:  # a shared one has several
        if module in marked:
            parent, _, child = place.rpartition(".")
            setattr(network.get_submodule(parent), child, marked[module])
    descriptor = model.descriptor
    side, height, width = (
        fitting_side(side, descriptor.size_multiple, descriptor.minimum_size) for side in (_SIDE, *_OTHER_SIDES)
    )
    try:
        graph = _exported(network, torch.zeros(1, descriptor.channels, side, side))
        bright = torch.rand(1, descriptor.channels, height, width, generator=torch.Generator().manual_seed(0))
        other = _exported(network, bright * descriptor.value_range)
    except Exception as error:  # torch raises many kinds
        for name in model.layers:
            if network.get_submodule(name).calls > 1:  # torch tells "unordered_map::at"
                raise EngineError(
                    f"{descriptor.title}: cannot be exported, since {name!r} is used more than once in a pass, which torch's "
                    "exporter does not take; --engine torch-int8 runs it"
                ) from error
        first = (str(error).splitlines() or [""])[0]
        raise EngineError(f"{descriptor.title}: cannot be exported: {type(error).__name__}: {first:.200}") from error
    if _content(graph) != _content(other):
        raise EngineError(
            f"{descriptor.title}: cannot be exported, since what it computes goes by numbers of the picture that Python reads (its size, "
            "as in int(x.shape[2]) or math.log(height), or its content, as in x.mean().item() or an if on it), and a file would hold those "
            "of one picture; --engine torch-int8 runs it"
        )
    return graph


def _exported(network: nn.Module, picture: Tensor) -> onnx.ModelProto:
    """The graph of a network as torch traces it on a picture."""
    sides = ({2: "height", 3: "width"}, {2: "upscaled_height", 3: "upscaled_width"})
    file = io.BytesIO()
    with warnings.catch_warnings(), _without_log():
        warnings.simplefilter("ignore")  # that torch has a newer exporter, which needs one package more
        torch.onnx.export(
            network,
            (picture,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["picture"],
            output_names=["upscaled"],
            dynamic_axes=dict(zip(("picture", "upscaled"), sides)),
            custom_opsets={DOMAIN: 1},
        )
    return library("onnx").load_from_string(file.getvalue())


def _content(graph: onnx.ModelProto) -> tuple[list[bytes], list[bytes]]:
    """What a graph computes; the shapes that its tensors are told to have are left out."""
    parts = graph.graph.node, graph.graph.initializer
    return tuple([part.SerializeToString(deterministic=True) for part in of_kind] for of_kind in parts)


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep torch from printing all of a graph that it cannot export."""
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None  # its exporter switches the log on, whatever it was
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
