"""Integer networks in OpenVINO, on its 8-bit kernels of the CPU.

OpenVINO finds them by itself where a quantization to 256 levels and a weight of bytes times scales meet in a convolution;
other numbers of levels would stay in floating point. Ranges have to be constant, so that each factor of an image has a
graph of its own.
"""

from __future__ import annotations

import copy
import io
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import EngineError, one_line, out_of_memory
from ...full_precision import FULL_PRECISION_BITS
from ...quantization.model import QuantizedSR
from ..exporting import EXPORTERS
from ..registry import engine
from .engine import IntegerEngine, export, open_integer
from .graph import DOMAIN, LAYER, NAME
from .layers import IntegerConv
from .libraries import library
from .openvino_cpu import runner
from .openvino_operations import CODES, KERNEL_CHANNELS, constant, operations, per_channel, weight

if TYPE_CHECKING:
    import onnx
    import openvino

OPENVINO = "openvino"  # the engine's name
_POINTWISE = frozenset({"Relu", "LeakyRelu"})  # activation functions that are the same for all channels


@engine(OPENVINO, description="8-bit integers in OpenVINO, on the CPU")
def open_openvino(model: QuantizedSR | Path, device: torch.device) -> IntegerEngine:
    """Open a model, a quantized checkpoint or a file that was exported; see :func:`open_integer`."""
    return open_integer(model, device, OPENVINO, files, runner)


@EXPORTERS.register(OPENVINO)
def export_openvino(model: QuantizedSR) -> bytes:
    """Make the file that ``adabm export --engine openvino`` writes."""
    return export(model, OPENVINO, files, runner).to_bytes()


def files(graph: onnx.ModelProto, layers: Mapping[int, Mapping[str, IntegerConv]]) -> dict[str, bytes]:
    """Make the files of an exported model: graph and constants for each factor of an image.

    Args:
        graph: see :func:`adabm.engines.integer.graph.layer_graph`.
        layers: by factor and name.
    """
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for factor, described in layers.items():
            path = Path(folder) / f"factor{factor:+d}.xml"
            model = lowered(graph, described)
            try:
                library("openvino").save_model(model, path, compress_to_fp16=False)
            except RuntimeError as error:
                if out_of_memory(error):
                    raise
                raise EngineError(
                    f"{Path(folder).parent}: openvino cannot write there ({one_line(str(error).strip())[:200]}); make room, or name another folder by "
                    "the environment variable TMPDIR"
                ) from None
            made |= {part.name: part.read_bytes() for part in (path, path.with_suffix(".bin"))}
    return made


def lowered(graph: onnx.ModelProto, layers: Mapping[str, IntegerConv]) -> openvino.Model:
    """Put the operations of quantized layers into the graph."""
    frontend = library("openvino.frontend.onnx")
    core = library("openvino").Core()
    graph, layers = _channels_behind_pixels(graph, layers)
    _activations_before_shuffles(graph)
    convert = lambda node: [_layer(node.get_input(0), layers[node.get_attribute(NAME)])]
    core.add_extension(frontend.ConversionExtension(LAYER, DOMAIN, convert))
    model = core.read_model(io.BytesIO(graph.SerializeToString()))
    for index, node in enumerate(model.get_ordered_ops()):  # else numbered by what the process made before
        node.set_friendly_name(f"{node.get_type_name()}_{index}")
    return model


def _channels_behind_pixels(
    graph: onnx.ModelProto, layers: Mapping[str, IntegerConv]
) -> tuple[onnx.ModelProto, Mapping[str, IntegerConv]]:
    """Order the output channels that a pixel shuffle takes by its pixels first: it then moves whole pixels of bytes."""
    graph, layers = copy.deepcopy(graph), dict(layers)
    attributes = library("onnx").helper
    makers = {node.output[0]: node for node in graph.graph.node}
    uses = Counter(name for node in graph.graph.node for name in node.input)
    for node in graph.graph.node:
        made = makers.get(node.input[0]) if node.op_type == "DepthToSpace" else None
        if made is None or made.op_type != LAYER or uses[made.output[0]] > 1:
            continue
        given = {attribute.name: attributes.get_attribute_value(attribute) for attribute in node.attribute}
        if given.get("mode") != b"CRD":
            continue
        name = attributes.get_attribute_value(made.attribute[0]).decode()
        count, pixels = len(layers[name].used), given["blocksize"] ** 2
        layers[name] = layers[name].reordered(np.arange(count).reshape(-1, pixels).T.flatten())
        del node.attribute[:]
        node.attribute.extend(attributes.make_attribute(k, v) for k, v in (given | {"mode": "DCR"}).items())
    return graph, layers


