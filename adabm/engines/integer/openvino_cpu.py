"""OpenVINO on the CPU: graphs are compiled and run, once what the processor or the library would get wrong is out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import EngineError
from .layers import LARGEST_IN_16_BITS
from .libraries import library
from .openvino_operations import CODES, KERNEL_CHANNELS, constant, operations, weight

if TYPE_CHECKING:
    import openvino

_SIZES = 256  # of pictures that are known to be computed right


def runner(contents: Mapping[str, bytes]) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return ``f(picture, factor)`` that computes exported files, compiled when a factor first occurs."""
    openvino = library("openvino")

    @cache
    def read(factor: int) -> openvino.Model:
        name = f"factor{factor:+d}"
        constants = openvino.Tensor(np.frombuffer(contents[f"{name}.bin"], np.uint8).copy())
        return _core().read_model(contents[f"{name}.xml"], constants)

    @lru_cache(_SIZES)
    def check_size(factor: int, shape: tuple[int, ...]) -> None:
        # the processor's code does not: it writes past what it has, and gives what it computed before
        model = read(factor).clone()
        try:
            model.reshape(shape)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise EngineError(f"openvino: cannot compute a picture of {shape[3]}x{shape[2]} ({reason:.200})") from None

    @cache
    def request(factor: int, threads: int) -> openvino.InferRequest:
        model = read(factor).clone()
        _refuse_misread(model)
        if overflows():
            large_weights_in_floating_point(model)
        return compiled(model, threads).create_infer_request()

    def run(picture: np.ndarray, factor: int) -> np.ndarray:
        check_size(factor, picture.shape)
        (output,) = request(factor, torch.get_num_threads()).infer([picture]).values()
        return output

    return run


def compiled(model: openvino.Model, threads: int, precision: str = "f32") -> openvino.CompiledModel:
    """Compile for the CPU; ``precision`` is that of what is not computed in integers."""
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    return _core().compile_model(model, "CPU", settings)


@cache
def overflows() -> bool:
    """Whether sums of bytes' products overflow on this processor, as one convolution of the largest ones shows."""
    op = operations()
    x = op.parameter([1, KERNEL_CHANNELS, 4, 4], np.float32)
    ends = constant(0.0), constant(CODES - 1.0)
    largest = weight(np.full((KERNEL_CHANNELS, KERNEL_CHANNELS, 1, 1), 127, np.int8), np.ones(KERNEL_CHANNELS))
    codes = op.fake_quantize(x, *ends, *ends, CODES)
    model = library("openvino").Model([op.convolution(codes, largest, [1, 1], [0, 0], [0, 0], [1, 1])], [x])
    (found,) = compiled(model, 1)([np.full((1, KERNEL_CHANNELS, 4, 4), CODES - 1, np.float32)]).values()
    return bool((found != KERNEL_CHANNELS * (CODES - 1) * 127).any())


def large_weights_in_floating_point(model: openvino.Model) -> None:
    """Let convolutions that would overflow, see ``LARGEST_IN_16_BITS``, compute in floating point on the same quantized values."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == library("openvino").Type.i8:
            codes = node.data.astype(np.float32)  # OpenVINO takes weights that are no bytes as they are
            if np.abs(codes).max() > LARGEST_IN_16_BITS:
                node.output(0).replace(operations().constant(codes).output(0))


def _refuse_misread(model: openvino.Model) -> None:
    """Refuse a graph in which OpenVINO takes wrong ranges, as earlier versions exported it.

    A division by channel, a clamp and a quantization follow each other behind anything but a shift; today the clamp comes first.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or (clamp := _source(node)).get_type_name() != "Clamp":
            continue
        divided = _source(clamp)
        if (
            divided.get_type_name() == "Divide"
            and math.prod(divided.input_value(1).get_shape()) > 1
            and _source(divided).get_type_name() != "Subtract"
        ):
            raise EngineError(
                "its graph divides by channel and clamps before it quantizes, which OpenVINO computes wrongly in some places; "
                "export the model again"
            )


def _source(node: openvino.Node) -> openvino.Node:
    return node.input_value(0).get_node()


@cache
def _core() -> openvino.Core:
    """The one that computes, kept while the process lives.

    Each gives its thread a stack for signals and restores, when it goes, the one that it found: of two that do not go in
    reverse order the thread is left with memory that is free, and the next signal, Ctrl-C for one, is a segmentation fault.
    """
    return library("openvino").Core()
