"""Integer networks as one ONNX file for ONNX Runtime; the factor of an image is an input that picks the constants.

A convolution whose output goes to the quantizer of another one is computed in integers (``QLinearConv``); its border is
off by what half a step of 8 bits contributes. The others, whose outputs are added up or end the network, are
computed in floating point on the same quantized values, and so are weights of 8 bits: their odd numbers need more than a
signed byte, and their sums overflow on processors without VNNI. ONNX has no fast convolution from bytes to floating point.

No ``DequantizeLinear`` is written: where ONNX Runtime finds one before a convolution and ``QuantizeLinear`` behind it, it
rounds the weights between them to bytes of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...full_precision import FULL_PRECISION_BITS
from ...quantization.model import QuantizedSR
from ..exporting import EXPORTERS
from ..registry import engine
from .engine import IntegerEngine, export, open_integer
from .graph import DOMAIN, LAYER, OPSET
from .grid import CODES
from .layers import IntegerConv
from .libraries import library

if TYPE_CHECKING:
    import onnx

ONNX = "onnx"  # the engine's name
_FILE = "model.onnx"
_LARGEST_SUM = 2**31 - 1  # that QLinearConv holds
_PASSING = ("Relu", "DepthToSpace")  # what quantized values may pass as bytes


@engine(ONNX, description="ONNX Runtime on the CPU, integers where layers follow each other")
def open_onnx(model: QuantizedSR | Path, device: torch.device) -> IntegerEngine:
    """Open a model, a quantized checkpoint or a file that was exported; see :func:`open_integer`."""
    return open_integer(model, device, ONNX, files, runner)


@EXPORTERS.register(ONNX)
def export_onnx(model: QuantizedSR) -> bytes:
    """Make the file that ``adabm export --engine onnx`` writes."""
    return export(model, ONNX, files, runner).to_bytes()


def files(graph: onnx.ModelProto, layers: Mapping[int, Mapping[str, IntegerConv]]) -> dict[str, bytes]:
    """Make the file of an exported model; arguments as of :func:`adabm.engines.integer.openvino.files`."""
    return {_FILE: _Lowering(graph, layers).model().SerializeToString(deterministic=True)}


def runner(contents: Mapping[str, bytes]) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return ``f(picture, factor)`` that computes exported files."""

    @cache
    def session(threads: int):
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # files of earlier versions have such nodes
        return runtime.InferenceSession(contents[_FILE], options, providers=["CPUExecutionProvider"])

    def run(picture: np.ndarray, factor: int) -> np.ndarray:
        inputs = {"picture": picture, "factor": np.array(factor, np.int64)}
        return session(torch.get_num_threads()).run(None, inputs)[0]

    return run