def _activations_before_shuffles(graph: onnx.ModelProto) -> None:
    """Let activation functions act on the pixels before a shuffle moves them: what is moved then is bytes again."""
    onnx = library("onnx")
    nodes, constants = graph.graph.node, {each.name: each for each in graph.graph.initializer}
    uses = Counter(name for node in nodes for name in node.input)
    users = {node.input[0]: place for place, node in enumerate(nodes) if node.input}
    for place, shuffle in enumerate(nodes):
        moved = shuffle.output[0]
        if shuffle.op_type != "DepthToSpace" or uses[moved] != 1 or moved not in users:
            continue
        activation = nodes[users[moved]]
        if activation.op_type == "PRelu" and activation.input[1] in constants:
            slope = onnx.numpy_helper.to_array(constants[activation.input[1]])
            if slope.size > 1:  # one a channel
                given = {each.name: onnx.helper.get_attribute_value(each) for each in shuffle.attribute}
                spread = np.tile if given["mode"] == b"DCR" else np.repeat
                # of four dimensions: with three, OpenVINO lays the whole picture out anew
                slope = spread(slope.flatten(), given["blocksize"] ** 2).reshape(1, -1, 1, 1)
            activation.input[1] = f"{activation.input[1]}_before_{moved}"
            graph.graph.initializer.append(onnx.numpy_helper.from_array(slope, activation.input[1]))
        elif activation.op_type not in _POINTWISE:
            continue
        activation.input[0], shuffle.input[0] = shuffle.input[0], moved
        activation.output[0], shuffle.output[0] = moved, activation.output[0]
        first, second = copy.deepcopy(activation), copy.deepcopy(shuffle)
        nodes[place].CopyFrom(first)
        nodes[users[moved]].CopyFrom(second)


def _layer(x: openvino.Output, layer: IntegerConv) -> openvino.Output:
    op = operations()
    if layer.weight is None:
        if layer.bits < FULL_PRECISION_BITS:
            ends = constant(layer.lower), constant(layer.upper)
            levels = op.fake_quantize(_to_domain(x, layer), *ends, *ends, 2**layer.bits)
            x = _from_domain(levels, layer)
        made = _convolved(x, op.constant(layer.used), layer)
        return op.add(made, per_channel(layer.bias)).output(0)
    x = _quantized(x, layer)
    codes, scale, half = layer.weight.codes, layer.weight.scale, layer.weight.half
    ones = np.ones((1, *codes.shape[1:]), np.int8)
    if half is None:
        made = _convolved(x, weight(codes, scale), layer)
    elif len(codes) < KERNEL_CHANNELS:  # room for one more channel
        both = _convolved(x, weight(np.concatenate([codes, ones]), np.append(scale, 1.0)), layer)
        mixed = np.concatenate([np.eye(len(codes)), half[:, None]], 1)[..., None, None]
        made = op.convolution(both, constant(mixed), [1, 1], [0, 0], [0, 0], [1, 1])
    else:  # the same for all weights of a channel: the sum over the window, made once
        made = _convolved(x, weight(codes, scale / half), layer)
        summed = op.convolution(x, weight(ones[:, :, :1, :1], np.ones(1)), [1, 1], [0, 0], [0, 0], [1, 1])
        made = op.add(made, _convolved(summed, constant(ones[:, :1]), layer))
        made = op.multiply(made, per_channel(half))
    made = op.add(made, per_channel(layer.bias if layer.exact_border else layer.inner_bias))
    if layer.exact_border:
        made = op.add(made, _convolved(_ones(x), constant(layer.taps[:, None]), layer))
    return made.output(0)


def _quantized(x: openvino.Output, layer: IntegerConv) -> openvino.Node:
    """Quantize to the values of the grid's codes, before pixels are put in another place: bytes are moved faster."""
    op = operations()
    source = x.get_node()
    if layer.shift is None and layer.stretch is None and source.get_type_name() == "DepthToSpace":
        attributes = source.get_attributes()
        inner = _quantized(source.input_value(0), layer)
        return op.depth_to_space(inner, attributes["mode"], attributes["block_size"])
    laid_out = layer.grid
    x = _clamped(x, layer)
    first = laid_out.lower - laid_out.offset * laid_out.step
    inside = constant(first), constant(first + (CODES - 1) * laid_out.step)
    values = [constant((code - laid_out.zero) * laid_out.step) for code in (0, CODES - 1)]
    return op.fake_quantize(x, *inside, *values, CODES)


def _clamped(x: openvino.Output, layer: IntegerConv) -> openvino.Node:
    """Bring to the layer's domain, within its range.

    Where a division by channel, a clamp and a quantization follow each other behind anything but a convolution or a function of
    single values, OpenVINO (2026.4) takes wrong ranges: without a shift the clamp comes first, by channel.
    """
    op = operations()
    if layer.stretch is None or layer.shift is not None:
        return op.clamp(_to_domain(x, layer), layer.lower, layer.upper)
    ends = layer.lower * layer.stretch, layer.upper * layer.stretch
    x = op.minimum(op.maximum(x, per_channel(np.minimum(*ends))), per_channel(np.maximum(*ends)))
    return _to_domain(x, layer)


def _ones(x: openvino.Node) -> openvino.Node:
    """(1, 1, H, W) of ones, of the size of ``x``."""
    op = operations()
    sides = op.gather(op.shape_of(x), op.constant(np.array([2, 3])), op.constant(np.array(0)))
    return op.broadcast(constant(1.0), op.concat([op.constant(np.array([1, 1])), sides], 0))


def _convolved(x: openvino.Node, weight: openvino.Node, layer: IntegerConv) -> openvino.Node:
    top, left, bottom, right = layer.padding
    return operations().convolution(x, weight, layer.stride, [top, left], [bottom, right], layer.dilation)


def _to_domain(x: openvino.Output, layer: IntegerConv) -> openvino.Output | openvino.Node:
    op = operations()
    x = x if layer.shift is None else op.subtract(x, per_channel(layer.shift))
    return x if layer.stretch is None else op.divide(x, per_channel(layer.stretch))


def _from_domain(x: openvino.Node, layer: IntegerConv) -> openvino.Node:
    op = operations()
    x = x if layer.stretch is None else op.multiply(x, per_channel(layer.stretch))
    return x if layer.shift is None else op.add(x, per_channel(layer.shift))