class _Lowering:
    """Replaces each layer's node by operations that ONNX knows."""

    def __init__(self, graph: onnx.ModelProto, layers: Mapping[int, Mapping[str, IntegerConv]]) -> None:
        self.onnx = library("onnx")
        self.graph = graph.graph
        self.factors = sorted(layers)
        self.layers = {name: [layers[factor][name] for factor in self.factors] for name in layers[self.factors[0]]}
        self.users = defaultdict(list)
        for node in self.graph.node:
            for name in node.input:
                self.users[name].append(node)
        self.nodes: list = []
        self.constants: list = []
        self.codes: set[str] = set()  # tensors that hold the codes of the quantizer that they go to

    def model(self) -> onnx.ModelProto:
        """The network: (1, C, H, W) ``picture`` and the scalar ``factor`` to ``upscaled``."""
        helper = self.onnx.helper
        for node in self.graph.node:
            if node.domain == DOMAIN and node.op_type == LAYER:
                self._layer(node)
            elif node.op_type == "Relu" and node.input[0] in self.codes:  # in the clipping of the codes already
                self.nodes.append(helper.make_node("Identity", node.input, node.output))
                self.codes.add(node.output[0])
            else:
                self.nodes.append(node)
                self.codes |= set(node.output) if node.input and node.input[0] in self.codes else set()
        factor = helper.make_tensor_value_info("factor", self.onnx.TensorProto.INT64, [])
        made = helper.make_graph(
            self.nodes,
            "adabm",
            [*self.graph.input, factor],
            self.graph.output,
            [*self.graph.initializer, *self.constants],
        )
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="adabm"
        )

    def _layer(self, node: onnx.NodeProto) -> None:
        described = self.layers[self.onnx.helper.get_attribute_value(node.attribute[0]).decode()]
        following, rectified = self._following(node, described)
        bias = None if following is None else _whole_bias(described, following)
        if bias is not None:
            self._in_integers(node, described, following, bias, rectified)
        else:
            self._in_floating_point(node, described)

    def _following(
        self, node: onnx.NodeProto, layer: Sequence[IntegerConv]
    ) -> tuple[Sequence[IntegerConv] | None, bool]:
        """The layer that alone takes a layer's output, as codes, if this one computes in integers; and whether clipped at 0."""
        first, rectified = layer[0], False
        if (
            any(one.grid is None or one.shift is not None or not _Levels(one).near for one in layer)
            or first.weight.half is not None
            or first.may_overflow
        ):
            return None, False
        name = node.output[0]
        while len(self.users[name]) == 1:
            (user,) = self.users[name]
            if user.op_type == LAYER:
                following = self.layers[self.onnx.helper.get_attribute_value(user.attribute[0]).decode()]
                plain = all(one.bits <= 8 and one.shift is None and one.stretch is None for one in following)
                return (following if plain else None), rectified
            if user.op_type not in _PASSING:
                break
            rectified |= user.op_type == "Relu"
            name = user.output[0]
        return None, False

    def _in_integers(self, node, layer, following, bias: Sequence[np.ndarray], rectified: bool) -> None:
        first = layer[0]
        inputs = [_Levels(one) for one in layer]
        outputs = [_Levels(one) for one in following]
        codes = self._quantized(node.input[0], layer)
        shifts = self._pick([levels.shift for levels in inputs], np.uint8)
        codes = self._add("BitShift", codes, shifts, direction="LEFT")
        made = self._add(
            "QLinearConv",
            codes,
            self._pick([levels.fine_step for levels in inputs], np.float32),
            self._pick([levels.zero for levels in inputs], np.uint8),
            self._constant(first.weight.codes),
            self._constant(first.weight.scale.astype(np.float32)),
            self._constant(np.zeros(len(first.used), np.int8)),
            self._pick([out.step for out in outputs], np.float32),
            self._pick([0 for _ in outputs], np.uint8),
            self._pick(bias, np.int32),
            **_geometry(first),
        )
        lowest = [out.code_of_zero if rectified else 0 for out in outputs]
        highest = [out.highest for out in outputs]
        self._add("Clip", made, self._pick(lowest, np.uint8), self._pick(highest, np.uint8), output=node.output[0])
        self.codes.add(node.output[0])

    def _in_floating_point(self, node, layer) -> None:
        first, x = layer[0], node.input[0]
        if max(one.bits for one in layer) <= 8:
            levels = [_Levels(one) for one in layer]
            step = self._pick([c.step for c in levels], np.float32)
            x = self._add("Mul", self._add("Cast", self._quantized(x, layer), to=self.onnx.TensorProto.FLOAT), step)
            x = self._add("Add", x, self._pick([c.lower for c in levels], np.float32))
        elif min(one.bits for one in layer) < FULL_PRECISION_BITS:
            lower = self._pick([one.lower for one in layer], np.float32)
            step = self._pick([(one.upper - one.lower) / (2**one.bits - 1) for one in layer], np.float32)
            x = self._add(
                "Clip", self._to_domain(x, first), lower, self._pick([one.upper for one in layer], np.float32)
            )
            x = self._add("Mul", self._add("Round", self._add("Div", self._add("Sub", x, lower), step)), step)
            x = self._add("Add", x, lower)
        if min(one.bits for one in layer) < FULL_PRECISION_BITS:
            x = self._from_domain(x, first)
        weight, bias = self._constant(first.used), self._constant(first.bias.astype(np.float32))
        self._add("Conv", x, weight, bias, output=node.output[0], **_geometry(first))

    def _quantized(self, x: str, layer: Sequence[IntegerConv]) -> str:
        """The codes of a layer's input: 0 for its lowest level, one more for each."""
        if x in self.codes:
            return x
        levels = [_Levels(one) for one in layer]
        above = self._add("Sub", self._to_domain(x, layer[0]), self._pick([c.lower for c in levels], np.float32))
        zero = self._constant(np.array(0, np.uint8))
        codes = self._add("QuantizeLinear", above, self._pick([c.step for c in levels], np.float32), zero)
        return self._add("Clip", codes, zero, self._pick([c.highest for c in levels], np.uint8))

    def _to_domain(self, x: str, layer: IntegerConv) -> str:
        x = x if layer.shift is None else self._add("Sub", x, self._channels(layer.shift))
        return x if layer.stretch is None else self._add("Div", x, self._channels(layer.stretch))

    def _from_domain(self, x: str, layer: IntegerConv) -> str:
        x = x if layer.stretch is None else self._add("Mul", x, self._channels(layer.stretch))
        return x if layer.shift is None else self._add("Add", x, self._channels(layer.shift))

    def _add(self, operation: str, *inputs: str, output: str | None = None, **attributes) -> str:
        output = output or f"adabm_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [output], **attributes))
        return output

    def _constant(self, values: np.ndarray) -> str:
        name = f"adabm_constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _channels(self, values: np.ndarray) -> str:
        return self._constant(values.astype(np.float32).reshape(1, -1, 1, 1))

    def _pick(self, values: Sequence[float | np.ndarray], kind: type) -> str:
        """One of the values, by the factor; one for all where they are equal."""
        stacked = np.stack([np.asarray(value) for value in values]).astype(kind)
        if (stacked == stacked[0]).all():
            return self._constant(np.array(stacked[0]))
        if not any(node.output[0] == "adabm_row" for node in self.nodes):
            self._add("Sub", "factor", self._constant(np.array(self.factors[0], np.int64)), output="adabm_row")
        return self._add("Gather", self._constant(stacked), "adabm_row", axis=0)


class _Levels:
    """A quantizer's levels as ``QuantizeLinear`` makes them, 0 for the lowest and one more for each, and shifted to the left.

    A convolution takes them shifted as far as a byte allows: a code is then near the value 0 (see :class:`Grid`).
    """

    def __init__(self, layer: IntegerConv) -> None:
        self.lower, self.highest = layer.lower, 2**layer.bits - 1
        self.step = (layer.upper - layer.lower) / self.highest
        self.shift = 8 - layer.bits
        while self.shift and round(-self.lower / self.fine_step) > CODES:
            self.shift -= 1
        self.zero = min(max(round(-self.lower / self.fine_step), 0), CODES)
        self.remainder = self.lower + self.zero * self.fine_step
        self.near = abs(self.remainder) <= 0.5001 * self.fine_step
        self.code_of_zero = min(max(round(-self.lower / self.step), 0), self.highest)

    @property
    def fine_step(self) -> float:
        """Difference of the values of two neighbouring shifted codes."""
        return self.step / 2**self.shift


def _whole_bias(layer: Sequence[IntegerConv], following: Sequence[IntegerConv]) -> list[np.ndarray] | None:
    """A layer's bias in units of its integers, by factor; None where sums leave 32 bits, as with filters of almost no weight."""
    found = []
    for one, out in zip(layer, following):
        levels, codes = _Levels(one), one.weight.codes
        inner = one.bias + levels.remainder * one.weight.scale * codes.sum((1, 2, 3), np.int64)
        bias = np.round((inner - out.lower) / (one.weight.scale * levels.fine_step))
        if not (np.abs(bias) + CODES * np.abs(codes.astype(np.int64)).sum((1, 2, 3)) <= _LARGEST_SUM).all():
            return None
        found.append(bias)
    return found


def _geometry(layer: IntegerConv) -> dict[str, Sequence[int]]:
    return dict(kernel_shape=layer.used.shape[2:], strides=layer.stride, pads=layer.padding, dilations=layer.dilation)
